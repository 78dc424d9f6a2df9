"""Explains sublayers: where the time went under each scheme, and what would help, by simulating again."""

from collections.abc import Sequence
from pathlib import Path

from t3sim.errors import InputError, Problem
from t3sim.experiments.loss_buckets import losses
from t3sim.experiments.what_if import what_if
from t3sim.results import GLOSSARY, Column
from t3sim.results.explanation import WHERE, Explanation, Explanations
from t3sim.results.losses import BUCKET_COLUMNS
from t3sim.simulation.point import identity
from t3sim.simulation.run import Progress, load_points, manifest


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
        named = identity(point)
        where = {name: named[name] for name in WHERE}
        for found in losses(point, chosen):
            better = what_if(point, found.scheme, found.total_fs, system, overrides) if relax and found.bound else []
            items.append(Explanation(where=where, losses=found, what_if=tuple(better)))
    if progress is not None:
        progress(len(points), len(points), "done")
    return Explanations(tuple(items), manifest(points))


def metric(name: str) -> Column:
    """Look a column of the results, or a loss bucket, up. Raises ``InputError`` naming the known ones."""
    known = {**GLOSSARY, **{column.name: column for column in BUCKET_COLUMNS}}
    if name not in known:
        raise InputError(Problem(message="no such column", key="--metric", value=name, known=tuple(known)))
    return known[name]
