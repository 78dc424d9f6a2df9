"""What the fields of a class mean: the docstrings under them, read from the source when somebody asks.

Pydantic would do it while classes are made, which takes a quarter of the time that importing all specs does.
"""

import ast
import inspect
import textwrap
from itertools import pairwise


def meanings(cls: type, root: type) -> dict[str, str]:
    """Return the docstring of each annotated field that has one, its own or inherited from a class below ``root``.

    A class that is in no file has none.
    """
    bases = [base for base in reversed(cls.__mro__) if issubclass(base, root) and base is not root]
    return {name: text for base in bases for name, text in _written_in(base).items()}


def _written_in(cls: type) -> dict[str, str]:
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):  # made at run time
        return {}
    (definition,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = inspect.cleandoc(text)
    return found
