"""One GEMM: the kernel that it runs as, its time alone and what binds it, and its sublayer under schemes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from t3sim.config import Loaded
from t3sim.execution.gemm import GemmKernel
from t3sim.experiments.binding import RESOURCES
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Direction
from t3sim.lowering.work import GemmWork
from t3sim.processes import Progress
from t3sim.registry import get
from t3sim.results import Row, RunResult
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Scheme
from t3sim.simulation import Point, SystemSpec
from t3sim.simulation.lab import MIRROR, SystemLab
from t3sim.simulation.plans import facts_of
from t3sim.simulation.point import BASELINE
from t3sim.simulation.run import choose_schemes, manifest, run_points
from t3sim.units import FS_PER_S, FS_PER_US, ceil_div
from t3sim.workload.gemm_lists import Shape, gemm_sublayer
from t3sim.workload.operations import Gemm, Sublayer

GEMM_COLUMNS = (
    "system",
    "M",
    "N",
    "K_local",
    "dtype",
    "tile_m",
    "tile_n",
    "split_k",
    "workgroups",
    "stages",
    "time_us",
    "written_us",
    "tflops",
    "peak_share",
    "dram_read_bytes",
    "dram_write_bytes",
    "bound",
)

_LEAST_SAVED = 0.001  # of the time; a resource that saves less binds nothing


@dataclass(frozen=True)
class GemmStudy:
    """What one GEMM takes: alone, and with `schemes` in its sublayer."""

    alone: Row
    schemes: RunResult | None
    manifest: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Everything as plain data, as ``--format json`` prints it."""
        rows = list(self.schemes.rows) if self.schemes is not None else []
        return {"gemm": self.alone, "rows": rows, "manifest": self.manifest}


def gemm_study(
    system: Loaded[SystemSpec],
    shape: Shape,
    tp: int | None = None,
    schemes: Sequence[str] = (),
    progress: Progress | None = None,
) -> GemmStudy:
    """Run one GEMM alone, and with ``tp`` its share of K on each of so many GPUs, whose outputs schemes sum up.

    Raises ``InputError`` when it does not fit the system or the GPUs cannot share it, before anything runs.
    """
    if tp is None:
        op = Gemm(id="gemm", phase="alone", sublayer="gemm", M=shape.M, N=shape.N, K_local=shape.K, dtype=shape.dtype)
        points: list[Point] = []
        chosen: tuple[str, ...] = ()
    else:
        sublayer = gemm_sublayer(shape, tp)
        (op,) = (each for each in sublayer.operations if isinstance(each, Gemm))
        points = [Point(system=system, sublayer=sublayer, gpus=MIRROR)]
        chosen = choose_schemes(schemes, facts_of(system.spec, tp))
    alone = Point(
        system=system,
        sublayer=Sublayer(model=str(shape), phase=op.phase, sublayer=op.sublayer, tp=1, operations=(op,)),
    )
    for point in (alone, *points):
        point.check()
    row = _alone(alone, op)
    result = run_points(points, chosen, progress) if points else None
    return GemmStudy(row, result, manifest([alone], []) if result is None else result.manifest)


def _alone(point: Point, op: Gemm) -> Row:
    system = point.system.spec
    (work,) = (each for each in point.works if isinstance(each, GemmWork))
    kernel, compute = work.plain, system.compute
    last_store_fs, written_fs, read, written = _run(point, system)
    peak = compute.cus * compute.matrix_flops_per_cycle[op.dtype] * compute.clock
    per_s = op.flop * FS_PER_S / last_store_fs
    return {
        "system": system.name,
        "M": op.M,
        "N": op.N,
        "K_local": op.K_local,
        "dtype": op.dtype,
        "tile_m": kernel.tiling.tile_m,
        "tile_n": kernel.tiling.tile_n,
        "split_k": kernel.split_k,
        "workgroups": kernel.workgroups,
        "stages": ceil_div(kernel.workgroups, compute.cus * kernel.workgroups_per_cu),
        "time_us": last_store_fs / FS_PER_US,
        "written_us": written_fs / FS_PER_US,
        "tflops": per_s / 1e12,
        "peak_share": per_s / peak,
        "dram_read_bytes": read,
        "dram_write_bytes": written,
        "bound": _bound(point, last_store_fs),
    }


def _run(point: Point, system: SystemSpec) -> tuple[int, int, int, int]:
    """Run the kernel of a point on a system: fs to its last store, fs until that is in memory, bytes read, written."""
    machines: list[Machine] = []
    scheme: Scheme = get(SCHEME, BASELINE)()
    outcome = scheme.simulate(SystemLab(system, 1, MIRROR, observe=machines.append), point.works)
    kernels = (program for _, program in machines[0].gpus[0].programs if isinstance(program, GemmKernel))
    moved = {way: sum(n for cause, n in outcome.served_bytes.items() if cause.direction is way) for way in Direction}
    written = sum(moved.values()) - moved[Direction.READ]
    return max(each.last_store_fs for each in kernels), outcome.total_fs, moved[Direction.READ], written


def _bound(point: Point, before_fs: int) -> str | None:
    """Name the resource that saves the kernel most of its time when there is twice as much of it."""
    saved = {}
    for resource, doubled in GEMM_RESOURCES.items():
        changed = doubled(point.system.spec)
        if changed != point.system.spec:
            saved[resource] = before_fs - _run(point, changed)[0]
    best = max(saved, key=lambda resource: saved[resource], default=None)
    return best if best is not None and saved[best] > _LEAST_SAVED * before_fs else None


def _faster_matrices(system: SystemSpec) -> SystemSpec:
    rates = {dtype: 2 * flops for dtype, flops in system.compute.matrix_flops_per_cycle.items()}
    return system.model_copy(update={"compute": system.compute.model_copy(update={"matrix_flops_per_cycle": rates})})


def _faster_llc(system: SystemSpec) -> SystemSpec:
    if system.llc.bandwidth is None:
        return system
    return system.model_copy(update={"llc": system.llc.model_copy(update={"bandwidth": 2 * system.llc.bandwidth})})


def _less_overhead(system: SystemSpec) -> SystemSpec:
    less = {name: getattr(system.compute, name) // 2 for name in ("launch_overhead", "stage_overhead")}
    return system.model_copy(update={"compute": system.compute.model_copy(update=less)})


GEMM_RESOURCES: Mapping[str, Callable[[SystemSpec], SystemSpec]] = {
    "matrix units": _faster_matrices,
    "LLC": _faster_llc,
    "DRAM": RESOURCES["DRAM"],
    "overheads": _less_overhead,
}
"""Each resource, and the system with twice as much of it, or half the overheads of launches and stages."""
