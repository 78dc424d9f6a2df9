"""How observers look at a machine: they stand in front of the methods of its parts and hand every call on."""

from collections.abc import Callable
from functools import partial
from typing import Any


def wrap(part: object, method: str, around: Callable[..., Any]) -> None:
    """Let ``around`` answer calls of a method of this one object; it gets the method itself as first argument.

    A part that nobody observes is left as it is: observers that are off cost nothing.
    """
    setattr(part, method, partial(around, getattr(part, method)))
