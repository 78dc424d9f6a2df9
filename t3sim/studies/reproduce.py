"""Runs the published experiments and compares."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from t3sim.config import Loaded
from t3sim.data import traces_dir
from t3sim.results import Row, RunResult, geomean, merged
from t3sim.results.published import EvaluatedTarget
from t3sim.simulation import Point, SystemSpec, schemes_of_any_network
from t3sim.simulation.lab import ONE
from t3sim.simulation.run import Progress, run_points
from t3sim.studies.cu_sharing import rows_with_cus_shared
from t3sim.studies.metrics import CUS_SHARED, METRICS
from t3sim.studies.published import Published, Target
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


def reproduce(
    published: Published, system: Loaded[SystemSpec], sets: Sequence[str], progress: Progress | None = None
) -> Reproduction:
    """Run all schemes on the traces of ``sets`` and evaluate the targets of these sets."""
    wanted = [target for target in published.targets if target.set in sets]
    points = {name: _points(published.sets[name], system) for name in sets}
    total = sum(map(len, points.values()))
    by_set: dict[str, RunResult] = {}
    done = 0
    for name in sets:
        by_set[name] = run_points(points[name], schemes_of_any_network(), _shifted(progress, done, total))
        done += len(points[name])
    shared: dict[tuple[str, int], list[Row]] = {}
    for name, cus in dict.fromkeys((target.set, target.collective_cus) for target in wanted):
        if cus is not None:
            if progress is not None:
                progress(total, total, f"{name}: {cus} CUs for collectives")
            shared[name, cus] = rows_with_cus_shared(system, cus, [point.sublayer for point in points[name]])
    targets = tuple(
        _evaluated(target, by_set[target.set], shared.get((target.set, target.collective_cus or 0), []))
        for target in wanted
    )
    return Reproduction(by_set, shared, targets, published.source)


def _points(traces: Sequence[str], system: Loaded[SystemSpec]) -> list[Point]:
    loaded = [load_trace(trace, folder=traces_dir()).spec for trace in traces]
    points = [Point(system=system, sublayer=sublayer) for trace in loaded for sublayer in trace.sublayers()]
    # One GPU is simulated, as published, also where GPUs are not quite in step: PaLM's (see DEVIATIONS).
    return [point if point.why_all_when_fused is None else replace(point, gpus=ONE) for point in points]


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Count the points of one set as part of all."""
    if progress is None:
        return None
    return lambda done, _total, label: progress(before + done, total, label)


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
