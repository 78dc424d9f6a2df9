"""Phases: the pieces that schemes are put together from. Each runs one or two operations on a GPU.

``prepare`` builds a phase's state on a GPU before the program starts, so that a neighbour which is ahead finds the
receiver of its messages; the returned process runs the phase and records its spans.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from t3sim.collectives.steps import KIND as COLLECTIVE
from t3sim.collectives.steps import CollectiveAlgorithm
from t3sim.execution.collective_kernel import CollectiveKernel, with_last_copy
from t3sim.execution.track_trigger import AddressSpace, NoCommunication, TrackTrigger
from t3sim.hardware.compute.cus import GemmRun, Process
from t3sim.hardware.compute.llc import LlcSpec, LlcTraffic, gemm_traffic
from t3sim.hardware.gpu import Gpu, Span
from t3sim.hardware.memory.access import Cause
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.layout import Layout, Region, linear
from t3sim.lowering.protocol import ProtocolSpec, chosen
from t3sim.lowering.work import CollectiveWork, GemmWork
from t3sim.registry import get

_CAUSES = {
    "reduce_scatter": (Cause.RS_READ, Cause.RS_WRITE),
    "all_gather": (Cause.AG_READ, Cause.AG_WRITE),
}


class Phase(Protocol):
    """A part of a scheme's program."""

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Set up on ``gpu`` as operation ``number`` of its program; return the process that runs it."""


def program(phases: Sequence[Phase]) -> Callable[[Gpu], Process]:
    """Make the program that runs ``phases`` in order on a GPU."""

    def run(gpu: Gpu) -> Process:
        for process in [phase.prepare(gpu, number) for number, phase in enumerate(phases)]:
            yield from process()

    return run


@dataclass(frozen=True)
class GemmPhase:
    """A GEMM as one kernel: output through the LLC, dirty lines written back before the kernel counts as done."""

    work: GemmWork

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Tile in plain dispatch order."""
        del number
        return lambda: self._run(gpu)

    def store_stage(self, first: int, last: int) -> None:
        """Leave the stores to the LLC: what it evicts, the CU array writes back."""

    def _run(self, gpu: Gpu) -> Process:
        start, launch = int(gpu.env.now), gpu.compute.spec.launch_overhead
        yield gpu.env.timeout(launch)
        run = _gemm_run(gpu, self.work, fused=False)
        yield from gpu.compute.gemm(run, self)
        if run.traffic.flush_bytes:
            gpu.compute.write_back(run.traffic.flush_bytes, run.traffic.flushed)
        drained = gpu.compute.store_buffer.drained()
        if drained is not None:
            yield drained
        gpu.spans.append(Span("gemm", start, int(gpu.env.now), launch))


@dataclass(frozen=True)
class CollectivePhase:
    """A collective as a kernel on the CUs, or the second half of one."""

    work: CollectiveWork
    launched: bool = True
    """Whether it starts a kernel; the second half of an all-reduce goes on in the first half's."""

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Register the kernel for what the predecessor sends."""
        chunks, algorithm = self.work.chunks, _algorithm(self.work)
        slices = tuple(chunks.at(gpu.index, position) for position in range(chunks.count))
        steps, causes = algorithm.steps(chunks.count), _CAUSES[self.work.algorithm]
        protocol = _protocol(gpu, self.work)
        # An all-reduce makes one such pass in all: it sends its own reduced chunk as it writes it.
        if protocol.staged and self.launched:
            steps = with_last_copy(steps)
        addresses = tuple(chunks.addresses_at(gpu.index, position) for position in range(chunks.count))
        kernel = CollectiveKernel(gpu, steps, slices, addresses, causes, number, protocol)
        gpu.receivers[number] = kernel
        return lambda: self._run(gpu, kernel)

    def _run(self, gpu: Gpu, kernel: CollectiveKernel) -> Process:
        start = int(gpu.env.now)
        launch = _launch_fs(gpu, kernel.protocol) if self.launched else 0
        if self.launched:
            yield gpu.env.timeout(launch)
        yield from kernel.run()
        gpu.spans.append(Span(self.work.algorithm, start, int(gpu.env.now), launch))


@dataclass(frozen=True)
class FusedPhase:
    """A GEMM and its reduce-scatter fused by track and trigger: staggered, output bypasses the LLC as updates."""

    work: CollectiveWork

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the output's address space."""
        unit = _track_trigger(gpu, self.work, number, stored_locally=True)
        return lambda: self._run(gpu, unit)

    def _run(self, gpu: Gpu, unit: TrackTrigger) -> Process:
        yield from _staggered_gemm(gpu, self.work, unit)
        yield unit.finished
        gpu.spans.append(Span("reduce_scatter", unit.started_fs, int(gpu.env.now)))


