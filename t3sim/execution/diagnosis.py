"""Why a number in memory is wrong: whose contributions it has or lacks, or where else it belongs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from t3sim.compiled import BoolArray, IntArray
from t3sim.hardware.memory.values import EMPTY

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


def diagnosis(evidence: Evidence, locate: Locate) -> str:
    """Say in words what is wrong with a cell."""
    if evidence.wanted == EMPTY:
        return "no GPU has what belongs there"
    if evidence.there == EMPTY:
        return "nothing is there"
    if evidence.there == 0:
        return "has no contribution of any GPU"
    sets = _sets(len(evidence.contributions))
    if evidence.contributions.shape[1] * len(sets) > MOST_COMPARED:
        sets = np.eye(len(sets[0]), dtype=bool)
    # Sums wrap around at 64 bits, here as there: equality is all that counts.
    sums = sets.astype(np.int64) @ evidence.contributions
    here = sums[:, evidence.cell]
    if evidence.is_sum:
        for found in np.flatnonzero(here == evidence.there):
            return f"misses the contributions of {_listed(~sets[found])}; it has those of {_listed(sets[found])}"
        for found in np.flatnonzero(here == np.int64(evidence.there) - np.int64(evidence.wanted)):
            return f"has the contributions of {_listed(sets[found])} twice"
    return _from_elsewhere(evidence, sets, sums, locate) or "another number is there"


def _from_elsewhere(evidence: Evidence, sets: BoolArray, sums: IntArray, locate: Locate) -> str:
    """Find a sum of another cell that is there, beside as many contributions as there may be: of all ranks, or none."""
    here = sums[::-1, evidence.cell] if evidence.is_sum else sums[:0, 0]
    rests = np.int64(evidence.there) - np.append(here, 0)
    order = np.argsort(sums, axis=None)
    places = np.minimum(np.searchsorted(sums.reshape(-1)[order], rests), order.size - 1)
    for number in np.flatnonzero(sums.reshape(-1)[order[places]] == rests):
        found, cell = divmod(int(order[places[number]]), sums.shape[1])
        part, piece = locate(cell)
        away = f"part {part}, piece {piece}"
        if number == len(here):
            return f"holds what belongs to {away}, from {_listed(sets[found])}"
        own = sets[::-1][number]
        kept = "" if own.all() else f"only those of {_listed(own)}, and "
        return f"has {kept}the contributions of {_listed(sets[found])} to {away}{' too' if own.all() else ''}"
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
