"""Sizes on the command line: one, or a range that grows by a factor."""

from t3sim.errors import InputError, Problem
from t3sim.units import SIZE

_RANGE_PARTS = 3


def sizes(text: str, key: str) -> tuple[int, ...]:
    """Read ``16 MiB``, or ``FROM:TO:xSTEP``: from ``FROM``, each ``STEP`` times the one before, up to ``TO``.

    Returns bytes. Raises ``InputError``, naming ``key``, for anything else.
    """
    try:
        return _range(text.split(":"))
    except ValueError as error:
        raise InputError(Problem(message=str(error), key=key, value=text)) from None


def _size(text: str) -> int:
    nbytes = SIZE.parse(text)
    if not nbytes:
        raise ValueError("a buffer needs at least one byte")
    return nbytes


def _factor(text: str) -> int:
    digits = text.strip().removeprefix("x")
    if digits == text.strip() or not (digits.isascii() and digits.isdigit()) or len(digits) > len(str(2**63)):
        raise ValueError(f"{text!r} is no step; write a factor, as in x2")
    factor = int(digits)
    if factor <= 1:
        raise ValueError(f"the step {text.strip()} never gets to the end: take x2 or more")
    return factor


def _range(parts: list[str]) -> tuple[int, ...]:
    if len(parts) == 1:
        return (_size(parts[0]),)
    if len(parts) != _RANGE_PARTS:
        raise ValueError("is neither a size nor a range FROM:TO:xSTEP, as in 1MiB:1GiB:x2")
    first, last, factor = _size(parts[0]), _size(parts[1]), _factor(parts[2])
    if last < first:
        raise ValueError("the range ends before it begins")
    found = [first]
    while found[-1] * factor <= last:
        found.append(found[-1] * factor)
    return tuple(found)
