"""What is slow to import and seldom needed, imported when something of it is first asked for.

A module or package that puts something off says so beside its imports, and imports it for type checkers::

    if TYPE_CHECKING:
        import pandas as pd
    else:
        pd = lazy.module("pandas")
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any


class _Later(ModuleType):
    """Stands for a module until something of it is asked for."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(import_module(self.__name__), name)
        setattr(self, name, value)
        return value


def module(name: str) -> ModuleType:
    """Stand for the module of that dotted name. Raises ``ImportError`` where it is first used, if there is none."""
    return _Later(name)


def exports(package: str, **homes: str) -> Callable[[str], Any]:
    """Make the ``__getattr__`` of a package (PEP 562): each name it exports, and the module that has it."""

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=sys.modules[package])
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return find
