"""A GEMM kernel on the CUs of one GPU, stage by stage.

Per K-slab of a stage, the operands must have arrived and the slab before must be done; then the slab computes for as
long as the CU array says. ``prefetch_slabs`` slabs are loaded ahead of the one computing. LLC misses become DRAM
reads; a slab without any arrives after the LLC's hit latency. After a stage's epilogue its outputs leave, and the next
stage starts once the kernel's store buffer has taken them. With split-K, a last step sums the partial outputs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
from simpy.events import Event

from t3sim.execution.gemm_stages import Stage, Stages
from t3sim.hardware.clock import fire_now
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.compute.llc import LlcTraffic
from t3sim.hardware.compute.store_buffer import StoreBuffer
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.plane import kinds
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.state import NONE, REGION, SLAB, SPOT, blocks_of
from t3sim.hardware.ports import Ports
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.layout import Place
from t3sim.units import FS_PER_S

READ, WRITE = Cause("gemm", Direction.READ), Cause("gemm", Direction.WRITE)


Arrived = Event
"""What somebody may wait for."""
Gate = Callable[[int], Iterable[Arrived]]
"""Gives what a stage waits for."""


class StorePath(Protocol):
    """Where a GEMM's output goes."""

    def store_stage(self, first: int, last: int, buffer: StoreBuffer) -> None:
        """Issue the output of workgroups ``first`` to ``last - 1`` of the dispatch order, through ``buffer``."""


@dataclass(frozen=True, kw_only=True)
class GemmRun:
    """One GEMM as its kernel runs it."""

    kernel: KernelChoice
    dtype: str
    stages: Stages
    prefetch_slabs: int
    """Slabs loaded ahead of the one that computes."""


