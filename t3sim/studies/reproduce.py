"""Runs the published experiments and compares."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from operator import attrgetter
from typing import Any

from t3sim.config import Loaded
from t3sim.data import traces_dir
from t3sim.processes import Progress, each
from t3sim.results import Row, RunResult, geomean, merged
from t3sim.results.published import EvaluatedTarget
from t3sim.simulation import Point, SystemSpec, load_system, schemes_of_any_network
from t3sim.simulation.lab import ONE
from t3sim.simulation.run import Ran, result_of, run_point
from t3sim.studies.cu_sharing import row_with_cus_shared, with_cus_shared
from t3sim.studies.end_to_end import WholeModel, rows_of, whole_model
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
    whole: dict[str, list[Row]]
    """Iterations of whole models, by set."""
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
            "whole_models": [{"set": name, **row} for name, rows in self.whole.items() for row in rows],
            "source": self.source,
        }


@dataclass(frozen=True)
class _Task:
    """One sublayer to simulate: all schemes on it, or its operations on shares of the CUs; or a whole model."""

    set: str
    sublayer: Sublayer | WholeModel
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
    """Run all schemes on the traces of ``sets``, in ``jobs`` processes, and evaluate the targets of these sets.

    The system that is calibrated on the figures is simulated too, for its values beside those of ``system``.
    """
    wanted = [target for target in published.targets if target.set in sets]
    sublayers = {name: _sublayers(published.sets[name]) for name in sets}
    calibrated = None if published.system is None else load_system(published.system)
    # What simulates the same is simulated once.
    twice = calibrated is not None and _hardware(calibrated) != _hardware(system)
    systems = [system, calibrated] if calibrated is not None and twice else [system]
    tasks = [_tasks(published, wanted, sublayers, each_system) for each_system in systems]
    everything = [task for of_one in tasks for task in of_one]
    found = iter(each(_done, everything, jobs=jobs, progress=progress, label=attrgetter("label"), group=_alike))
    results = [_results(of_one, [next(found) for _ in of_one], sublayers) for of_one in tasks]
    first, *others = results
    targets = tuple(_evaluated(target, first) for target in wanted)
    if calibrated is not None:
        beside = [_evaluated(target, (others or results)[0]).simulated for target in wanted]
        targets = tuple(replace(target, calibrated=value) for target, value in zip(targets, beside, strict=True))
    return Reproduction(first.by_set, first.shared, first.whole, targets, published.source)


@dataclass(frozen=True)
class _Results:
    """What came of one system's tasks."""

    by_set: dict[str, RunResult]
    shared: dict[tuple[str, int], list[Row]]
    whole: dict[str, list[Row]]


def _hardware(system: Loaded[SystemSpec]) -> dict[str, Any]:
    return system.spec.model_dump(exclude={"name", "description"})


def _tasks(
    published: Published,
    wanted: Sequence[Target],
    sublayers: Mapping[str, list[Sublayer]],
    system: Loaded[SystemSpec],
) -> list[_Task]:
    """List what is to be simulated of one system."""
    tasks = [_Task(name, sublayer, system) for name, members in sublayers.items() for sublayer in members]
    for name, cus in dict.fromkeys((target.set, target.collective_cus) for target in wanted):
        if cus is not None:
            divided = with_cus_shared(system, cus)
            tasks += [_Task(name, sublayer, divided, cus) for sublayer in sublayers[name]]
    for name, phase in dict.fromkeys((target.set, phase) for target in wanted for phase in target.phases):
        tasks += [_Task(name, whole_model(trace, phase), system) for trace in published.sets[name]]
    return tasks


def _results(
    tasks: Sequence[_Task], found: Sequence[Ran | list[Row]], sublayers: Mapping[str, list[Sublayer]]
) -> _Results:
    """Sort what came of one system's tasks."""
    ran: dict[str, list[Ran]] = {name: [] for name in sublayers}
    points: dict[str, list[Point]] = {name: [] for name in sublayers}
    shared: dict[tuple[str, int], list[Row]] = {}
    whole: dict[str, list[Row]] = {}
    for task, item in zip(tasks, found, strict=True):
        if isinstance(item, list):
            kept = (
                whole.setdefault(task.set, [])
                if task.collective_cus is None
                else shared.setdefault((task.set, task.collective_cus), [])
            )
            kept += item
        else:
            assert isinstance(task.sublayer, Sublayer)
            ran[task.set].append(item)
            points[task.set].append(Point(system=task.system, sublayer=task.sublayer))
    return _Results({name: result_of(points[name], ran[name]) for name in sublayers}, shared, whole)


def _alike(task: _Task) -> tuple[object, ...]:
    """Give what tasks have in common whose collectives are mostly the same."""
    what = task.sublayer
    return what.name if isinstance(what, WholeModel) else what.model, what.tp, task.collective_cus


def _sublayers(traces: Sequence[str]) -> list[Sublayer]:
    loaded = [load_trace(trace, folder=traces_dir()).spec for trace in traces]
    return [sublayer for trace in loaded for sublayer in trace.sublayers()]


def _done(task: _Task) -> Ran | list[Row]:
    if isinstance(task.sublayer, WholeModel):
        return rows_of(task.sublayer, task.system)
    if task.collective_cus is not None:
        return [row_with_cus_shared(task.system, task.sublayer)]
    point = Point(system=task.system, sublayer=task.sublayer)
    # One GPU is simulated, as published, also where GPUs are not quite in step: PaLM's (see DEVIATIONS).
    simulated = point if point.why_all_when_fused is None else replace(point, gpus=ONE)
    return run_point(simulated, schemes_of_any_network())


def _evaluated(target: Target, found: _Results) -> EvaluatedTarget:
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
    rows = [(name, item) for name, item in _rows_for(target, found) if target.tp in (None, item["tp"])]
    if any(item["status"] != "ok" for _, item in rows):
        return replace(evaluated, status="failed")
    by_sublayer: dict[tuple[str, int, str], dict[str, Row]] = {}
    for name, item in rows:
        part = str(item["phase" if target.phases else "sublayer"])
        by_sublayer.setdefault((item["model"], item["tp"], part), {})[name] = item
    values = [METRICS[target.metric](item, target.scheme or "") for item in by_sublayer.values()]
    simulated = geomean(values) if target.stat == "geomean" else max(values)
    return replace(evaluated, simulated=simulated, error=simulated - target.published, status="ok")


def _rows_for(target: Target, found: _Results) -> list[tuple[str, Row]]:
    """Pick the rows that a target is of, each with the name that its metric knows it by."""
    if target.phases:
        return [(row["scheme"], row) for row in found.whole[target.set] if row["phase"] in target.phases]
    shared = found.shared.get((target.set, target.collective_cus or 0), [])
    rows = found.by_set[target.set].rows
    return [*((row["scheme"], row) for row in rows), *((CUS_SHARED, row) for row in shared)]
