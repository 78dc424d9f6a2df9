"""Runs: points simulated one after the other, with progress, into one result with its manifest."""

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from t3sim.collectives.planning import NetworkFacts
from t3sim.config import Draft, Loaded, draft
from t3sim.data import systems_dir, traces_dir
from t3sim.errors import InputError, Problem
from t3sim.execution.data import DataMode
from t3sim.hardware.memory.values import Precision
from t3sim.lowering.work import consumers, fusable
from t3sim.processes import Progress, each
from t3sim.registry import get
from t3sim.results import RunResult
from t3sim.results.activity import RUN
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation.fit import check_conditions, check_fit
from t3sim.simulation.lab import ALL, MIRROR, ONE
from t3sim.simulation.plans import facts_of
from t3sim.simulation.point import Measured, Observe, Point, measure, scheme_names, usual_schemes
from t3sim.simulation.system import SystemSpec
from t3sim.version import __version__
from t3sim.workload.operations import Sublayer, Trace, picked
from t3sim.workload.trace import load_trace

SYSTEM_FORMAT = "t3sim-system"
DEFAULT_SYSTEM = "t3-paper"
LIBRARIES = ("simpy", "numpy", "numba", "networkx", "pydantic", "pyyaml", "typer", "rich")
"""What a result may depend on, or an installation lack."""


def load_system(ref: str | Path = DEFAULT_SYSTEM, overrides: Sequence[str] = ()) -> Loaded[SystemSpec]:
    """Load a system by name or path. Raises ``InputError`` with everything that is wrong with it."""
    return _described(ref, overrides).checked(SystemSpec)


def _described(ref: str | Path, overrides: Sequence[str]) -> Draft:
    return draft(ref, folder=systems_dir(), format_name=SYSTEM_FORMAT).overridden(overrides)


def simulate(
    trace: str | Path,
    *,
    system: str | Path = DEFAULT_SYSTEM,
    sublayers: Sequence[str] = (),
    schemes: Sequence[str] = (),
    overrides: Sequence[str] = (),
    gpus: str = "mirror",
    progress: Progress | None = None,
    observe: Observe | None = None,
    data: bool = False,
    data_dtype: str | None = None,
    tune: bool = False,
) -> RunResult:
    """Simulate the sublayers of a trace: the whole way from files to results.

    ``trace``, ``system``: name of a shipped one, or a path. ``sublayers``, ``schemes``: which ones; none: all. A name
    of a sublayer is that of each of its phases, unless it says one: ``backward/fc2``.
    ``overrides``: ``a.b.c=value`` for the system. ``gpus``: ``mirror`` (one GPU where it is each of them, else
    all), ``one`` (also where it is nearly), or the number of GPUs, which must be the trace's TP degree. ``observe``
    sees every machine before it runs. ``data``: let every GPU's memory hold numbers and compare what is there at the
    end; ``data_dtype`` (``fp32``, ``fp16``, ``bf16``): and see what rounding does to sums. Both simulate all GPUs.
    ``tune``: run rivals with what makes them fastest, of what each tries.
    Raises ``InputError`` for anything in these that cannot be.
    """
    mode = data_mode(data=data, dtype=data_dtype)
    points, chosen = load_points(trace, system, sublayers, schemes, overrides, gpus, mode)
    points = [replace(point, tune=tune) for point in points]
    return run_points(points, chosen, progress, observe)


def load_points(
    trace: str | Path,
    system: str | Path,
    sublayers: Sequence[str],
    schemes: Sequence[str],
    overrides: Sequence[str],
    gpus: str,
    data: DataMode | None = None,
) -> tuple[list[Point], tuple[str, ...]]:
    """Read what ``simulate`` is given: the points to simulate and the schemes. Raises ``InputError`` as it does."""
    loaded = load_trace(trace, folder=traces_dir())
    described = _described(system, overrides)
    spec = described.checked(SystemSpec)
    chosen = choose_sublayers(loaded.spec, sublayers)
    check_fit(loaded, chosen, spec.spec)
    check_conditions(spec.spec, loaded.spec.tp, described)
    simulated = choose_gpus(gpus, loaded.spec.tp)
    points = [Point(system=spec, sublayer=sublayer, gpus=simulated, data=data) for sublayer in chosen]
    return points, choose_schemes(schemes, facts_of(spec.spec, loaded.spec.tp))


@dataclass(frozen=True)
class Ran:
    """What came of one point."""

    measured: tuple[Measured, ...]
    notes: tuple[str, ...]
    """What a reader of the results could mistake or wonder at."""


def run_points(
    points: Sequence[Point],
    schemes: Sequence[str],
    progress: Progress | None = None,
    observe: Observe | None = None,
) -> RunResult:
    """Simulate ``points`` under ``schemes``. Raises ``InputError`` when a point cannot be simulated at all."""
    run = partial(run_point, schemes=schemes, observe=observe)
    return result_of(points, each(run, points, progress=progress, label=label))