@dataclass(frozen=True)
class StaggeredGemmPhase:
    """The GEMM of a fused phase without any communication: what its kernel takes when nothing contends with it."""

    work: CollectiveWork

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the output's address space, but for a kernel that stands alone."""
        unit = _track_trigger(gpu, self.work, number, stored_locally=True, kind=NoCommunication)
        return lambda: _staggered_gemm(gpu, self.work, unit)


@dataclass(frozen=True)
class NearMemoryReduceScatterPhase:
    """A reduce-scatter alone, by DMA and near-memory updates: as fast as NMC makes it, with no GEMM beside it."""

    work: CollectiveWork

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the buffer's address space; the local contributions are in memory already."""
        unit = _track_trigger(gpu, self.work, number, stored_locally=False)
        return lambda: self._run(gpu, unit)

    def _run(self, gpu: Gpu, unit: TrackTrigger) -> Process:
        start = int(gpu.env.now)
        unit.send_first_chunk()
        yield unit.finished
        gpu.spans.append(Span("reduce_scatter", start, int(gpu.env.now)))


def _protocol(gpu: Gpu, work: CollectiveWork) -> ProtocolSpec:
    """Choose for the whole operation: an all-reduce is one kernel of twice the steps."""
    passes = 2 if work.op.op == "all_reduce" else 1
    steps = passes * (work.chunks.count - 1)
    sent_bytes = passes * (work.chunks.total_bytes - min(work.chunks.chunk_bytes))
    return chosen(gpu.spec.protocols, steps, sent_bytes, gpu.out.spec.bytes_per_s)


def _launch_fs(gpu: Gpu, protocol: ProtocolSpec) -> int:
    """From the call to the first slice; a protocol's base latency has the launch in it."""
    return (protocol.base_latency or gpu.compute.spec.launch_overhead) + protocol.extra_latency


def gemm_alone(phase: Phase) -> Phase | None:
    """Return the phase that runs the GEMM of ``phase`` with the machine to itself; ``None`` if it has none."""
    if isinstance(phase, FusedPhase):
        return StaggeredGemmPhase(phase.work)
    return phase if isinstance(phase, GemmPhase) else None


def _algorithm(work: CollectiveWork) -> CollectiveAlgorithm:
    algorithm: CollectiveAlgorithm = get(COLLECTIVE, work.algorithm)()
    return algorithm


def _track_trigger(
    gpu: Gpu, work: CollectiveWork, number: int, *, stored_locally: bool, kind: type[TrackTrigger] = TrackTrigger
) -> TrackTrigger:
    chunks: Chunks = work.producer.tiles.chunks if work.producer is not None else work.chunks
    spec = gpu.spec.track_trigger
    staggered = spec.staggered or not stored_locally
    space = AddressSpace(
        mappings=get(COLLECTIVE, "reduce_scatter")().mappings(chunks.count),
        piece_bytes=tuple(chunks.at(gpu.index, position) for position in range(chunks.count)),
        regions=_tile_regions(gpu, work, staggered=staggered),
        wavefronts=gpu.spec.gemm.wavefronts,
        stored_locally=stored_locally,
        produced=chunks.production(gpu.index, staggered=staggered),
        # A near-memory reduce-scatter is one on every system: it says what such a memory would bring.
        near_memory=spec.near_memory or not stored_locally,
        tiles_per_command=spec.tiles_per_command,
    )
    unit = kind(gpu, space, number)
    gpu.receivers[number] = unit
    return unit


