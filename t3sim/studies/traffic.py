"""DRAM traffic over time, by cause, of one sublayer under several schemes."""

from collections.abc import Sequence
from functools import partial

from t3sim.errors import SimulationError
from t3sim.hardware.machine import Machine
from t3sim.observe import Recorder
from t3sim.observe.counters import counters
from t3sim.processes import each
from t3sim.registry import get
from t3sim.results.timeline import Counter
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Scheme
from t3sim.simulation import Point
from t3sim.simulation.lab import SystemLab

_MOST_BINS = 400  # as many as a figure can show


def record_traffic(point: Point, schemes: Sequence[str], jobs: int = 1) -> dict[str, Counter]:
    """Record the first GPU's DRAM rates, GB/s by cause, under each of ``schemes``, in ``jobs`` processes.

    Raises ``SimulationError`` when a run fails its own checks, or a scheme runs nothing, or more than one machine.
    """
    return dict(zip(schemes, each(partial(_rates, point), schemes, jobs=jobs), strict=True))


def _rates(point: Point, name: str) -> Counter:
    recorders: list[Recorder] = []

    def observe(machine: Machine) -> None:
        recorders.append(Recorder(machine))

    scheme: Scheme = get(SCHEME, name)()
    scheme.simulate(SystemLab(point.system.spec, point.sublayer.tp, point.gpus, observe), point.works)
    if len(recorders) != 1:
        raise SimulationError(f"{name} is no single run: its DRAM traffic over time is not defined")
    (recorder,) = recorders
    return counters(recorder.gpus[0], recorder.end_fs, _MOST_BINS)[0]
