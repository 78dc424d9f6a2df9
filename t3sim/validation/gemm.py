"""GEMMs alone on one GPU, against times that others measured on it.

Bands are of M: below 512 a GEMM is bound by memory and latency and by what its library does there, which is shown and
is no goal.
"""

from collections.abc import Sequence

from t3sim.collectives.plan import Plan
from t3sim.execution.gemm import GemmKernel
from t3sim.hardware.machine import Machine
from t3sim.lowering.work import lower
from t3sim.processes import Progress, each
from t3sim.registry import get, register
from t3sim.results.comparison import Comparison
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Scheme
from t3sim.simulation import SystemSpec, load_system
from t3sim.simulation.lab import SystemLab
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND
from t3sim.validation.measured_gemms import MeasuredGemm, load_measured_gemms
from t3sim.workload.operations import Gemm, Sublayer

_BANDS = ((512, "M < 512"), (1024, "512 <= M < 1024"), (4096, "1024 <= M < 4096"))


@register(KIND, "gemm")
class MeasuredGemmTimes:
    """Times of GEMMs alone, by GPU and band of M."""

    against = "measured"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every measured GEMM, by GPU and from few rows to many."""
        measured = sorted(load_measured_gemms().spec.gemms(), key=lambda item: (item.system, item.op.M))
        systems = {name: load_system(name).spec for name in dict.fromkeys(item.system for item in measured)}
        return compare_gemms(measured, systems, progress, jobs)


def compare_gemms(
    measured: Sequence[MeasuredGemm], systems: dict[str, SystemSpec], progress: Progress | None = None, jobs: int = 1
) -> list[Comparison]:
    """Simulate ``measured`` on ``systems``, by their names, in ``jobs`` processes."""
    pairs = [(item, systems[item.system]) for item in measured]
    return each(_compared, pairs, jobs=jobs, progress=progress, label=_case)


def _case(pair: tuple[MeasuredGemm, SystemSpec]) -> str:
    item, _ = pair
    return f"{item.system} {item.op.M} x {item.op.N} x {item.op.K_local} {item.op.dtype}"


def _compared(pair: tuple[MeasuredGemm, SystemSpec]) -> Comparison:
    item, system = pair
    launch_fs = system.compute.launch_overhead if item.launch_fs is None else item.launch_fs
    time_fs = gemm_fs(system, item.op) - system.compute.launch_overhead + launch_fs
    return Comparison(
        group=item.system,
        band=band(item.op.M),
        case=_case(pair),
        quantity="time_us",
        reference=item.time_us,
        simulated=time_fs / FS_PER_US,
        source=item.citation,
    )


def gemm_fs(system: SystemSpec, op: Gemm) -> int:
    """Simulate one GEMM as a kernel of its own on one GPU, fs from launch to last store.

    What the LLC then holds of the output is not waited for: a kernel's end does not write it back on these GPUs.
    """
    alone = Sublayer(model="gemm", phase=op.phase, sublayer=op.sublayer, tp=1, operations=(op,))
    works = lower(alone, system.gemm, system.compute.collective_slice, _no_plans, system.gemm_rates())
    machines: list[Machine] = []
    scheme: Scheme = get(SCHEME, "sequential")()
    scheme.simulate(SystemLab(system, 1, "mirror", observe=machines.append), works)
    return max(program.last_store_fs for _, program in machines[0].gpus[0].programs if isinstance(program, GemmKernel))


def _no_plans(op: str, nbytes: int) -> tuple[Plan, ...]:
    raise LookupError(f"a GEMM alone has no {op} of {nbytes} B")


def band(rows: int) -> str:
    """Name the band of a GEMM of ``rows`` rows."""
    return next((name for below, name in _BANDS if rows < below), "M >= 4096")