def _tile_regions(gpu: Gpu, work: CollectiveWork, *, staggered: bool) -> Region:
    """Where the pieces of a fused reduce-scatter lie, in the order in which this GPU produces them."""
    if work.producer is not None:
        tiles = work.producer.tiles
        return Layout(tiling=tiles.tiling).tiles(tiles.production_order(gpu.index, staggered=staggered))
    chunks = work.chunks
    pieces = [
        (address, nbytes)
        for position in range(chunks.count)
        for address, nbytes in zip(
            chunks.addresses_at(gpu.index, position), chunks.at(gpu.index, position), strict=True
        )
    ]
    return np.concatenate([linear(address, nbytes) for address, nbytes in pieces])


def _staggered_gemm(gpu: Gpu, work: CollectiveWork, unit: TrackTrigger) -> Process:
    """Run the producer of ``work`` in this GPU's order; its stores go to ``unit``."""
    assert work.producer is not None
    start, launch = int(gpu.env.now), gpu.compute.spec.launch_overhead
    yield gpu.env.timeout(launch)
    yield from gpu.compute.gemm(_gemm_run(gpu, work.producer, fused=True), unit)
    gpu.spans.append(Span("gemm", start, gpu.compute.last_store_fs, launch))


def _gemm_run(gpu: Gpu, work: GemmWork, *, fused: bool) -> GemmRun:
    kernel = work.fused if fused else work.plain
    stage_workgroups = gpu.compute.stage_workgroups(kernel)
    llc, with_places = gpu.spec.llc, gpu.spec.memory.uses_places
    return GemmRun(
        kernel=kernel,
        dtype=work.op.dtype,
        traffic=_fused_traffic(llc, work, gpu.index, gpu.spec.track_trigger, stage_workgroups, with_places=with_places)
        if fused
        else _plain_traffic(llc, work, stage_workgroups, with_places=with_places),
        stage_workgroups=stage_workgroups,
    )


@lru_cache(maxsize=64)
def _fused_traffic(
    llc: LlcSpec, work: GemmWork, gpu: int, spec: TrackTriggerSpec, stage_workgroups: int, *, with_places: bool
) -> LlcTraffic:
    """Traffic of the kernel that GPU ``gpu`` runs fused, whose output bypasses the LLC or is written through it."""
    chunks = work.tiles.chunks
    positions = chunks.production(gpu, staggered=spec.staggered)
    allocates = [
        not spec.updates_bypass_llc and position > 0  # stores to position 0 leave the GPU
        for position in positions
        for _ in chunks.at(gpu, position)
    ]
    return gemm_traffic(
        llc,
        work.fused.tiling,
        work.tiles.production_order(gpu, staggered=spec.staggered),
        stage_workgroups,
        write_allocate=np.array(allocates),
        with_places=with_places,
    ).written_through()


@lru_cache(maxsize=64)
def _plain_traffic(llc: LlcSpec, work: GemmWork, stage_workgroups: int, *, with_places: bool) -> LlcTraffic:
    """Traffic of the plain kernel, whose output allocates in the LLC."""
    kernel = work.plain
    whole = kernel.split_k == 1
    traffic = gemm_traffic(
        llc,
        kernel.tiling,
        work.order,
        stage_workgroups,
        write_allocate=whole,
        split_k=kernel.split_k,
        with_places=with_places,
    )
    # Partial sums stay in the LLC; what is left of them is the output, when they have been added up.
    return traffic if whole else replace(traffic, flush_bytes=kernel.tiling.output_bytes)
