"""Arithmetic on a grid of ranks that wraps around, row-major: coordinate by coordinate."""

from collections.abc import Sequence


def add(rank: int, by: int, shape: Sequence[int]) -> int:
    """Move ``rank`` on by the coordinates of ``by``, each wrapping around over its axis of ``shape``."""
    total, weight = 0, 1
    for length in reversed(shape):
        rank, here = divmod(rank, length)
        by, step = divmod(by, length)
        total += (here + step) % length * weight
        weight *= length
    return total


def negated(rank: int, shape: Sequence[int]) -> int:
    """Return the rank that added to ``rank`` gives rank 0."""
    total, weight = 0, 1
    for length in reversed(shape):
        rank, here = divmod(rank, length)
        total += -here % length * weight
        weight *= length
    return total


def generators(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the ranks that are one step from rank 0 along one axis; axes of length 1 have none."""
    steps, weight = [], 1
    for length in reversed(shape):
        if length > 1:
            steps.append(weight)
        weight *= length
    return tuple(reversed(steps))
