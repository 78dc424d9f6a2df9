"""One collective alone: a point that holds nothing else, and what its run says of algorithm, bandwidth and links."""

from typing import Any

from t3sim.config import Loaded
from t3sim.execution.data import DataMode
from t3sim.lowering.work import CollectiveWork
from t3sim.results import Row
from t3sim.schemes.scheme import Outcome
from t3sim.schemes.sequential import kernel_phase
from t3sim.simulation.bandwidth import bandwidths
from t3sim.simulation.lab import MIRROR, SystemLab
from t3sim.simulation.point import Point
from t3sim.simulation.seeds import SeedRuns, by_seed
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_US
from t3sim.workload.operations import Collective, Sublayer

_FREE_DRAM = (
    "{model: in-order, bandwidth: 1000000 TB/s, efficiency: 1.0, channels: 32, access: 64 B, queue_entries: 64, "
    "read_latency: 0 ns, update_cost: 1.0, turnaround: 0 ns, stream_switch: 0 ns}"
)
FREE_MEMORY = (
    f"memory={_FREE_DRAM}",
    "protocols={}",
    "compute.launch_overhead=0 ns",
    "compute.collective_outstanding_per_cu=32 KiB",
)
"""Overrides of a system under which memory, launches and protocols cost nothing: only the network is left."""

_PHASE = "alone"


def collective_point(
    system: Loaded[SystemSpec],
    operation: str,
    gpus: int,
    nbytes: int,
    simulated: str = MIRROR,
    data: DataMode | None = None,
) -> Point:
    """Give the point of one collective over ``gpus`` GPUs with a buffer of ``nbytes`` (see ``Collective.bytes``)."""
    fields: dict[str, Any] = {"id": operation, "op": operation, "bytes": nbytes, "dtype": "fp16"}
    alone = Collective.model_validate({**fields, "phase": _PHASE, "sublayer": operation})
    sublayer = Sublayer(model=_PHASE, phase=_PHASE, sublayer=operation, tp=gpus, operations=(alone,))
    return Point(system=system, sublayer=sublayer, gpus=simulated, data=data)


def run_seeds(point: Point) -> SeedRuns:
    """Run the kernels of ``point`` under every seed, where something is random; raises as ``run_collective``."""
    return SeedRuns.of(run_collective(point, system) for system in by_seed(point.system.spec))


def run_collective(point: Point, system: SystemSpec | None = None) -> Outcome:
    """Run the kernels of ``point`` one after the other; on ``system``, if given, with the plans of the point's own.

    Where something is random, under the first seed alone.
    Raises ``InputError`` when they do not fit the system, ``SimulationError`` when the run fails its own checks.
    """
    lab = SystemLab(system or point.system.spec, point.sublayer.tp, point.gpus, data=point.data)
    return lab.run([kernel_phase(work) for work in point.works], "sequential")


def collective_row(point: Point, found: SeedRuns) -> Row:
    """Say what the runs of a collective alone measured: the columns of ``t3sim collective`` but for what binds it.

    The row is of the run of median time, as those of ``t3sim run``.
    """
    outcome, data = found.median, found.data
    (operation,) = (op for op in point.sublayer.operations if isinstance(op, Collective))
    works = [work for work in point.works if isinstance(work, CollectiveWork)]
    busiest = max(outcome.links, key=lambda name: outcome.links[name].busy_fs, default=None)
    busy_fs = outcome.links[busiest].busy_fs if busiest is not None else 0
    return {
        "op": operation.op,
        "algorithm": works[0].plan.algorithm,
        "topology": point.system.spec.topology.kind,
        "gpus": point.sublayer.tp,
        "bytes": operation.bytes,
        "time_us": outcome.total_fs / FS_PER_US,
        **bandwidths(point.sublayer.operations, point.sublayer.tp, outcome.total_fs),
        "wire_bytes_max": outcome.wire_bytes_max,
        "link_util": busy_fs / outcome.total_fs if outcome.total_fs else 0.0,
        "busiest_link": busiest,
        "gpus_simulated": outcome.gpus_simulated,
        "data_errors": data.errors if data is not None else None,
        "data_spread": data.spread if data is not None else None,
        **found.spread("time_us"),
        "seed": point.system.spec.conditions.seed,
        "seeds": len(found.runs),
    }
