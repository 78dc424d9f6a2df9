"""What the fields of a class mean: the docstrings under them, read from the source when somebody asks.

Pydantic would do it while classes are made, which takes a quarter of the time that importing all specs does.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise


def meanings(cls: type) -> dict[str, str]:
    """Return the docstring of each annotated field that has one, its own or inherited; a class of no file has none."""
    return {name: text for base in reversed(cls.__mro__) for name, text in _written_in(base)}


def _written_in(cls: type) -> Iterator[tuple[str, str]]:
    try:
        source = inspect.getsource(cls)
    except (OSError, TypeError):  # made at run time, or built into Python
        return
    (definition,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(definition, ast.ClassDef)
    for field, below in pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)
