"""Phases of track and trigger: a GEMM fused with its collective, and collectives by near-memory updates alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np

from t3sim.execution.address_space import AddressSpace, dispatch, stations
from t3sim.execution.exchange import Exchange
from t3sim.execution.gemm import GemmKernel
from t3sim.execution.track_trigger import TrackTrigger
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu, GpuSpec, Span
from t3sim.hardware.memory.access import Stream
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.hardware.t3.tracker import Tracker, TrackerSpec
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.layout import Layout, Region, aligned, linear, received_address
from t3sim.lowering.work import CollectiveWork, Work
from t3sim.schemes.gemm_runs import fused_run
from t3sim.schemes.phases import Phase, RateTo, check_ended, gemm_launch_fs, sum_window

SOFTWARE = TrackTriggerSpec(near_memory=False, updates_bypass_llc=False)
"""What a kernel does of T3's mechanism by itself: it starts with other GPUs' chunks and stores those where they go."""
_FLAGS = TrackerSpec(entries=2**31, ways=2**31)
"""In its tracker's stead: a flag in memory for every tile."""


@dataclass(frozen=True)
class FusedPhase:
    """A GEMM and its collective fused by track and trigger: staggered, output bypasses the LLC as updates."""

    by_tile: ClassVar[bool] = True
    accesses: ClassVar[frozenset[Stream]] = frozenset(Stream)
    tracks: ClassVar[bool] = True
    work: CollectiveWork
    gather: CollectiveWork | None = None
    """The all-gather of the sums, if it is triggered as well."""
    in_software: bool = False
    """Whether the kernel itself does all that it can of what T3's hardware does (``SOFTWARE``)."""
    summing_cus: int = 0
    """Where memory does not add: CUs that the GEMM leaves to sums. When it has ended, they have a collective's."""

    @property
    def gemm_alone(self) -> Phase:
        """The same kernel on all CUs, without any communication."""
        return StaggeredGemmPhase(self.work, self.in_software)

    @property
    def works(self) -> tuple[CollectiveWork, ...]:
        """The collective, and the all-gather that goes with it."""
        return (self.work,) if self.gather is None else (self.work, self.gather)

    def content(self, gpu: GpuSpec, rate_to: RateTo) -> tuple[object, ...]:
        """Describe the plans, and the kernel with its order of tiles."""
        del gpu, rate_to
        assert self.work.producer is not None
        producer = self.work.producer
        plans = tuple(work.plan for work in self.works)
        return plans, producer.op.dtype, producer.fused, producer.tiles, self.in_software, self.summing_cus

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch the GEMM's kernel."""
        del rate_to
        return gpu.compute.launch_overhead

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the output's address space."""
        units = [_track_trigger(gpu, self.work, number, stored_locally=True, in_software=self.in_software)]
        if self.gather is not None:
            gather = replace(self.gather, producer=self.work.producer)
            units.append(_track_trigger(gpu, gather, number + 1, stored_locally=False, in_software=self.in_software))
            units[0].hand_on(units[1])
        return lambda: self._run(gpu, number, units)

    def _run(self, gpu: Gpu, number: int, units: Sequence[TrackTrigger]) -> Process:
        spec, mechanism = gpu.compute.spec, _mechanism(gpu, in_software=self.in_software)
        sums = units[0].sums_on_cus
        # In software CUs also multiply in the switch what memory need not sum.
        helped = sums or (self.in_software and self.gather is not None)
        summing_cus, began = self.summing_cus if helped else 0, int(gpu.env.now)
        units[0].sum_with(spec.collective_window(summing_cus))
        yield from _staggered_gemm(gpu, number, self.work, units[0], mechanism, spec.cus - summing_cus)
        if sums:
            yield from self._sum_the_rest(gpu, units[0], began)
        for place, (unit, work) in enumerate(zip(units, self.works, strict=True)):
            yield unit.finished
            check_ended(gpu, number + place)
            # An all-gather that runs beside the sums counts from where they end.
            start = gpu.spans[-1].end_fs if place else unit.started_fs
            gpu.spans.append(Span(work.operation, start, int(gpu.env.now)))

    def _sum_the_rest(self, gpu: Gpu, unit: TrackTrigger, began_fs: int) -> Process:
        """Sum with more CUs once the GEMM has left them; a kernel of its own does, if nobody has summed before."""
        spec, ended_fs = gpu.compute.spec, int(gpu.env.now)
        gpu.compute.occupied(self.work.operation, self.summing_cus, ended_fs - began_fs)
        if not self.summing_cus:
            yield gpu.env.timeout(gpu.launch_fs(f"{self.work.op.id}.sum", spec.launch_overhead))
        began_fs = int(gpu.env.now)
        cus = spec.collective_cus
        unit.sum_with(sum_window(gpu, cus) if self.in_software else spec.collective_window(cus))
        yield unit.finished
        gpu.compute.occupied(self.work.operation, spec.collective_cus, int(gpu.env.now) - began_fs)


