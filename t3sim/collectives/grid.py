"""Arithmetic on a grid of ranks that wraps around, row-major: coordinate by coordinate."""

from collections.abc import Sequence
from functools import lru_cache


def rotated(rank: int, by: int, shape: Sequence[int]) -> int:
    """Move ``rank`` on by ``by``: coordinate by coordinate over ``shape``, each wrapping around."""
    return _combined(rank, by, tuple(shape), 1)


def turn(start: int, end: int, shape: Sequence[int]) -> int:
    """By how much ``start`` has to be moved on to become ``end``: the ``by`` of ``rotated``."""
    return _combined(end, start, tuple(shape), -1)


def generators(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the ranks that are one step from rank 0 along one axis; axes of length 1 have none."""
    steps, weight = [], 1
    for length in reversed(shape):
        if length > 1:
            steps.append(weight)
        weight *= length
    return tuple(reversed(steps))


@lru_cache(maxsize=2**16)
def _combined(rank: int, by: int, shape: tuple[int, ...], sign: int) -> int:
    result, scale = 0, 1
    for size in reversed(shape):
        rank, here = divmod(rank, size)
        by, further = divmod(by, size)
        result += (here + sign * further) % size * scale
        scale *= size
    return result
