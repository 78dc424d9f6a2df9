"""How long each GEMM of a trace takes with the machine to itself, for programs that replay times."""

from t3sim.config import Loaded
from t3sim.lowering.work import GemmWork
from t3sim.schemes.kernels import GemmPhase
from t3sim.simulation import Point, SystemSpec
from t3sim.simulation.lab import SystemLab
from t3sim.workload.operations import Trace


def gemm_times_fs(system: Loaded[SystemSpec], trace: Trace) -> dict[str, int]:
    """Simulate every GEMM of ``trace`` alone, its launch included; by id.

    Raises ``InputError`` where the trace does not fit the system.
    """
    lab = SystemLab(system.spec, trace.tp)
    works = [work for sublayer in trace.sublayers() for work in Point(system=system, sublayer=sublayer).works]
    return {work.op.id: lab.alone(GemmPhase(work)).total_fs for work in works if isinstance(work, GemmWork)}