class GemmKernel:
    """One GEMM kernel on one GPU."""

    def __init__(self, ports: Ports, run: GemmRun, stores: StorePath, gate: Gate | None = None) -> None:
        """``gate``: what each stage waits for before it starts."""
        self.run = run
        self.store_buffer = StoreBuffer(ports.env, ports.cus.spec.store_buffer)
        self.last_store_fs = 0
        """When output was last issued."""
        self.gaps: list[tuple[int, int]] = []
        """When stages waited for their gate, fs."""
        self._ports = ports
        self._stores = stores
        self._gate = gate
        self._depths = run.kernel.tiling.slab_depths.tolist()
        self._plane = plane_of(ports.env)
        self._computed = Event(ports.env)
        self._traffic: LlcTraffic | None = None
        self._slab_times: dict[tuple[int, int], list[int]] = {}
        """By workgroups of a stage and the CUs that they run on."""
        self._room = 0
        """Blocks of a stage whose places fit into the plane."""
        self._first_region = 0
        self._row = self._new_pipeline()

    def process(self) -> Process:
        """Run all stages; ends when the last stage's output is issued."""
        env, cus, memory, run = self._ports.env, self._ports.cus, self._ports.memory, self.run
        memory.start_kernel()
        started, own_before = int(env.now), self._own_bytes()
        first = number = held = 0
        while first < run.kernel.workgroups:
            yield from self._wait_for_gate(number)
            stage = yield from run.stages.begin(number, first)
            begun, workgroups, held = int(env.now), stage.last - stage.first, stage.cus
            yield from self._stage(number, stage)
            yield from self._busy(cus.epilogue_fs(run.kernel, workgroups))
            if number == 0:
                elapsed_fs = int(env.now) - started
                # The share of the bandwidth that the first stage's own accesses took.
                memory.tune((self._own_bytes() - own_before) * FS_PER_S / (elapsed_fs * memory.spec.peak_bytes_per_s))
            yield from self._store(stage)
            # A workgroup keeps its CU until its output has left it; several of them share one.
            cus.occupied(READ.operation, min(held, workgroups), int(env.now) - begun)
            first, number = stage.last, number + 1
        if run.kernel.split_k > 1:
            begun = int(env.now)
            yield from self._busy(cus.reduction_fs(run.kernel))
            self.last_store_fs = int(env.now)
            cus.occupied(READ.operation, held, int(env.now) - begun)
        run.stages.end()
        memory.end_kernel()

    def flush(self) -> None:
        """Write back what the LLC still holds of the output."""
        traffic = self._traffic
        if traffic is not None and traffic.flush_bytes:
            self.write_back(traffic.flush_bytes, traffic.flushed)

    def missing(self) -> list[str]:
        """Say which stores have not left."""
        return [f"{self.store_buffer.held} B of stores on their way out"] if self.store_buffer.held else []

    def write_back(self, nbytes: int, place: Place) -> None:
        """Write dirty output that leaves the LLC to DRAM, through the store buffer."""
        self.store_buffer.take(nbytes)
        given = partial(self.store_buffer.give, nbytes)
        self._ports.memory.submit(Stream.COMPUTE, Access.WRITE, nbytes, WRITE, place, given)

    def _wait_for_gate(self, stage: int) -> Process:
        since = int(self._ports.env.now)
        for event in self._gate(stage) if self._gate is not None else ():
            if not event.processed:
                yield event
        if int(self._ports.env.now) > since:
            self.gaps.append((since, int(self._ports.env.now)))

    def _busy(self, duration_fs: int) -> Process:
        if duration_fs:
            yield self._ports.env.timeout(duration_fs)

    def _store(self, stage: Stage) -> Process:
        """Issue the output of a stage, and wait until there is room for that of the next."""
        self._stores.store_stage(stage.first, stage.last, self.store_buffer)
        self.last_store_fs = int(self._ports.env.now)
        evicted = int(stage.traffic.store_evicted_bytes[stage.place])
        if evicted:
            self.write_back(evicted, partial(stage.traffic.store_evicted, stage.place))
        room = self.store_buffer.room()
        if room is not None:
            yield room

    def _stage(self, number: int, stage: Stage) -> Process:
        """Run the K loop of one stage: the data plane does (``hardware.plane.pipeline``)."""
        cus = self._ports.cus
        if cus.probe is not None:
            cus.probe.stage_started(self._ports.rank, number, stage.last - stage.first)
        if stage.traffic is not self._traffic:
            self._traffic = stage.traffic
            cus.loaded(stage.traffic.asked_bytes, int(stage.traffic.read_bytes.sum()))
        if self._ports.memory.spec.uses_places:
            self._locate(stage)
        self._computed = Event(self._ports.env)
        first = self._lay_out(stage)
        self._plane.perform(kinds.STAGE, self._row, first, first + len(self._depths))
        yield self._computed
        row = self._plane.rows("pipelines")[self._row]
        cus.stall_fs += int(row["stall"])
        row["stall"] = 0
        if cus.probe is not None:
            cus.probe.stage_ended(self._ports.rank)

    def _new_pipeline(self) -> int:
        """Put the kernel into the data plane; return its row."""
        ports, plane = self._ports, self._plane
        causes = ports.memory.number_of(READ), ports.memory.number_of(WRITE)
        of_llc = self.run.prefetch_slabs + 1, ports.cus.llc.hit_latency
        number = plane.add(
            "pipelines", [(ports.memory.number, self.store_buffer.number, *causes, *of_llc, 0, 0, NONE, 0, 0, 0)]
        )
        kernels = plane.parts.setdefault("pipelines", [])
        kernels.append(self)
        plane.handlers |= {
            kinds.TELL_COMPUTED: lambda number, _b, _c: kernels[number].tell_computed(),
            kinds.TELL_AWAITED: lambda number, _b, _c: kernels[number].tell_awaited(),
        }
        if ports.memory.spec.uses_places:
            # Of one stage at a time: a burst's addresses are looked at as it is submitted.
            self._first_spot = plane.add("spots", np.zeros(len(self._depths), SPOT))
            plane.rows("pipelines")["spots"][number] = self._first_spot + len(self._depths)
        return number

    def _lay_out(self, stage: Stage) -> int:
        """Put the slabs of a stage into the data plane; return the first one's row."""
        slabs = np.zeros(len(self._depths), SLAB)
        slabs["read"], slabs["evicted"] = (
            stage.traffic.read_bytes[stage.place],
            stage.traffic.evicted_bytes[stage.place],
        )
        slabs["time"] = self._times(stage.last - stage.first, stage.cus)
        return self._plane.add("slabs", slabs)

    def _times(self, workgroups: int, on_cus: int) -> list[int]:
        """Time of each slab of a stage of ``workgroups`` on ``on_cus`` CUs."""
        if (workgroups, on_cus) not in self._slab_times:
            cus, run = self._ports.cus, self.run
            times = {
                depth: cus.slab_fs(run.kernel.tiling, run.dtype, depth, workgroups, on_cus)
                for depth in set(self._depths)
            }
            self._slab_times[workgroups, on_cus] = [times[depth] for depth in self._depths]
        return self._slab_times[workgroups, on_cus]

    def tell_computed(self) -> None:
        """Go on after a stage's K loop, at this very moment."""
        fire_now(self._computed)

    def tell_awaited(self) -> None:
        """Let the probe see that the stage has waited for operands."""
        assert self._ports.cus.probe is not None
        since = int(self._plane.rows("pipelines")["since"][self._row])
        self._ports.cus.probe.operands_awaited(self._ports.rank, since)

    def _locate(self, stage: Stage) -> None:
        """Tell the plane where lies what the slabs of a stage miss, and what they drive out."""
        if stage.traffic.most_blocks > self._room:
            self._room = stage.traffic.most_blocks
            self._first_region = self._plane.add("regions", np.zeros(self._room, REGION))
        spots, first = np.zeros(len(self._depths), SPOT), self._first_region
        blocks = blocks_of(self._plane.rows("regions"))
        for kind, (region, counts) in zip(("missed", "evicted"), stage.traffic.of_stage(stage.place), strict=True):
            blocks[first : first + len(region)] = region
            spots[kind], spots[f"first_{kind}"] = counts, first + np.cumsum(counts) - counts
            first += len(region)
        self._plane.rows("spots")[self._first_spot : self._first_spot + len(spots)] = spots

    def _own_bytes(self) -> int:
        served = self._ports.memory.served_bytes()
        return served.get(READ, 0) + served.get(WRITE, 0)
