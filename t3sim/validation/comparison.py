"""What a check against reference figures is, and the summary of its comparisons by group and band."""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Protocol, runtime_checkable

from t3sim.processes import Progress
from t3sim.results import Row
from t3sim.results.comparison import SPEEDUP, Comparison

KIND = "validation"
ALL_BANDS = "all"


class Check(Protocol):
    """A family of reference figures and the way to simulate each."""

    against: str
    """What ``--against`` calls it; several checks may share a name."""

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every reference figure, in ``jobs`` processes.

        Raises ``InputError`` when the figures cannot be read.
        """


@runtime_checkable
class WithNotes(Check, Protocol):
    """A check with something to say beside its comparisons."""

    @property
    def notes(self) -> Sequence[str]:
        """What is left out, and why."""


def summary(against: str, comparisons: Sequence[Comparison]) -> list[Row]:
    """Summarise by group and quantity, over all bands and by band, in order of appearance."""
    rows: list[Row] = []
    for group, quantity in dict.fromkeys((item.group, item.quantity) for item in comparisons):
        chosen = [item for item in comparisons if (item.group, item.quantity) == (group, quantity)]
        bands = list(dict.fromkeys(item.band for item in chosen))
        for band in (ALL_BANDS, *bands) if len(bands) > 1 else (ALL_BANDS,):
            members = [item for item in chosen if band in (ALL_BANDS, item.band)]
            rows.append({"against": against, "group": group, "quantity": quantity, "band": band, **_errors(members)})
    return rows


def _errors(comparisons: Sequence[Comparison]) -> Row:
    """Count them; mean size of the errors, geomean distance of the ratios from 1, mean signed error, the worst.

    Of speedups also how many are on the right side of 1.
    """
    speedups = comparisons[0].quantity == SPEEDUP
    worst = max(comparisons, key=lambda item: abs(item.error))
    distances = [abs(math.log(item.simulated / item.reference)) for item in comparisons]
    return {
        "n": len(comparisons),
        "mean_error": fmean(abs(item.error) for item in comparisons),
        "geomean_error": math.exp(fmean(distances)) - 1,
        "bias": fmean(item.error for item in comparisons),
        "worst_error": worst.error,
        "worst_case": worst.case,
        "same_side": sum(item.same_side for item in comparisons) if speedups else None,
    }
