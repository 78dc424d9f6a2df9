"""Reference figures beside simulated ones: one comparison a figure, and their summary by group and band."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from t3sim.results import Row

KIND = "validation"
ALL = "all"

Progress = Callable[[int, int, str], None]
"""Called with comparisons done, comparisons in all, and what comes next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure from elsewhere and what the model says in its place."""

    group: str
    """What the summary is made for: a GPU, a memory organisation, a collective."""
    band: str
    """Size band within the group."""
    case: str
    """What was measured, for a reader."""
    quantity: str
    """Name with its unit: ``time_us``, ``bandwidth_gbps``."""
    reference: float
    simulated: float
    source: str
    """Where the reference figure comes from."""

    @property
    def error(self) -> float:
        """Relative error, signed: simulated / reference - 1."""
        return self.simulated / self.reference - 1

    def row(self) -> Row:
        """As a row of the table of comparisons."""
        return {name: getattr(self, name) for name in COMPARISON_COLUMNS}


COMPARISON_COLUMNS = ("group", "band", "case", "quantity", "reference", "simulated", "error", "source")
SUMMARY_COLUMNS = (
    "against",
    "group",
    "quantity",
    "band",
    "n",
    "mean_error",
    "geomean_error",
    "bias",
    "worst_error",
    "worst_case",
)


class Check(Protocol):
    """A family of reference figures and the way to simulate each."""

    against: str
    """What ``--against`` calls it; several checks may share a name."""

    def compare(self, progress: Progress | None = None) -> list[Comparison]:
        """Simulate every reference figure. Raises ``InputError`` when the figures cannot be read."""


def summary(against: str, comparisons: Sequence[Comparison]) -> list[Row]:
    """Summarise by group and quantity, over all bands and by band, in order of appearance."""
    rows: list[Row] = []
    for group, quantity in dict.fromkeys((item.group, item.quantity) for item in comparisons):
        chosen = [item for item in comparisons if (item.group, item.quantity) == (group, quantity)]
        bands = list(dict.fromkeys(item.band for item in chosen))
        for band in (ALL, *bands) if len(bands) > 1 else (ALL,):
            members = [item for item in chosen if band in (ALL, item.band)]
            rows.append({"against": against, "group": group, "quantity": quantity, "band": band, **_errors(members)})
    return rows


def _errors(comparisons: Sequence[Comparison]) -> Row:
    """Count them; mean size of the errors, geomean distance of the ratios from 1, mean signed error, the worst."""
    worst = max(comparisons, key=lambda item: abs(item.error))
    distances = [abs(math.log(item.simulated / item.reference)) for item in comparisons]
    return {
        "n": len(comparisons),
        "mean_error": fmean(abs(item.error) for item in comparisons),
        "geomean_error": math.exp(fmean(distances)) - 1,
        "bias": fmean(item.error for item in comparisons),
        "worst_error": worst.error,
        "worst_case": worst.case,
    }
