"""Phases: the pieces that schemes are put together from. Each runs one or two operations on a GPU.

``prepare`` builds a phase's state on a GPU before the program starts, so that a neighbour which is ahead finds the
receiver of its messages; the returned process runs the phase and records its spans.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from t3sim.execution.address_space import AddressSpace, dispatch, stations
from t3sim.execution.collective_kernel import CollectiveKernel
from t3sim.execution.exchange import Exchange
from t3sim.execution.gemm import GemmKernel
from t3sim.execution.track_trigger import TrackTrigger
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.compute.store_buffer import StoreBuffer
from t3sim.hardware.gpu import Gpu, GpuSpec, Span
from t3sim.hardware.memory.access import Stream
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.layout import Layout, Region, aligned, linear, received_address
from t3sim.lowering.load import Load, load_of
from t3sim.lowering.protocol import ProtocolSpec, chosen, usable
from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.schemes.gemm_runs import gemm_run

RateTo = Callable[[int], int]
"""Bytes per second from a GPU to another rank."""


class Phase(Protocol):
    """A part of a scheme's program."""

    by_tile: ClassVar[bool]
    """Whether output tiles of a producer are what is made in each GPU's own order, or travels."""

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out: as many operations of the program."""

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Set up on ``gpu`` as operation ``number`` of its program and those after it; return what runs it."""


@runtime_checkable
class Described(Phase, Protocol):
    """A phase that says all that it does, so that what it did once need not be simulated again."""

    accesses: ClassVar[frozenset[Stream]]
    """Streams by which it uses the memory."""
    tracks: ClassVar[bool]
    """Whether the tracker counts for it."""

    def content(self, gpu: GpuSpec, rate_to: RateTo) -> tuple[object, ...]:
        """Give plain data that is equal where phases on equal GPUs in equal networks do the same.

        Names of operations are no part of it. ``rate_to``: bytes per second from this GPU to another rank.
        """

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """How long from its beginning on it leaves memory and links alone."""


def prepared(phases: Sequence[Phase], gpu: Gpu, number: int) -> list[Callable[[], Process]]:
    """Set up ``phases`` on ``gpu`` as operation ``number`` of its program and those after it; return what runs each."""
    first = accumulate((len(phase.works) for phase in phases), initial=number)
    return [phase.prepare(gpu, place) for place, phase in zip(first, phases, strict=False)]


@runtime_checkable
class WithGemm(Phase, Protocol):
    """A phase that has a GEMM."""

    @property
    def gemm_alone(self) -> Phase:
        """What runs its GEMM with the machine to itself."""


def program(phases: Sequence[Phase]) -> Callable[[Gpu], Process]:
    """Make the program that runs ``phases`` in order on a GPU."""

    def run(gpu: Gpu) -> Process:
        processes = prepared(phases, gpu, 0)
        if gpu.start_fs:  # one that is late is ready for what others send
            yield gpu.env.timeout(gpu.start_fs)
        for process in processes:
            yield from process()

    return run


