"""Sets of moments as sorted, disjoint intervals: what "exposed" and "meanwhile" mean is computed with them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Interval(NamedTuple):
    """From ``start_fs`` to ``end_fs``, which is not part of it."""

    start_fs: int
    end_fs: int


Moments = Sequence[Interval]
"""Sorted by start; no two touch or overlap; none is empty."""


def union(intervals: Iterable[tuple[int, int]]) -> list[Interval]:
    """Join intervals in any order into moments."""
    joined: list[Interval] = []
    for start, end in sorted(intervals):
        if end <= start:
            continue
        if joined and start <= joined[-1].end_fs:
            joined[-1] = Interval(joined[-1].start_fs, max(joined[-1].end_fs, end))
        else:
            joined.append(Interval(start, end))
    return joined


def intersection(first: Moments, second: Moments) -> list[Interval]:
    """Moments that are in both."""
    common: list[Interval] = []
    at = 0
    for start, end in first:
        while at < len(second) and second[at].end_fs <= start:
            at += 1
        index = at
        while index < len(second) and second[index].start_fs < end:
            common.append(Interval(max(start, second[index].start_fs), min(end, second[index].end_fs)))
            index += 1
    return common


def difference(first: Moments, second: Moments) -> list[Interval]:
    """Moments of ``first`` that are not in ``second``."""
    left: list[Interval] = []
    at = 0
    for start, end in first:
        cursor = start
        while at < len(second) and second[at].end_fs <= start:
            at += 1
        index = at
        while index < len(second) and second[index].start_fs < end:
            if second[index].start_fs > cursor:
                left.append(Interval(cursor, second[index].start_fs))
            cursor = max(cursor, second[index].end_fs)
            index += 1
        if cursor < end:
            left.append(Interval(cursor, end))
    return left


def length_fs(moments: Moments) -> int:
    """Return how long all of them are together, fs."""
    return sum(end - start for start, end in moments)
