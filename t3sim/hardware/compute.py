"""The CU array: runs a GEMM stage by stage.

A stage is as many workgroups as fit on the CUs at once. They are identical and run as one gang: per K-slab, the
operands must have arrived and the slab before must be done; then the slab computes for

    2 x tile_m x tile_n x slab_k x (workgroups sharing a CU) / (FLOP per cycle and CU) cycles.

``prefetch_slabs`` slabs are loaded ahead of the one computing. LLC misses become DRAM reads; a slab without any
arrives after the LLC's hit latency. Outputs leave at the end of the stage; the next stage starts once the store
buffer has taken them.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field
from simpy.events import Event

from t3sim.config import Femtoseconds, PositiveBytes, PositiveHertz, Spec
from t3sim.hardware.clock import Environment
from t3sim.hardware.llc import LlcTraffic
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.controller import MemoryController
from t3sim.units import FS_PER_S, ceil_div
from t3sim.workload.tiling import GemmKernelSpec, Tiling

Process = Generator[Event, Any, Any]


# Far beyond any hardware: a slip of the keyboard is named instead of simulated.
MOST_CUS = 2**16
LEAST_FRACTION = 0.001


class ComputeSpec(Spec):
    """The compute units of one GPU."""

    cus: Annotated[int, Field(gt=0, le=MOST_CUS)]
    clock: PositiveHertz
    matrix_flops_per_cycle: dict[str, Annotated[int, Field(gt=0)]]
    """Dense matrix FLOP per cycle and CU, by dtype."""
    sustained_fraction: Annotated[float, Field(ge=LEAST_FRACTION, le=1)]
    """Share of the matrix rate that a kernel's inner loop sustains."""
    launch_overhead: Femtoseconds
    """From a kernel's launch to its first workgroup."""
    store_buffer: PositiveBytes
    """Output bytes that may have left their workgroups without being in memory or on a link yet."""
    collective_cus: Annotated[int, Field(gt=0, le=MOST_CUS)]
    """CUs that a collective kernel runs on when it has the GPU to itself."""
    collective_outstanding_per_cu: PositiveBytes
    """Bytes one CU keeps in flight when it copies or reduces."""
    collective_slice: PositiveBytes
    """Grain at which a collective kernel reads, sends and writes."""


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

    tiling: Tiling
    dtype: str
    traffic: LlcTraffic
    stage_workgroups: int


class ComputeArray:
    """The CUs of one GPU."""

    def __init__(
        self,
        env: Environment,
        spec: ComputeSpec,
        kernel: GemmKernelSpec,
        hit_latency: int,
        memory: MemoryController,
    ) -> None:
        self.env = env
        self.spec = spec
        self.kernel = kernel
        self.hit_latency = hit_latency
        self.memory = memory
        self.store_buffer = StoreBuffer(env, spec.store_buffer)
        self.stall_fs = 0
        """Time stages waited for operands (not for stores)."""
        self.last_store_fs = 0
        """When output was last issued."""

    @property
    def stage_workgroups(self) -> int:
        """Workgroups resident at once."""
        return self.spec.cus * self.kernel.workgroups_per_cu

    def slab_fs(self, tiling: Tiling, dtype: str, depth: int, workgroups: int) -> int:
        """Time of one slab of ``depth`` K elements when ``workgroups`` share the CUs."""
        sharing = ceil_div(workgroups, self.spec.cus)
        flops = 2 * tiling.tile_m * tiling.tile_n * depth * sharing
        rate = self.spec.matrix_flops_per_cycle[dtype] * self.spec.sustained_fraction * self.spec.clock
        return math.ceil(flops * FS_PER_S / rate)

    def gemm(self, run: GemmRun, stores: StorePath) -> Process:
        """Run all stages; ends when the last stage's output is issued."""
        self.memory.start_kernel()
        total = run.tiling.tiles
        started, own_before = int(self.env.now), self._own_bytes()
        for stage, first in enumerate(range(0, total, run.stage_workgroups)):
            last = min(first + run.stage_workgroups, total)
            yield from self.stage(run, stage, last - first)
            if stage == 0:
                self._measure(int(self.env.now) - started, self._own_bytes() - own_before)
            stores.store_stage(first, last)
            self.last_store_fs = int(self.env.now)
            evicted = int(run.traffic.store_evicted_bytes[stage])
            if evicted:
                self.write_back(evicted)
            room = self.store_buffer.room()
            if room is not None:
                yield room

    def write_back(self, nbytes: int) -> None:
        """Write dirty output that leaves the LLC to DRAM, through the store buffer."""
        self.store_buffer.take(nbytes)
        self.memory.submit(
            Stream.COMPUTE, Access.WRITE, nbytes, Cause.GEMM_WRITE, lambda: self.store_buffer.give(nbytes)
        )

    def stage(self, run: GemmRun, stage: int, workgroups: int) -> Process:
        """Run the K loop of one stage of ``workgroups``."""
        depths = run.tiling.slab_depths.tolist()
        slabs = len(depths)
        times = {depth: self.slab_fs(run.tiling, run.dtype, depth, workgroups) for depth in set(depths)}
        reads = run.traffic.read_bytes[stage].tolist()
        evicted = run.traffic.evicted_bytes[stage].tolist()
        ahead = self.kernel.prefetch_slabs + 1
        loads = [self._load(reads[slab], evicted[slab]) for slab in range(min(ahead, slabs))]
        for slab in range(slabs):
            if not loads[slab].processed:
                yield from self.await_operands(loads[slab])
            yield self.env.timeout(times[depths[slab]])
            if slab + ahead < slabs:
                loads.append(self._load(reads[slab + ahead], evicted[slab + ahead]))

    def await_operands(self, load: Event) -> Process:
        """Wait for one slab's operands."""
        waited_from = int(self.env.now)
        yield load
        self.stall_fs += int(self.env.now) - waited_from

    def _load(self, nbytes: int, evicted: int) -> Event:
        """Start loading one slab's operands."""
        if evicted:
            self.write_back(evicted)
        if not nbytes:
            return self.env.timeout(self.hit_latency)
        event = Event(self.env)
        self.memory.submit(Stream.COMPUTE, Access.READ, nbytes, Cause.GEMM_READ, lambda: _succeed(event))
        return event

    def _own_bytes(self) -> int:
        served = self.memory.served_bytes()
        return served[Cause.GEMM_READ] + served[Cause.GEMM_WRITE]

    def _measure(self, elapsed_fs: int, own_bytes: int) -> None:
        """Tell the memory which share of its bandwidth the first stage's own accesses took."""
        self.memory.tune(own_bytes * FS_PER_S / (elapsed_fs * self.memory.spec.peak_bytes_per_s))


def _succeed(event: Event) -> None:
    event.succeed()
