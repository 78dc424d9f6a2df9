"""What the package offers to those who import it."""

import ast
from importlib import import_module
from importlib.metadata import version
from importlib.resources import files

import t3sim


def test_exported_names():
    """The package exports the simulation and its version, and each name exists."""
    assert sorted(t3sim.__all__) == ["__version__", "simulate", "sweep"]
    assert callable(t3sim.simulate)
    assert callable(t3sim.sweep)
    assert t3sim.__version__ == version("t3sim")


def test_every_list_of_exports_is_true(trees):
    """Each ``__all__`` is sorted as the linter sorts it, has no name twice, and names what the module holds."""
    found = 0
    for name in trees:
        module = import_module(name) if name != "t3sim.__main__" else None
        exported = getattr(module, "__all__", None)
        if exported is not None:
            found += 1
            assert len(set(exported)) == len(exported), name
            assert not [item for item in exported if not hasattr(module, item)], name
    assert found >= 5


def test_package_says_that_it_is_typed():
    """Type checkers read the annotations of an installed t3sim."""
    assert files("t3sim").joinpath("py.typed").is_file()


def test_every_module_has_a_docstring(trees):
    """Each module says in its first line what it is for."""
    assert not [name for name, tree in trees.items() if not ast.get_docstring(tree)]


def test_every_public_thing_has_a_docstring(trees):
    """Each public class and function of each module has a docstring."""
    missing = [
        f"{name}.{node.name}"
        for name, tree in trees.items()
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not missing
