"""Explanations: where the time of each sublayer went under each scheme, what binds it, and what would help."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from t3sim.errors import InputError, Problem
from t3sim.experiments.loss_buckets import Losses, losses
from t3sim.experiments.what_if import WhatIf, what_if
from t3sim.observe.buckets import BOUNDS, BUCKETS
from t3sim.results import GLOSSARY, Column, Row
from t3sim.simulation import Point
from t3sim.simulation.run import Progress, load_points, manifest

BUCKET_COLUMNS = tuple(
    Column(f"{bucket.name}_fs", int, f"fs of a run: {bucket.meaning}", bucket.formula) for bucket in BUCKETS
)


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why one sublayer takes its time under one scheme."""

    point: Point
    losses: Losses
    what_if: tuple[WhatIf, ...]
    """What helps most comes first; empty where nobody asked, and for ideals, which no machine runs."""

    def row(self) -> Row:
        """Give the point, the scheme, its time, what binds it, what would help, and the buckets in fs."""
        sublayer = self.point.sublayer
        best = self.what_if[0] if self.what_if else None
        return {
            "point_id": self.point.point_id,
            "system": self.point.system.spec.name,
            "model": sublayer.model,
            "phase": sublayer.phase,
            "sublayer": sublayer.sublayer,
            "tp": sublayer.tp,
            "topology": self.point.system.spec.topology.kind,
            "scheme": self.losses.scheme,
            "total_fs": self.losses.total_fs,
            "bound": self.losses.bound or None,
            **{f"bound_by_{bound.lower()}_fs": self.losses.bound_fs(bound) for bound in BOUNDS},
            "helps_most": best and best.assignment,
            "helps_most_saves": best and best.saved,
            **{f"{name}_fs": length for name, length in self.losses.buckets.items()},
            "what_if": [asdict(found) for found in self.what_if],
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


def explain(
    trace: str | Path,
    *,
    system: str | Path,
    sublayers: Sequence[str] = (),
    schemes: Sequence[str] = (),
    overrides: Sequence[str] = (),
    gpus: str = "mirror",
    relax: bool = True,
    progress: Progress | None = None,
) -> Explanations:
    """Explain the sublayers of a trace; arguments as for ``simulate``.

    ``relax``: run each scheme again with every parameter of ``what_if.KNOBS`` relaxed. Raises ``InputError`` for
    anything in the arguments that cannot be, ``SimulationError`` when a run fails its own checks.
    """
    points, chosen = load_points(trace, system, sublayers, schemes, overrides, gpus)
    items = []
    for number, point in enumerate(points):
        if progress is not None:
            progress(number, len(points), point.sublayer.label)
        for found in losses(point, chosen):
            better = what_if(point, found.scheme, found.total_fs, system, overrides) if relax and found.bound else []
            items.append(Explanation(point=point, losses=found, what_if=tuple(better)))
    if progress is not None:
        progress(len(points), len(points), "done")
    return Explanations(tuple(items), manifest(points))


def metric(name: str) -> Column:
    """Look a column of the results, or a loss bucket, up. Raises ``InputError`` naming the known ones."""
    known = {**GLOSSARY, **{column.name: column for column in BUCKET_COLUMNS}}
    if name not in known:
        raise InputError(Problem(message="no such column", key="--metric", value=name, known=tuple(known)))
    return known[name]
