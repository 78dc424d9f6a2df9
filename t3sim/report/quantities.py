"""Columns of results as numbers with a unit: metrics by their name, axes by the quantities written in them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from t3sim import lazy, units

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")

_NAMED: Final = {
    "speedup": "x sequential",
    "pct_of_ideal": "% of ideal",
    "dram_reduction": "share of sequential",
    "dram_util": "share of time",
    "link_util": "share of time",
    "tp": "GPUs",
    "num_gpus": "GPUs",
    "tokens": "rows",
    "M": "rows",
    "N": "columns",
    "K_local": "elements",
    "system.memory.update_cost": "accesses",
    "system.compute.cus": "CUs",
    "system.tracker.entries": "entries",
    "tracker_peak_entries": "entries",
}
_SUFFIXES: Final = {
    **dict.fromkeys(("_us", "_us_min", "_us_p50", "_us_p99"), "us"),
    "_s": "s",
    "_bytes": "bytes",
    "_entries": "entries",
    "_fraction": "share",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """The numbers of a column in one unit; NaN where a field is empty."""

    name: str
    unit: str
    numbers: "pd.Series[float]"

    @property
    def label(self) -> str:
        """Return name and unit, as on an axis."""
        return f"{self.name} ({self.unit})"


def quantity(frame: "pd.DataFrame", name: str) -> Quantity | None:
    """Read a column as numbers: plain ones, or quantities with units brought to one; ``None`` where it is text."""
    column = frame[name]
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    filled = column.notna() & (column.astype(str) != "")
    if bool(numbers[filled].notna().all()) and bool(filled.any()):
        return Quantity(name, unit_of_column(name), numbers)
    texts = [str(text) for text in column[filled].unique()]
    try:
        dimension, *others = [units.dimension_of(text) for text in texts]
        if any(other is not dimension for other in others):
            return None
        amounts = {text: dimension.parse(text) for text in texts}
    except ValueError:
        return None
    unit = _readable(dimension, texts, min(amounts.values()))
    factor = float(dimension.units[unit])
    return Quantity(name, unit, column.map({text: amount / factor for text, amount in amounts.items()}))


def unit_of_column(name: str) -> str:
    """Return the unit of a column of plain numbers; ``count`` where its name says no other."""
    suffixes = (unit for suffix, unit in _SUFFIXES.items() if name.endswith(suffix))
    return _NAMED.get(name) or next(suffixes, "count")


def _readable(dimension: units.Dimension, texts: list[str], smallest: int) -> str:
    """Choose the unit that all values share, or else the largest in which none is below 1."""
    written = {units.unit_of(text) for text in texts}
    if len(written) == 1:
        return written.pop()
    fitting = [unit for unit in sorted(written, key=lambda unit: dimension.units[unit]) if dimension.units[unit]]
    return next((unit for unit in reversed(fitting) if dimension.units[unit] <= smallest), fitting[0])
