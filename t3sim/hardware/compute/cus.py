"""The CU array: runs a GEMM stage by stage.

A stage is as many workgroups as fit on the CUs at once. They are identical and run as one gang: per K-slab, the
operands must have arrived and the slab before must be done; then the slab computes for

    2 x tile_m x tile_n x slab_k x (workgroups sharing a CU) / (FLOP per cycle and CU) cycles.

or, if that is more, for as long as its operands take from the LLC at the LLC's bandwidth. ``prefetch_slabs`` slabs
are loaded ahead of the one computing. LLC misses become DRAM reads; a slab without any arrives after the LLC's hit
latency. The epilogue of a stage is a fixed overhead and its output's way to the LLC; then outputs leave, and the next
stage starts once the store buffer has taken them. With split-K, a last step sums the partial outputs.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Protocol

from pydantic import Field
from simpy.events import Event

from t3sim.config import Femtoseconds, PositiveBytes, PositiveHertz, Spec
from t3sim.hardware.clock import Environment
from t3sim.hardware.compute.llc import LlcSpec, LlcTraffic
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.controller import MemoryController
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.layout import Place
from t3sim.lowering.tiling import GemmKernelSpec, Tiling
from t3sim.units import FS_PER_S, ceil_div

Process = Generator[Event, Any, Any]


# Far beyond any hardware: a slip of the keyboard is named instead of simulated.
MOST_CUS = 2**16
LEAST_FRACTION = 0.001
SLICES_IN_WINDOW = 8
"""Least number of slices that a collective kernel's window is made of; one that reduces reads two at a time."""


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
    """Grain at which a collective kernel reads, sends and writes; less where its CUs keep little in flight."""

    @property
    def collective_window(self) -> int:
        """Bytes that a collective kernel keeps in flight on all its CUs."""
        return self.collective_cus * self.collective_outstanding_per_cu

    @property
    def slice_bytes(self) -> int:
        """Grain of a collective kernel: so small that ``window / latency`` is its rate (Little's law).

        A slice counts as in flight until its last byte has left, so slices must be small against the window.
        """
        return min(self.collective_slice, max(1, self.collective_window // SLICES_IN_WINDOW))


class StoreBuffer:
    """Output that has left its workgroups but is neither in memory nor accepted by a link."""

    def __init__(self, env: Environment, capacity: int) -> None:
        self.env = env
        self.capacity = capacity
        self.held = 0
        self._waiter: Event | None = None
        self._level = capacity

    def take(self, nbytes: int) -> None:
        """Add ``nbytes``; may exceed the capacity, which then holds the next stage back."""
        self.held += nbytes

    def give(self, nbytes: int) -> None:
        """Remove ``nbytes``."""
        self.held -= nbytes
        if self._waiter is not None and self.held <= self._level:
            waiter, self._waiter = self._waiter, None
            waiter.succeed()

    def room(self) -> Event | None:
        """Return an event for when the buffer is within its capacity again; ``None`` if it is now."""
        return self._at_most(self.capacity)

    def drained(self) -> Event | None:
        """Return an event for when everything is in memory or on a link; ``None`` if it is now."""
        return self._at_most(0)

    def _at_most(self, level: int) -> Event | None:
        if self.held <= level:
            return None
        self._level, self._waiter = level, Event(self.env)
        return self._waiter


class StorePath(Protocol):
    """Where a GEMM's output goes."""

    def store_stage(self, first: int, last: int) -> None:
        """Issue the output of workgroups ``first`` to ``last - 1`` of the dispatch order."""


@dataclass(frozen=True, kw_only=True)
class GemmRun:
    """One GEMM as the CU array sees it."""

    kernel: KernelChoice
    dtype: str
    traffic: LlcTraffic
    stage_workgroups: int

    @property
    def tiling(self) -> Tiling:
        """The tile grid, of one part of K."""
        return self.kernel.tiling


class ComputeArray:
    """The CUs of one GPU."""

    def __init__(
        self,
        env: Environment,
        spec: ComputeSpec,
        kernel: GemmKernelSpec,
        llc: LlcSpec,
        memory: MemoryController,
    ) -> None:
        self.env = env
        self.spec = spec
        self.kernel = kernel
        self.llc = llc
        self.memory = memory
        self.store_buffer = StoreBuffer(env, spec.store_buffer)
        self.stall_fs = 0
        """Time stages waited for operands (not for stores)."""
        self.last_store_fs = 0
        """When output was last issued."""

    def stage_workgroups(self, kernel: KernelChoice) -> int:
        """Workgroups of ``kernel`` resident at once."""
        return self.spec.cus * kernel.workgroups_per_cu

    def slab_fs(self, tiling: Tiling, dtype: str, depth: int, workgroups: int) -> int:
        """Time of one slab of ``depth`` K elements when ``workgroups`` share the CUs and the LLC."""
        sharing = ceil_div(workgroups, self.spec.cus)
        flops = 2 * tiling.tile_m * tiling.tile_n * depth * sharing
        rate = self.spec.matrix_flops_per_cycle[dtype] * self.spec.sustained_fraction * self.spec.clock
        return max(math.ceil(flops * FS_PER_S / rate), self._llc_fs(workgroups * tiling.operand_bytes(depth)))

    def epilogue_fs(self, kernel: KernelChoice, workgroups: int) -> int:
        """Time from the last slab of a stage of ``workgroups`` to its output being with the LLC."""
        return self.spec.stage_overhead + self._llc_fs(workgroups * kernel.tiling.tile_elements * kernel.stored_bytes)

    def reduction_fs(self, kernel: KernelChoice) -> int:
        """Time to sum the partial outputs of split-K, which the LLC holds."""
        return self.spec.stage_overhead + self._llc_fs(kernel.partial_bytes + kernel.tiling.output_bytes)

    def _llc_fs(self, nbytes: int) -> int:
        return 0 if self.llc.bandwidth is None else ceil_div(nbytes * FS_PER_S, self.llc.bandwidth)

    def gemm(self, run: GemmRun, stores: StorePath) -> Process:
        """Run all stages; ends when the last stage's output is issued."""
        self.memory.start_kernel()
        total = run.kernel.workgroups
        started, own_before = int(self.env.now), self._own_bytes()
        for stage, first in enumerate(range(0, total, run.stage_workgroups)):
            last = min(first + run.stage_workgroups, total)
            yield from self.stage(run, stage, last - first)
            yield from self._busy(self.epilogue_fs(run.kernel, last - first))
            if stage == 0:
                self._measure(int(self.env.now) - started, self._own_bytes() - own_before)
            stores.store_stage(first, last)
            self.last_store_fs = int(self.env.now)
            evicted = int(run.traffic.store_evicted_bytes[stage])
            if evicted:
                self.write_back(evicted, partial(run.traffic.store_evicted, stage))
            room = self.store_buffer.room()
            if room is not None:
                yield room
        if run.kernel.split_k > 1:
            yield from self._busy(self.reduction_fs(run.kernel))
            self.last_store_fs = int(self.env.now)

    def _busy(self, duration_fs: int) -> Process:
        if duration_fs:
            yield self.env.timeout(duration_fs)

    def write_back(self, nbytes: int, place: Place) -> None:
        """Write dirty output that leaves the LLC to DRAM, through the store buffer."""
        self.store_buffer.take(nbytes)
        self.memory.submit(
            Stream.COMPUTE, Access.WRITE, nbytes, Cause.GEMM_WRITE, place, lambda: self.store_buffer.give(nbytes)
        )

    def stage(self, run: GemmRun, stage: int, workgroups: int) -> Process:
        """Run the K loop of one stage of ``workgroups``."""
        depths = run.tiling.slab_depths.tolist()
        slabs = len(depths)
        times = {depth: self.slab_fs(run.tiling, run.dtype, depth, workgroups) for depth in set(depths)}
        ahead = self.kernel.prefetch_slabs + 1
        loads = [self._load(run.traffic, stage, slab) for slab in range(min(ahead, slabs))]
        for slab in range(slabs):
            if not loads[slab].processed:
                yield from self.await_operands(loads[slab])
            yield self.env.timeout(times[depths[slab]])
            if slab + ahead < slabs:
                loads.append(self._load(run.traffic, stage, slab + ahead))

    def await_operands(self, load: Event) -> Process:
        """Wait for one slab's operands."""
        waited_from = int(self.env.now)
        yield load
        self.stall_fs += int(self.env.now) - waited_from

    def _load(self, traffic: LlcTraffic, stage: int, slab: int) -> Event:
        """Start loading one slab's operands."""
        evicted = int(traffic.evicted_bytes[stage, slab])
        if evicted:
            self.write_back(evicted, partial(traffic.evicted, stage, slab))
        nbytes = int(traffic.read_bytes[stage, slab])
        if not nbytes:
            return self.env.timeout(self.llc.hit_latency)
        event = Event(self.env)
        self.memory.submit(
            Stream.COMPUTE,
            Access.READ,
            nbytes,
            Cause.GEMM_READ,
            partial(traffic.missed, stage, slab),
            lambda: _succeed(event),
        )
        return event

    def _own_bytes(self) -> int:
        served = self.memory.served_bytes()
        return served[Cause.GEMM_READ] + served[Cause.GEMM_WRITE]

    def _measure(self, elapsed_fs: int, own_bytes: int) -> None:
        """Tell the memory which share of its bandwidth the first stage's own accesses took."""
        self.memory.tune(own_bytes * FS_PER_S / (elapsed_fs * self.memory.spec.peak_bytes_per_s))


def _succeed(event: Event) -> None:
    event.succeed()
