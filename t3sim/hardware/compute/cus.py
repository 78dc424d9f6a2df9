"""The CU array: how long its kernels' work takes.

A stage is as many workgroups as fit on the CUs at once. They are identical and run as one gang: per K-slab,

    2 x tile_m x tile_n x slab_k x (workgroups sharing a CU) / (FLOP per cycle and CU) cycles

or, if that is more, as long as the slab's operands take from the LLC at the LLC's bandwidth. The epilogue of a stage
is a fixed overhead and its output's way to the LLC. Kernels that run at once have a share of the CUs each.
"""

import math
from collections.abc import Generator
from typing import Annotated, Any

from pydantic import Field
from simpy.events import Event

from t3sim.config import Femtoseconds, PositiveBytes, PositiveHertz, Spec
from t3sim.hardware.compute.llc import LlcSpec
from t3sim.hardware.probe import Probe
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.tiling import Tiling
from t3sim.units import FS_PER_S, ceil_div

Process = Generator[Event, Any, Any]


# Far beyond any hardware: a slip of the keyboard is named instead of simulated.
MOST_CUS = 2**16
LEAST_FRACTION = 0.001
READS_IN_WINDOW = 8
"""Reads that a collective kernel keeps in flight: so many that ``window / latency`` is its rate (Little's law)."""


class ComputeSpec(Spec):
    """The compute units of one GPU."""

    cus: Annotated[int, Field(gt=0, le=MOST_CUS)]
    """Compute units of the GPU."""
    clock: PositiveHertz
    """Of the CUs, as the matrix rate counts cycles."""
    matrix_flops_per_cycle: dict[str, Annotated[int, Field(gt=0)]]
    """Dense matrix FLOP per cycle and CU, by dtype."""
    sustained_fraction: Annotated[float, Field(ge=LEAST_FRACTION, le=1)]
    """Share of the matrix rate that a kernel's inner loop sustains."""
    launch_overhead: Femtoseconds
    """From a kernel's launch to its first workgroup."""
    stage_overhead: Femtoseconds = 0
    """Time of a stage beside its loads, slabs and stores: set-up, barriers, turning accumulators into output."""
    store_buffer: PositiveBytes
    """Output bytes that may have left their workgroups without being in memory or on a link yet."""
    collective_cus: Annotated[int, Field(gt=0, le=MOST_CUS)]
    """CUs that a collective kernel runs on when it has the GPU to itself."""
    collective_outstanding_per_cu: PositiveBytes
    """Bytes one CU keeps in flight when it copies or reduces."""
    collective_slice: PositiveBytes
    """Grain at which a collective kernel sends and writes; it reads in smaller ones where it keeps little in flight."""

    def peak_flops_per_s(self, dtype: str) -> float:
        """Matrix FLOP per second of all CUs."""
        return self.cus * self.matrix_flops_per_cycle[dtype] * self.clock

    def collective_window(self, cus: int) -> int:
        """Bytes that a collective kernel keeps in flight on ``cus`` CUs."""
        return cus * self.collective_outstanding_per_cu


class ComputeArray:
    """The CUs of one GPU and the way to their LLC."""

    def __init__(self, spec: ComputeSpec, llc: LlcSpec, speed: float = 1.0) -> None:
        """``speed``: of its clock, relative to what ``spec`` says."""
        self.spec = spec
        self.llc = llc
        self.speed = speed
        self.probe: Probe | None = None
        self.stall_fs = 0
        """Time in which stages waited for operands (not for stores), of all kernels."""
        self.busy_fs: dict[str, int] = {}
        """By operation: time that its workgroups held a CU, added up over the CUs."""
        self.llc_asked_bytes = 0
        """Operand bytes that the workgroups of all GEMMs asked of the LLC."""
        self.llc_missed_bytes = 0
        """What of them the LLC did not hold."""

    def occupied(self, operation: str, cus: int, duration_fs: int) -> None:
        """Count ``cus`` CUs that ``operation`` has held for ``duration_fs``."""
        self.busy_fs[operation] = self.busy_fs.get(operation, 0) + cus * duration_fs

    def loaded(self, asked_bytes: int, missed_bytes: int) -> None:
        """Count the operands that a GEMM loads through the LLC."""
        self.llc_asked_bytes += asked_bytes
        self.llc_missed_bytes += missed_bytes

    def slab_fs(self, tiling: Tiling, dtype: str, depth: int, workgroups: int, cus: int) -> int:
        """Time of one slab of ``depth`` K elements when ``workgroups`` share ``cus`` CUs and the LLC."""
        sharing = ceil_div(workgroups, cus)
        flops = 2 * tiling.tile_m * tiling.tile_n * depth * sharing
        rate = self.spec.matrix_flops_per_cycle[dtype] * self.spec.sustained_fraction * self.spec.clock * self.speed
        return max(math.ceil(flops * FS_PER_S / rate), self._llc_fs(workgroups * tiling.operand_bytes(depth)))

    def epilogue_fs(self, kernel: KernelChoice, workgroups: int) -> int:
        """Time from the last slab of a stage of ``workgroups`` to its output being with the LLC."""
        return self._overhead_fs + self._llc_fs(workgroups * kernel.tiling.tile_elements * kernel.stored_bytes)

    def reduction_fs(self, kernel: KernelChoice) -> int:
        """Time to sum the partial outputs of split-K, which the LLC holds."""
        return self._overhead_fs + self._llc_fs(kernel.partial_bytes + kernel.tiling.output_bytes)

    @property
    def _overhead_fs(self) -> int:
        return math.ceil(self.spec.stage_overhead / self.speed)

    def _llc_fs(self, nbytes: int) -> int:
        return (
            0 if self.llc.bandwidth is None else math.ceil(ceil_div(nbytes * FS_PER_S, self.llc.bandwidth) / self.speed)
        )