@dataclass(frozen=True)
class GemmPhase:
    """A GEMM as one kernel: output through the LLC, dirty lines written back before the kernel counts as done."""

    by_tile: ClassVar[bool] = False
    accesses: ClassVar[frozenset[Stream]] = frozenset({Stream.COMPUTE})
    tracks: ClassVar[bool] = False
    work: GemmWork
    cus: int | None = None
    """CUs that it runs on; ``None``: all."""

    @property
    def gemm_alone(self) -> Phase:
        """Itself."""
        return self

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out."""
        return (self.work,)

    def content(self, gpu: GpuSpec, rate_to: RateTo) -> tuple[object, ...]:
        """Describe the kernel and its order of tiles."""
        del gpu, rate_to
        return self.work.op.dtype, self.work.plain, self.work.order, self.cus

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch a kernel."""
        del rate_to
        return gpu.compute.launch_overhead

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Tile in plain dispatch order."""
        return lambda: self._run(gpu, number)

    def store_stage(self, first: int, last: int, buffer: StoreBuffer) -> None:
        """Leave the stores to the LLC: what it evicts, the kernel writes back."""

    def _run(self, gpu: Gpu, number: int) -> Process:
        start, launch = int(gpu.env.now), _gemm_launch_fs(gpu, self.work)
        yield gpu.env.timeout(launch)
        kernel = GemmKernel(gpu.ports, gemm_run(gpu, self.work, None, self.cus), self)
        gpu.programs.append((number, kernel))
        yield from kernel.process()
        traffic = kernel.run.traffic
        if traffic.flush_bytes:
            kernel.write_back(traffic.flush_bytes, traffic.flushed)
        drained = kernel.store_buffer.drained()
        if drained is not None:
            yield drained
        if gpu.ports.values is not None:
            gpu.ports.values.open(number, self.work.tiles.chunks, produced=True).produce()
        gpu.spans.append(Span("gemm", start, int(gpu.env.now), launch))


@dataclass(frozen=True)
class CollectivePhase:
    """A collective as a kernel on the CUs, or the second half of one."""

    by_tile: ClassVar[bool] = False
    accesses: ClassVar[frozenset[Stream]] = frozenset({Stream.COMMUNICATION})
    tracks: ClassVar[bool] = False
    work: CollectiveWork
    launched: bool = True
    """Whether it starts a kernel; the second half of an all-reduce goes on in the first half's."""
    cus: int | None = None
    """CUs that it runs on; ``None``: as many as collectives have with the GPU to themselves."""

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out."""
        return (self.work,)

    def content(self, gpu: GpuSpec, rate_to: RateTo) -> tuple[object, ...]:
        """Describe plan and chunks, and how the kernel starts."""
        protocol, _ = _protocol(gpu.protocols, rate_to, 0, self.work)
        launch = self.launch_fs(gpu, rate_to)
        return self.work.plan, self.work.chunks, self._running(protocol), launch, self.cus

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch a kernel, or go on in one."""
        return _overhead_fs(gpu, *_protocol(gpu.protocols, rate_to, 0, self.work)) if self.launched else 0

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Register the kernel for what is sent to this GPU."""
        work = self.work
        protocol, load = _protocol(gpu.spec.protocols, gpu.ports.network.bytes_per_s, gpu.index, work)
        exchange = Exchange(gpu.ports.network, number, work.plan, work.chunks)
        window = gpu.compute.spec.collective_window(self._cus(gpu))
        kernel = CollectiveKernel(gpu.ports, exchange, self._running(protocol), window)
        gpu.programs.append((number, kernel))
        overhead = _overhead_fs(gpu.spec, protocol, load)
        return lambda: self._run(gpu, number, kernel, gpu.launch_fs(work.op.id, overhead) if self.launched else 0)

    def _cus(self, gpu: Gpu) -> int:
        return gpu.compute.spec.collective_cus if self.cus is None else self.cus

    def _running(self, protocol: ProtocolSpec) -> ProtocolSpec:
        """Let an all-reduce make one pass of copies in all: it sends its own reduced chunk as it writes it."""
        return protocol if self.launched else protocol.model_copy(update={"staged": False})

    def _run(self, gpu: Gpu, number: int, kernel: CollectiveKernel, launch: int) -> Process:
        start = int(gpu.env.now)
        if self.launched:
            yield gpu.env.timeout(launch)
        began = int(gpu.env.now)
        yield from kernel.run()
        # Its workgroups stay on their CUs while they wait for data.
        gpu.compute.occupied(self.work.operation, self._cus(gpu), int(gpu.env.now) - began)
        _check(gpu, number)
        gpu.spans.append(Span(self.work.operation, start, int(gpu.env.now), launch))


@dataclass(frozen=True)
class FusedPhase:
    """A GEMM and its collective fused by track and trigger: staggered, output bypasses the LLC as updates."""

    by_tile: ClassVar[bool] = True
    accesses: ClassVar[frozenset[Stream]] = frozenset(Stream)
    tracks: ClassVar[bool] = True
    work: CollectiveWork
    gather: CollectiveWork | None = None
    """The all-gather of the sums, if it is triggered as well."""

    @property
    def gemm_alone(self) -> Phase:
        """The same kernel, without any communication."""
        return StaggeredGemmPhase(self.work)

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
        return plans, producer.op.dtype, producer.fused, producer.tiles

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch the GEMM's kernel."""
        del rate_to
        return gpu.compute.launch_overhead

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the output's address space."""
        units = [_track_trigger(gpu, self.work, number, stored_locally=True)]
        if self.gather is not None:
            gather = replace(self.gather, producer=self.work.producer)
            units.append(_track_trigger(gpu, gather, number + 1, stored_locally=False))
            units[0].hand_on(units[1])
        return lambda: self._run(gpu, number, units)

    def _run(self, gpu: Gpu, number: int, units: Sequence[TrackTrigger]) -> Process:
        yield from _staggered_gemm(gpu, number, self.work, units[0])
        for place, (unit, work) in enumerate(zip(units, self.works, strict=True)):
            yield unit.finished
            _check(gpu, number + place)
            # An all-gather that runs beside the sums counts from where they end.
            start = gpu.spans[-1].end_fs if place else unit.started_fs
            gpu.spans.append(Span(work.operation, start, int(gpu.env.now)))


