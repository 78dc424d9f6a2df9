"""What a run gives: its rows, and what made them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from t3sim import lazy
from t3sim.results.columns import COLUMN_NAMES, Row

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")


@dataclass(frozen=True)
class RunResult:
    """Rows of results, one per point and scheme, and the manifest of what made them."""

    rows: tuple[Row, ...]
    manifest: dict[str, Any]
    hardware: tuple[Row, ...] = ()
    """What the hardware did in each run that did not fail (``Activity``), where that was kept."""

    @property
    def failed(self) -> tuple[Row, ...]:
        """Rows whose simulation failed."""
        return tuple(row for row in self.rows if row["status"] != "ok")

    def geomean(self) -> dict[str, float]:
        """Geometric mean of the speedups of each scheme, over the rows that are ok."""
        schemes = dict.fromkeys(row["scheme"] for row in self.rows)
        values = {scheme: [float(row["speedup"]) for row in self.of(scheme)] for scheme in schemes}
        return {scheme: geomean(speedups) for scheme, speedups in values.items() if speedups}

    def of(self, scheme: str) -> tuple[Row, ...]:
        """Rows of one scheme that are ok."""
        return tuple(row for row in self.rows if row["scheme"] == scheme and row["status"] == "ok")

    def frame(self) -> "pd.DataFrame":
        """Rows as a pandas table with the columns of ``COLUMNS``."""
        return pd.DataFrame(list(self.rows), columns=list(COLUMN_NAMES))

    def document(self) -> dict[str, Any]:
        """Everything as plain data, as ``--format json`` prints it."""
        kept = {"hardware": list(self.hardware)} if self.hardware else {}
        return {"rows": list(self.rows), "geomean": self.geomean(), "manifest": self.manifest, **kept}


def geomean(values: Iterable[float]) -> float:
    """Geometric mean. Raises ``ValueError`` for no values or one that is not positive."""
    values = list(values)
    if not values or min(values) <= 0:
        raise ValueError(f"no geometric mean of {values}")
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def merged(results: Sequence[RunResult]) -> RunResult:
    """Put the rows of several results of one system into one; the manifest is the first one's with all notes."""
    notes = [note for result in results for note in result.manifest["notes"]]
    rows = tuple(row for result in results for row in result.rows)
    hardware = tuple(found for result in results for found in result.hardware)
    return RunResult(rows, {**results[0].manifest, "notes": notes}, hardware)
