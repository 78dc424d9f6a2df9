"""Names that YAML uses, and the classes behind them: a new policy registers itself from its own file."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from t3sim.errors import nearest

_T = TypeVar("_T")
# Filled only while modules are imported; no run changes it.
_classes: Final[dict[str, dict[str, type[Any]]]] = {}


class UnknownNameError(LookupError, ValueError):
    """Nothing is registered under that name.

    It is a ValueError too, so that a lookup in the validator of a spec is reported as wrong input.
    """

    def __init__(self, what: str, name: str, known: tuple[str, ...]) -> None:
        super().__init__(what, name, known)
        self.what = what
        self.name = name
        self.known = known

    def __str__(self) -> str:
        near = nearest(self.name, self.known)
        guess = f"did you mean {near[0]}?; " if near else ""
        return f"unknown {self.what} {self.name!r} ({guess}known: {', '.join(self.known) or 'none'})"


def register(kind: str, name: str) -> Callable[[type[_T]], type[_T]]:
    """Register the decorated class as `name` among its kind; ValueError when the name is taken."""

    def decorate(cls: type[_T]) -> type[_T]:
        taken = _classes.setdefault(kind, {})
        if name in taken:
            other = f"{taken[name].__module__}.{taken[name].__qualname__}"
            raise ValueError(f"{kind} {name!r} is already registered by {other}")
        taken[name] = cls
        return cls

    return decorate


def names(kind: str) -> tuple[str, ...]:
    """Return the registered names of a kind, sorted; UnknownNameError when no module registered any."""
    return tuple(sorted(_of_kind(kind)))


def get(kind: str, name: str) -> type[Any]:
    """Return the class registered as `name`; UnknownNameError (a LookupError) names the known ones."""
    classes = _of_kind(kind)
    if name not in classes:
        raise UnknownNameError(kind, name, tuple(sorted(classes)))
    return classes[name]


def _of_kind(kind: str) -> dict[str, type[Any]]:
    # An empty answer would let a misspelt kind pass as one that nothing extends.
    if kind not in _classes:
        raise UnknownNameError("kind of component", kind, tuple(sorted(_classes)))
    return _classes[kind]