@dataclass(frozen=True)
class StaggeredGemmPhase:
    """The GEMM of a fused phase without any communication: what its kernel takes when nothing contends with it."""

    by_tile: ClassVar[bool] = True
    work: CollectiveWork
    in_software: bool = False

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out."""
        return (self.work,)

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the output's address space, but for a kernel that stands alone."""
        mechanism = _mechanism(gpu, in_software=self.in_software)
        unit = _track_trigger(gpu, self.work, number, stored_locally=True, in_software=self.in_software, silent=True)
        return lambda: _staggered_gemm(gpu, number, self.work, unit, mechanism)


@dataclass(frozen=True)
class NearMemoryPhase:
    """A collective alone, by DMA and near-memory updates: as fast as NMC makes it, with no GEMM beside it."""

    by_tile: ClassVar[bool] = True
    accesses: ClassVar[frozenset[Stream]] = frozenset({Stream.COMMUNICATION})
    tracks: ClassVar[bool] = True
    work: CollectiveWork

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out."""
        return (self.work,)

    def content(self, gpu: GpuSpec, rate_to: RateTo) -> tuple[object, ...]:
        """Describe the plan and what travels: the producer's tiles, or the pieces of the buffer."""
        del rate_to
        producer = self.work.producer
        if producer is None:
            return self.work.plan, self.work.chunks
        # Where a tile lies says nothing to a memory that does not ask.
        tiles = producer.tiles if gpu.memory.uses_places else producer.tiles.chunks
        return self.work.plan, tiles

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch nothing."""
        del gpu, rate_to
        return 0

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the buffer's address space; the local contributions are in memory already."""
        unit = gathering(gpu, self.work, number)
        return lambda: self._run(gpu, number, unit)

    def _run(self, gpu: Gpu, number: int, unit: TrackTrigger) -> Process:
        start = int(gpu.env.now)
        unit.start()
        yield unit.finished
        check_ended(gpu, number)
        gpu.spans.append(Span(self.work.operation, start, int(gpu.env.now)))


def _mechanism(gpu: Gpu, *, in_software: bool) -> TrackTriggerSpec:
    return SOFTWARE if in_software else gpu.spec.track_trigger


def gathering(gpu: Gpu, work: CollectiveWork, number: int) -> TrackTrigger:
    """Configure the buffer of a collective whose contributions are in memory already."""
    return _track_trigger(gpu, work, number, stored_locally=False)


def _track_trigger(
    gpu: Gpu,
    work: CollectiveWork,
    number: int,
    *,
    stored_locally: bool,
    in_software: bool = False,
    silent: bool = False,
) -> TrackTrigger:
    spec = _mechanism(gpu, in_software=in_software)
    ports = gpu.ports
    if in_software:
        ports = replace(ports, tracker=Tracker(gpu.env, _FLAGS, gpu.index))
        ports.tracker.probe = gpu.tracker.probe
    tiles = work.producer.tiles if work.producer is not None else None
    chunks = tiles.chunks if tiles is not None else work.chunks
    regions = partial(_tile_regions, work) if tiles is not None else partial(_linear_regions, chunks)
    end = Layout(tiling=tiles.tiling).end if tiles is not None else aligned(chunks.total_bytes)
    space = AddressSpace(
        stations=stations(work.plan, gpu.index),
        own=dispatch(
            work.plan,
            gpu.index,
            tuple(map(len, chunks.piece_bytes)),
            staggered=spec.staggered or not stored_locally,
        ),
        regions=regions,
        copies=received_address(end),
        copies_stride=aligned(end),
        wavefronts=gpu.spec.gemm.wavefronts,
        stored_locally=stored_locally,
        # A near-memory collective is one on every system: it says what such a memory would bring.
        near_memory=spec.near_memory or not stored_locally,
        tiles_per_command=spec.tiles_per_command,
    )
    unit = TrackTrigger(ports, space, Exchange(gpu.ports.network, number, work.plan, chunks), silent=silent)
    gpu.programs.append((number, unit))
    return unit


def _tile_regions(work: CollectiveWork) -> Mapping[int, Region]:
    """Where the output tiles of the producer lie, by part."""
    assert work.producer is not None
    tiles = work.producer.tiles
    layout = Layout(tiling=tiles.tiling)
    return {
        part: layout.tiles(tiles.tiles_of(np.full(count, part), np.arange(count)))
        for part, count in enumerate(tiles.counts)
    }


def _linear_regions(chunks: Chunks) -> Mapping[int, Region]:
    """Where the pieces of a buffer at address 0 lie, by part."""
    return {
        part: np.concatenate([linear(*piece) for piece in zip(chunks.addresses[part], sizes, strict=True)])
        for part, sizes in enumerate(chunks.piece_bytes)
        if sizes
    }


def _staggered_gemm(
    gpu: Gpu,
    number: int,
    work: CollectiveWork,
    unit: TrackTrigger,
    mechanism: TrackTriggerSpec,
    cus: int | None = None,
) -> Process:
    """Run the producer of ``work`` in this GPU's order on ``cus`` CUs, or all; its stores go to ``unit``."""
    assert work.producer is not None
    start, launch = int(gpu.env.now), gemm_launch_fs(gpu, work.producer)
    yield gpu.env.timeout(launch)
    kernel = GemmKernel(gpu.ports, fused_run(gpu, work.producer, work.plan, mechanism, cus), unit)
    gpu.programs.append((number, kernel))
    yield from kernel.process()
    gpu.spans.append(Span("gemm", start, kernel.last_store_fs, launch))