@dataclass(frozen=True)
class StaggeredGemmPhase:
    """The GEMM of a fused phase without any communication: what its kernel takes when nothing contends with it."""

    by_tile: ClassVar[bool] = True
    work: CollectiveWork

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out."""
        return (self.work,)

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Configure the output's address space, but for a kernel that stands alone."""
        unit = _track_trigger(gpu, self.work, number, stored_locally=True, silent=True)
        return lambda: _staggered_gemm(gpu, number, self.work, unit)


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
        unit = _track_trigger(gpu, self.work, number, stored_locally=False)
        return lambda: self._run(gpu, number, unit)

    def _run(self, gpu: Gpu, number: int, unit: TrackTrigger) -> Process:
        start = int(gpu.env.now)
        unit.start()
        yield unit.finished
        _check(gpu, number)
        gpu.spans.append(Span(self.work.operation, start, int(gpu.env.now)))


def _check(gpu: Gpu, number: int) -> None:
    """Let data mode compare what operation ``number``, which has ended, has left in memory."""
    if gpu.ports.values is not None:
        gpu.ports.values.ended(number)


def _protocol(
    protocols: Mapping[str, ProtocolSpec], rate_to: RateTo, rank: int, work: CollectiveWork
) -> tuple[ProtocolSpec, Load]:
    """Choose for the whole operation: an all-reduce is one kernel of both its halves, which send as much."""
    plans = (work.plan,) * (2 if work.op.op != work.operation else 1)
    load = load_of(plans, work.op.bytes, rank, rate_to)
    found = usable(protocols, work.plan.algorithm, work.op.op, work.op.bytes, work.plan.ranks)
    return chosen(found, load), load


def _overhead_fs(gpu: GpuSpec, protocol: ProtocolSpec, load: Load) -> int:
    """From the call to the first slice: the host's part, and the kernel's."""
    return gpu.host_overhead + protocol.start_fs(load, gpu.compute.launch_overhead)


def _gemm_launch_fs(gpu: Gpu, work: GemmWork) -> int:
    return gpu.launch_fs(work.op.id, gpu.compute.spec.launch_overhead)


def gemm_alone(phase: Phase) -> Phase | None:
    """Return the phase that runs the GEMM of ``phase`` with the machine to itself; ``None`` if it has none."""
    return phase.gemm_alone if isinstance(phase, WithGemm) else None


def _track_trigger(
    gpu: Gpu, work: CollectiveWork, number: int, *, stored_locally: bool, silent: bool = False
) -> TrackTrigger:
    spec = gpu.spec.track_trigger
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
    unit = TrackTrigger(gpu.ports, space, Exchange(gpu.ports.network, number, work.plan, chunks), silent=silent)
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


def _staggered_gemm(gpu: Gpu, number: int, work: CollectiveWork, unit: TrackTrigger) -> Process:
    """Run the producer of ``work`` in this GPU's order; its stores go to ``unit``."""
    assert work.producer is not None
    start, launch = int(gpu.env.now), _gemm_launch_fs(gpu, work.producer)
    yield gpu.env.timeout(launch)
    kernel = GemmKernel(gpu.ports, gemm_run(gpu, work.producer, work.plan), unit)
    gpu.programs.append((number, kernel))
    yield from kernel.process()
    gpu.spans.append(Span("gemm", start, kernel.last_store_fs, launch))
