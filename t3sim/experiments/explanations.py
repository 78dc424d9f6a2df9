"""Explains sublayers: where the time went under each scheme, and what would help, by simulating again."""

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from t3sim.errors import InputError, Problem
from t3sim.experiments.what_if import what_if
from t3sim.processes import Progress, each
from t3sim.results import GLOSSARY, Column
from t3sim.results.explanation import WHERE, Explanation, Explanations, WhatIf
from t3sim.results.losses import BUCKET_COLUMNS, Losses
from t3sim.simulation import Point
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.loss_buckets import losses_of
from t3sim.simulation.point import identity
from t3sim.simulation.run import label, load_points, manifest, notes_on


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
    jobs: int = 1,
) -> Explanations:
    """Explain the sublayers of a trace, in ``jobs`` processes; other arguments as for ``simulate``.

    ``relax``: run each scheme again with every parameter of ``what_if.KNOBS`` relaxed. Raises ``InputError`` for
    anything in the arguments that cannot be, ``SimulationError`` when a run fails its own checks.
    """
    points, chosen = load_points(trace, system, sublayers, schemes, overrides, gpus)
    split = partial(losses, schemes=chosen)
    lost = each(split, points, jobs=jobs, progress=progress, label=label)
    pairs = [(point, found) for point, of_point in zip(points, lost, strict=True) for found in of_point]
    better: list[list[WhatIf]] = [[] for _ in pairs]
    if relax:
        relaxed = partial(_relaxed, system=system, overrides=overrides)
        better = each(relaxed, pairs, jobs=jobs, progress=progress, label=_label)
    items = (
        Explanation(where=_where(point), losses=found, what_if=tuple(changes))
        for (point, found), changes in zip(pairs, better, strict=True)
    )
    notes = [note for point in points for note in notes_on(point)]
    return Explanations(tuple(items), manifest(points, notes))


def losses(point: Point, schemes: Iterable[str]) -> list[Losses]:
    """Split the time of ``point`` under each of ``schemes``. Raises ``SimulationError`` as ``losses_of`` does."""
    return losses_of(SystemLab(point.system.spec, point.sublayer.tp, point.gpus), point.works, schemes)


def _relaxed(pair: tuple[Point, Losses], system: str | Path, overrides: Sequence[str]) -> list[WhatIf]:
    point, found = pair
    return what_if(point, found.scheme, found.total_fs, system, overrides) if found.bound else []


def _label(pair: tuple[Point, Losses]) -> str:
    point, found = pair
    return f"{point.sublayer.label}: what would help {found.scheme}"


def _where(point: Point) -> dict[str, object]:
    named = identity(point)
    return {name: named[name] for name in WHERE}


def metric(name: str) -> Column:
    """Look a column of the results, or a loss bucket, up. Raises ``InputError`` naming the known ones."""
    known = {**GLOSSARY, **{column.name: column for column in BUCKET_COLUMNS}}
    if name not in known:
        raise InputError(Problem(message="no such column", key="--metric", value=name, known=tuple(known)))
    return known[name]
