"""Kernels as phases: a GEMM, and a collective on the CUs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from t3sim.execution.carriers import Carriers
from t3sim.execution.collective_kernel import CollectiveKernel
from t3sim.execution.exchange import Exchange
from t3sim.execution.gemm import Gate, GemmKernel, GemmRun
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.compute.store_buffer import StoreBuffer
from t3sim.hardware.gpu import Gpu, GpuSpec, Span
from t3sim.hardware.memory.access import Stream
from t3sim.lowering.load import Load, load_of
from t3sim.lowering.protocol import NO_PROTOCOL, ProtocolSpec, chosen, usable
from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.schemes.gemm_runs import Beside, plain_run
from t3sim.schemes.phases import Phase, RateTo, check_ended, gemm_launch_fs


@dataclass(frozen=True)
class GemmPhase:
    """A GEMM as one kernel: output through the LLC, dirty lines written back before the kernel counts as done."""

    by_tile: ClassVar[bool] = False
    accesses: ClassVar[frozenset[Stream]] = frozenset({Stream.COMPUTE})
    tracks: ClassVar[bool] = False
    work: GemmWork
    cus: int | None = None
    """CUs that it runs on; ``None``: all."""
    issue_fs: int = 0
    """What comes before its launch, when all that it waits for is there: the host's part, barriers."""
    beside: Beside | None = None
    """How it runs while others do; ``None``: on CUs of its own, its operands alone in the LLC."""

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
        return self.work.op.dtype, self.work.plain, self.work.order, self.cus, self.issue_fs, self.beside

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch a kernel."""
        del rate_to
        return gpu.compute.launch_overhead + self.issue_fs

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Tile in plain dispatch order."""
        return lambda: self._run(gpu, number)

    def _run(self, gpu: Gpu, number: int) -> Process:
        run = plain_run(gpu, self.work, self.cus, self.beside)
        yield from gemm_kernel(gpu, number, self.work, run, issue_fs=self.issue_fs)


class _ThroughLlc:
    """Leaves stores to the LLC: what it evicts, the kernel writes back."""

    def store_stage(self, first: int, last: int, buffer: StoreBuffer) -> None:
        """Do nothing."""


def gemm_kernel(
    gpu: Gpu, number: int, work: GemmWork, run: GemmRun, gate: Gate | None = None, issue_fs: int = 0
) -> Process:
    """Launch a GEMM's kernel and run it as operation ``number``; it ends when its output is in memory.

    In what a stage waits for at its gate nothing of the GEMM runs: its time is that of all else.
    """
    start, launch = int(gpu.env.now), issue_fs + gemm_launch_fs(gpu, work)
    yield gpu.env.timeout(launch)
    kernel = GemmKernel(gpu.ports, run, _ThroughLlc(), gate)
    gpu.programs.append((number, kernel))
    yield from kernel.process()
    kernel.flush()
    drained = kernel.store_buffer.drained()
    if drained is not None:
        yield drained
    if gpu.ports.values is not None:
        gpu.ports.values.open(number, work.tiles.chunks, produced=True).produce()
    bounds = [start, *(time for gap in kernel.gaps for time in gap), int(gpu.env.now)]
    for place in range(0, len(bounds), 2):
        gpu.spans.append(Span("gemm", bounds[place], bounds[place + 1], 0 if place else launch))


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
    by_engines: bool = False
    """Whether copy engines copy, and its CUs sum only."""
    beside: Beside | None = None
    """How it takes its CUs while a GEMM runs; ``None``: they are its own."""

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out."""
        return (self.work,)

    def content(self, gpu: GpuSpec, rate_to: RateTo) -> tuple[object, ...]:
        """Describe plan and chunks, and how the kernel starts."""
        protocol, _ = self._protocol(gpu, rate_to, 0)
        launch = self.launch_fs(gpu, rate_to)
        running = self._running(protocol)
        return self.work.plan, self.work.chunks, running, launch, self.cus, self.by_engines, self.beside

    def launch_fs(self, gpu: GpuSpec, rate_to: RateTo) -> int:
        """Launch a kernel, or go on in one."""
        return _overhead_fs(gpu, *self._protocol(gpu, rate_to, 0)) if self.launched else 0

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Register the kernel for what is sent to this GPU."""
        work = self.work
        protocol, load = self._protocol(gpu.spec, gpu.ports.network.bytes_per_s, gpu.index)
        exchange = Exchange(gpu.ports.network, number, work.plan, work.chunks)
        window = gpu.compute.spec.collective_window(self._cus(gpu))
        carriers = engines_and_cus(gpu, window) if self.by_engines else Carriers(window)
        kernel = CollectiveKernel(gpu.ports, exchange, self._running(protocol), carriers)
        gpu.programs.append((number, kernel))
        overhead = _overhead_fs(gpu.spec, protocol, load)
        return lambda: self._run(gpu, number, kernel, gpu.launch_fs(work.op.id, overhead) if self.launched else 0)

    def _protocol(self, gpu: GpuSpec, rate_to: RateTo, rank: int) -> tuple[ProtocolSpec, Load]:
        """Choose that of a library's kernel; copy engines have none."""
        found, load = _protocol(gpu.protocols, rate_to, rank, self.work)
        return (NO_PROTOCOL if self.by_engines else found), load

    def _cus(self, gpu: Gpu) -> int:
        if self.by_engines and not self.work.plan.sums:
            return 0
        return gpu.compute.spec.collective_cus if self.cus is None else self.cus

    def _running(self, protocol: ProtocolSpec) -> ProtocolSpec:
        """Let an all-reduce make one pass of copies in all: it sends its own reduced chunk as it writes it."""
        return protocol if self.launched else protocol.model_copy(update={"staged": False})

    def _run(self, gpu: Gpu, number: int, kernel: CollectiveKernel, launch: int) -> Process:
        start = int(gpu.env.now)
        if self.launched:
            yield gpu.env.timeout(launch)
        cus = self._cus(gpu)
        if self.beside is not None:
            yield from gpu.pool.take(cus, self.beside.priority)
        began = int(gpu.env.now)
        yield from kernel.run()
        # Its workgroups stay on their CUs while they wait for data.
        gpu.compute.occupied(self.work.operation, cus, int(gpu.env.now) - began)
        if self.beside is not None:
            gpu.pool.give(cus)
        check_ended(gpu, number)
        gpu.spans.append(Span(self.work.operation, start, int(gpu.env.now), launch))


def engine_kernel(gpu: Gpu, work: CollectiveWork, number: int, window: int, *, gated: bool = False) -> CollectiveKernel:
    """Prepare copies by engines, and sums by CUs that keep ``window`` bytes in flight, as operation ``number``."""
    exchange = Exchange(gpu.ports.network, number, work.plan, work.chunks)
    kernel = CollectiveKernel(gpu.ports, exchange, NO_PROTOCOL, engines_and_cus(gpu, window), gated=gated)
    gpu.programs.append((number, kernel))
    return kernel


def engines_and_cus(gpu: Gpu, window: int) -> Carriers:
    """Let the copy engines of ``gpu`` copy, and CUs that keep ``window`` bytes in flight sum."""
    spec = gpu.spec.copy_engines
    return Carriers(
        window,
        engines=(spec.outstanding,) * spec.count,
        copy_start_fs=spec.start_up,
        sum_start_fs=gpu.compute.spec.launch_overhead,
    )


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
