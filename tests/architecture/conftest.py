"""The sources under test, as text and as imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "t3sim"


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(scope="session")
def root():
    """Give the folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def trees():
    """Give the syntax tree of every module of the package, by dotted name."""
    return {
        module_name(path): ast.parse(path.read_text(encoding="utf-8"), str(path))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def is_import_by_name(node):
    """Whether a node is a call that imports what its argument names."""
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("import_module", "__import__")


@pytest.fixture(scope="session")
def computed_imports(trees):
    """Give the names, as expressions, that modules work out to import: by module."""
    found = {
        module: [
            ast.unparse(node.args[0])
            for node in ast.walk(tree)
            if is_import_by_name(node) and not isinstance(node.args[0], ast.Constant)
        ]
        for module, tree in trees.items()
    }
    return {module: names for module, names in found.items() if names}


@pytest.fixture(scope="session")
def imports(trees):
    """Give what each module imports anywhere, also for type checkers only or by its name as text: by module."""

    def targets(node):
        if is_import_by_name(node):
            return [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        assert node.level == 0, "imports are absolute"
        below = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if name in trees else node.module for name in below]

    return {
        module: sorted({target for node in ast.walk(tree) for target in targets(node)})
        for module, tree in trees.items()
    }
