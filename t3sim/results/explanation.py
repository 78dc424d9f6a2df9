"""Explanations: where the time of each sublayer went under each scheme, what binds it, and what would help."""

from dataclasses import asdict, dataclass
from typing import Any

from t3sim.results.columns import Row
from t3sim.results.losses import BOUNDS, Losses

WHERE = ("point_id", "system", "model", "phase", "sublayer", "tp", "topology")
"""Columns that say what an explanation is of, beside its scheme."""

NESTED = ("what_if", "hardware")
"""What a row of a flat table leaves out."""


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """One parameter relaxed, and what it would bring."""

    assignment: str
    """As ``--set`` takes it."""
    before: str
    total_fs: int
    saved: float
    """Share of the scheme's time that it saves; negative where it costs time."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one sublayer takes its time under one scheme."""

    where: Row
    """What says which point it is: ``WHERE``."""
    losses: Losses
    what_if: tuple[WhatIf, ...]
    """What helps most comes first; empty where nobody asked, and for ideals, which no machine runs."""

    def row(self) -> Row:
        """Give the point, the scheme, its time, what binds it, what would help, the buckets in fs, and the counters.

        Of ``NESTED``, each value is a table of its own.
        """
        best = self.what_if[0] if self.what_if else None
        return {
            **self.where,
            "scheme": self.losses.scheme,
            "total_fs": self.losses.total_fs,
            "bound": self.losses.bound or None,
            **{f"bound_by_{bound.lower()}_fs": self.losses.bound_fs(bound) for bound in BOUNDS},
            "helps_most": best and best.assignment,
            "helps_most_saves": best and best.saved,
            **{f"{name}_fs": length for name, length in self.losses.buckets.items()},
            **self.losses.activity.columns(),
            "what_if": [asdict(found) for found in self.what_if],
            "hardware": self.losses.activity.document(),
        }


@dataclass(frozen=True)
class Explanations:
    """Explanations of all sublayers of a trace, and what made them."""

    items: tuple[Explanation, ...]
    manifest: dict[str, Any]

    def rows(self) -> list[Row]:
        """One row a sublayer and scheme."""
        return [item.row() for item in self.items]

    def document(self) -> dict[str, Any]:
        """Everything as plain data, as ``--format json`` prints it."""
        return {"rows": self.rows(), "manifest": self.manifest}
