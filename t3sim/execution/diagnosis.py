"""Why a number in memory is wrong: whose contributions it has or lacks, or where else it belongs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from t3sim.hardware.memory.values import EMPTY
from t3sim.kernels import BoolArray, IntArray

MOST_SUBSETS_OF = 10
"""Ranks of which all subsets are tried; of more, only those that follow one another, as on a ring."""
MOST_COMPARED = 2**24
"""Sums that are compared with what is there."""
_SHOWN = 8

Locate = Callable[[int], tuple[int, int]]
"""Gives the part and the piece that a cell belongs to."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """One wrong cell, and what the operation found."""

    cell: int
    there: int
    """What memory holds."""
    wanted: int
    """What it has to hold."""
    contributions: IntArray
    """What each rank had in each cell, shape (ranks, cells)."""
    is_sum: bool
    """Whether the result is a sum over ranks."""


def explain(evidence: Evidence, locate: Locate) -> str:
    """Say in words what is wrong with a cell."""
    if evidence.wanted == EMPTY:
        return "no GPU has what belongs there"
    if evidence.there == EMPTY:
        return "nothing is there"
    sets = _sets(len(evidence.contributions))
    if evidence.contributions.shape[1] * len(sets) > MOST_COMPARED:
        sets = np.eye(len(sets[0]), dtype=bool)
    # Sums wrap around at 64 bits, here as there: equality is all that counts.
    sums = sets.astype(np.int64) @ evidence.contributions
    here = sums[:, evidence.cell]
    too_much = np.int64(evidence.there) - np.int64(evidence.wanted)
    if evidence.is_sum:
        return _wrong_sum(evidence, sets, sums, here, too_much, locate)
    return _elsewhere(evidence.there, sets, sums, locate) or "another number is there"


def _wrong_sum(
    evidence: Evidence, sets: BoolArray, sums: IntArray, here: IntArray, too_much: np.int64, locate: Locate
) -> str:
    for found in np.flatnonzero(here == evidence.there):
        return f"misses the contributions of {_listed(~sets[found])}; it has those of {_listed(sets[found])}"
    for found in np.flatnonzero(here == too_much):
        return f"has the contributions of {_listed(sets[found])} twice"
    for found, cell in np.argwhere(sums == too_much):
        return f"has the contributions of {_listed(sets[found])} to {_named(locate, cell)} too"
    for found, cell in np.argwhere(sums - here[:, None] == too_much):
        return f"has the contributions of {_listed(sets[found])} to {_named(locate, cell)} instead of its own"
    return _elsewhere(evidence.there, sets, sums, locate) or "another number is there"


def _elsewhere(there: int, sets: BoolArray, sums: IntArray, locate: Locate) -> str:
    for found, cell in np.argwhere(sums == there):
        return f"holds what belongs to {_named(locate, cell)}, from {_listed(sets[found])}"
    return ""


def _sets(ranks: int) -> BoolArray:
    """List sets of ranks, smaller ones first, shape (sets, ranks): all, or those that follow one another."""
    if ranks <= MOST_SUBSETS_OF:
        numbers = np.arange(1, 2**ranks)
        sets = (numbers[:, None] >> np.arange(ranks) & 1).astype(bool)
    else:
        offsets = (np.arange(ranks) - np.arange(ranks)[:, None]) % ranks
        sets = np.concatenate([offsets < length for length in range(1, ranks + 1)])
    ordered: BoolArray = sets[np.argsort(sets.sum(axis=1), kind="stable")]
    return ordered


def _listed(ranks: BoolArray) -> str:
    found = np.flatnonzero(ranks)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"GPU{'s' * (len(found) > 1)} {', '.join(map(str, found[:_SHOWN]))}{more}"


def _named(locate: Locate, cell: int) -> str:
    part, piece = locate(cell)
    return f"part {part}, piece {piece}"