def run_point(point: Point, schemes: Sequence[str], observe: Observe | None = None) -> Ran:
    """Simulate a point under ``schemes``. Raises ``InputError`` when it cannot be simulated at all."""
    return Ran(tuple(measure(point, schemes, observe)), tuple(notes_on(point)))


def result_of(points: Sequence[Point], ran: Sequence[Ran]) -> RunResult:
    """Put together what came of ``points``."""
    measured = [found for one in ran for found in one.measured]
    hardware = (
        {**{name: row[name] for name in RUN}, **activity.document()}
        for row, activity in measured
        if activity is not None
    )
    notes = [note for one in ran for note in one.notes]
    return RunResult(tuple(found.row for found in measured), manifest(points, notes), tuple(hardware))


def label(point: Point) -> str:
    """Name a point to people."""
    return point.sublayer.label


def manifest(points: Sequence[Point], notes: Sequence[str]) -> dict[str, Any]:
    """Say what made a result: versions, configuration, seed; and what there is to note on it."""
    return manifest_of([point.system for point in points], notes)


def manifest_of(systems: Sequence[Loaded[SystemSpec]], notes: Sequence[str]) -> dict[str, Any]:
    """Say the same of what was simulated on ``systems``."""
    return {
        "t3sim": __version__,
        "python": platform.python_version(),
        "libraries": dict(_versions()),
        "systems": {system.spec.name: system.config_hash for system in systems},
        "seed": systems[0].spec.conditions.seed,
        "notes": list(notes),
    }


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Look up the libraries' versions, which takes milliseconds, once."""
    return tuple((name, version(name)) for name in LIBRARIES)


def notes_on(point: Point) -> Iterator[str]:
    """Say what a reader of the results could mistake or wonder at: nothing to overlap, all GPUs simulated."""
    yield from (f"{point.sublayer.label}: {note}" for note in point.notes)
    if fusable(point.works):
        return
    if consumers(point.works):
        yield (
            f"{point.sublayer.label}: an all-gather before its GEMM; ideals, rivals and t3-consumer overlap them, "
            "T3 as published does not"
        )
    else:
        yield (
            f"{point.sublayer.label}: nothing to overlap, since no reduce-scatter or "
            "all-reduce waits for one GEMM alone and has its output's bytes and dtype; all schemes run the same kernels"
        )


def choose_schemes(wanted: Sequence[str], facts: NetworkFacts) -> tuple[str, ...]:
    """Check the names of schemes; none wanted: all that such a network can run, without rivals.

    Raises ``InputError`` for a name that is not known, and for one that the network cannot run, with the reason.
    """
    chosen = _choose(wanted or usual_schemes(), scheme_names(), "--scheme")
    misfits = {name: reason for name in chosen if (reason := get(SCHEME, name)().misfit(facts))}
    if wanted and misfits:
        raise InputError(*(Problem(message=why, key="--scheme", value=name) for name, why in misfits.items()))
    return tuple(name for name in chosen if name not in misfits)


def choose_sublayers(trace: Trace, wanted: Sequence[str]) -> tuple[Sublayer, ...]:
    """Pick the trace's sublayers by name, or by phase and name (``backward/fc2``); none wanted: all.

    Raises ``InputError`` naming the known ones.
    """
    places = {(sublayer.phase, sublayer.sublayer): sublayer for sublayer in trace.sublayers()}
    return tuple(places[place] for place in picked(tuple(places), wanted, "--sublayer"))


def _choose(wanted: Iterable[str], known: tuple[str, ...], key: str) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(wanted)) or known
    problems = [
        Problem(message="unknown name", key=key, value=name, known=known) for name in chosen if name not in known
    ]
    if problems:
        raise InputError(*problems)
    return chosen


def data_mode(*, data: bool, dtype: str | None = None) -> DataMode | None:
    """Say whether memories hold numbers, and how sums are rounded. Raises ``InputError`` for an unknown type."""
    known = tuple(precision.value for precision in Precision)
    if dtype is not None and dtype not in known:
        raise InputError(Problem(message="sums are not rounded to this", key="--data-dtype", value=dtype, known=known))
    if not (data or dtype is not None):
        return None
    return DataMode(precision=None if dtype is None else Precision(dtype))


def choose_gpus(gpus: str, tp: int) -> str:
    """Say which GPUs ``--gpus`` asks to simulate. Raises ``InputError`` when it is no way to say that."""
    if gpus in (MIRROR, ONE):
        return gpus
    if gpus in (ALL, str(tp)):
        return ALL
    message = "is neither 'mirror', 'one' nor the number of GPUs in the trace's tensor-parallel group"
    raise InputError(Problem(message=message, key="--gpus", value=gpus, known=(MIRROR, ONE, str(tp))))
