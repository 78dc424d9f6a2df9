"""Faults that a spec finds in itself as a whole, each with its place: the reader is sent to that line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from t3sim.config import Spec


def fault(place: tuple[str | int, ...], message: str, value: object) -> InitErrorDetails:
    """Describe what is wrong with the value at a place inside the spec, such as ("operations", 2, "id")."""
    # Without a context the message is taken as it is, braces and all.
    return InitErrorDetails(type=PydanticCustomError("spec", message), loc=place, input=value)


def refuse(spec: Spec, faults: Iterable[InitErrorDetails]) -> None:
    """Refuse a spec for all its faults at once, if there are any.

    Raises:
        ValidationError: pydantic puts the spec's own place in front of each fault's.

    """
    if details := list(faults):
        raise ValidationError.from_exception_data(type(spec).__name__, details)
