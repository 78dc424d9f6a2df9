"""Runs the published experiments and compares."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any

from t3sim.config import Loaded
from t3sim.data import traces_dir
from t3sim.processes import Progress, each
from t3sim.results import Row, RunResult, geomean, merged
from t3sim.results.published import EvaluatedTarget
from t3sim.simulation import Point, SystemSpec, schemes_of_any_network
from t3sim.simulation.lab import ONE
from t3sim.simulation.run import Ran, result_of, run_point
from t3sim.studies.cu_sharing import row_with_cus_shared, with_cus_shared
from t3sim.studies.metrics import CUS_SHARED, METRICS
from t3sim.studies.published import Published, Target
from t3sim.workload.operations import Sublayer
from t3sim.workload.trace import load_trace


@dataclass(frozen=True)
class Reproduction:
    """The rows of the experiments, and each published figure beside its simulated value."""

    by_set: dict[str, RunResult]
    shared_cus: dict[tuple[str, int], list[Row]]
    """Times of GEMMs and collectives on shares of the CUs, by set and CUs of the collectives."""
    targets: tuple[EvaluatedTarget, ...]
    source: str
    """Publication of the targets."""

    @property
    def result(self) -> RunResult:
        """The rows of all sets."""
        return merged(list(self.by_set.values()))

    def document(self) -> dict[str, Any]:
        """Everything as plain data, as ``--format json`` prints it."""
        shared = [{"set": name, **row} for (name, _), rows in self.shared_cus.items() for row in rows]
        return {
            "targets": [asdict(target) for target in self.targets],
            **self.result.document(),
            "shared_cus": shared,
            "source": self.source,
        }


@dataclass(frozen=True)
class _Task:
    """One sublayer to simulate: all schemes on it, or its operations on shares of the CUs."""

    set: str
    sublayer: Sublayer
    system: Loaded[SystemSpec]
    collective_cus: int | None = None
    """CUs that the collectives have to themselves; ``None``: each kernel has all."""

    @property
    def label(self) -> str:
        """Name it to people."""
        cus = self.collective_cus
        return self.sublayer.label if cus is None else f"{self.set}: {cus} CUs for collectives"


def reproduce(
    published: Published,
    system: Loaded[SystemSpec],
    sets: Sequence[str],
    progress: Progress | None = None,
    jobs: int = 1,
) -> Reproduction:
    """Run all schemes on the traces of ``sets``, in ``jobs`` processes, and evaluate the targets of these sets."""
    wanted = [target for target in published.targets if target.set in sets]
    sublayers = {name: _sublayers(published.sets[name]) for name in sets}
    tasks = [_Task(name, sublayer, system) for name in sets for sublayer in sublayers[name]]
    for name, cus in dict.fromkeys((target.set, target.collective_cus) for target in wanted):
        if cus is not None:
            divided = with_cus_shared(system, cus)
            tasks += [_Task(name, sublayer, divided, cus) for sublayer in sublayers[name]]
    found = each(_done, tasks, jobs=jobs, progress=progress, label=attrgetter("label"), group=_ALIKE)
    ran: dict[str, list[Ran]] = {name: [] for name in sets}
    shared: dict[tuple[str, int], list[Row]] = {}
    for task, item in zip(tasks, found, strict=True):
        if isinstance(item, Ran):
            ran[task.set].append(item)
        else:
            shared.setdefault((task.set, task.collective_cus or 0), []).append(item)
    points = {name: [Point(system=system, sublayer=sublayer) for sublayer in sublayers[name]] for name in sets}
    by_set = {name: result_of(points[name], ran[name]) for name in sets}
    targets = tuple(
        _evaluated(target, by_set[target.set], shared.get((target.set, target.collective_cus or 0), []))
        for target in wanted
    )
    return Reproduction(by_set, shared, targets, published.source)


_ALIKE = attrgetter("sublayer.model", "sublayer.tp", "collective_cus")
"""What tasks have in common whose collectives are mostly the same."""


def _sublayers(traces: Sequence[str]) -> list[Sublayer]:
    loaded = [load_trace(trace, folder=traces_dir()).spec for trace in traces]
    return [sublayer for trace in loaded for sublayer in trace.sublayers()]


def _done(task: _Task) -> Ran | Row:
    if task.collective_cus is not None:
        return row_with_cus_shared(task.system, task.sublayer)
    point = Point(system=task.system, sublayer=task.sublayer)
    # One GPU is simulated, as published, also where GPUs are not quite in step: PaLM's (see DEVIATIONS).
    simulated = point if point.why_all_when_fused is None else replace(point, gpus=ONE)
    return run_point(simulated, schemes_of_any_network())


def _evaluated(target: Target, result: RunResult, shared: Sequence[Row]) -> EvaluatedTarget:
    evaluated = EvaluatedTarget(
        id=target.id,
        figure=target.figure,
        set=target.set,
        published=target.published,
        simulated=None,
        error=None,
        use=target.use,
        status="not modelled",
    )
    if target.metric is None:
        return evaluated
    named = [*((item["scheme"], item) for item in result.rows), *((CUS_SHARED, item) for item in shared)]
    rows = [(name, item) for name, item in named if target.tp in (None, item["tp"])]
    if any(item["status"] != "ok" for _, item in rows):
        return replace(evaluated, status="failed")
    by_sublayer: dict[tuple[str, int, str], dict[str, Row]] = {}
    for name, item in rows:
        by_sublayer.setdefault((item["model"], item["tp"], item["sublayer"]), {})[name] = item
    values = [METRICS[target.metric](item, target.scheme or "") for item in by_sublayer.values()]
    simulated = geomean(values) if target.stat == "geomean" else max(values)
    return replace(evaluated, simulated=simulated, error=simulated - target.published, status="ok")
