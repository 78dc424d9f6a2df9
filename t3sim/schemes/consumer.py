"""Phases of the other half: an all-gather and the GEMM that reads what it gathers, at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from t3sim.execution.collective_kernel import CollectiveKernel
from t3sim.execution.gemm import Arrived
from t3sim.execution.track_trigger import TrackTrigger
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu, Span
from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.schemes.consumer_order import arriving_parts, consumer_order
from t3sim.schemes.fused import gathering
from t3sim.schemes.gemm_runs import consumer_run
from t3sim.schemes.kernels import GemmPhase, engine_kernel, gemm_kernel
from t3sim.schemes.phases import Phase, check_ended, prepared

Carrier = TrackTrigger | CollectiveKernel
"""What brings the input: DMA whose data the tracker counts, or copy engines."""


@dataclass(frozen=True)
class ConsumerPhase:
    """One kernel whose workgroups start as the rows of its input arrive, those that the GPU has itself first.

    The tracker counts what DMA brings and releases the workgroups that need it; or copy engines bring it, and
    workgroups wait for flags. No CU copies.
    """

    by_tile: ClassVar[bool] = False
    gather: CollectiveWork
    gemm: GemmWork
    by_engines: bool
    stage_workgroups: int
    """Workgroups that start at once, when the parts are there that they need."""

    @property
    def gemm_alone(self) -> Phase:
        """The GEMM as a kernel of its own."""
        return GemmPhase(self.gemm)

    @property
    def works(self) -> tuple[Work, ...]:
        """The all-gather, and the GEMM."""
        return self.gather, self.gemm

    @property
    def difference(self) -> str:
        """Say in what the programs of GPUs differ; empty where they do not."""
        rows, left = divmod(self.gemm.op.M, self.gather.plan.parts)
        if left or rows % self.gemm.fused.tiling.tile_m:
            return f"chunks of the {self.gather.operation} share rows of tiles, so operands are read unlike"
        return ""

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Set up what brings the input."""
        carrier = engine_kernel(gpu, self.gather, number, 0) if self.by_engines else gathering(gpu, self.gather, number)
        arrivals = _arrivals(gpu, self.gather, carrier)
        return lambda: self._run(gpu, number, carrier, arrivals)

    def _run(self, gpu: Gpu, number: int, carrier: Carrier, arrivals: Mapping[int, Arrived]) -> Process:
        gathered = gpu.env.process(_gather(gpu, number, self.gather, carrier))
        engines = gpu.spec.copy_engines.count if self.by_engines else 0
        order, size = consumer_order(self.gather, self.gemm, gpu.index, engines), self.stage_workgroups
        run = consumer_run(gpu, self.gemm, order, size)

        def gate(stage: int) -> Iterator[Arrived]:
            parts = order.parts_of(stage * size, (stage + 1) * size)
            yield from (arrivals[part] for part in parts if part in arrivals)
            _look_at(gpu, number, parts)

        yield from gemm_kernel(gpu, number + 1, self.gemm, run, gate)
        yield gathered


@dataclass(frozen=True)
class DecomposedConsumerPhase:
    """A GEMM for the rows of each GPU, own rows first; each is launched when copy engines have brought its input."""

    by_tile: ClassVar[bool] = False
    gather: CollectiveWork
    gemms: tuple[GemmWork, ...]
    """One for each part, of as many rows each, in the order in which they run."""
    gemm_alone: Phase
    """The GEMM as one kernel with the machine to itself."""
    piece_overhead_fs: int
    """What the launch of each takes that nothing hides."""

    @property
    def pieces_alone(self) -> tuple[Phase, ...]:
        """The GEMM of each part, without what the launch of each takes beside its own."""
        return tuple(map(GemmPhase, self.gemms))

    @property
    def works(self) -> tuple[Work, ...]:
        """The all-gather, and the pieces."""
        return self.gather, *self.gemms

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Set up the copies and the pieces."""
        carrier = engine_kernel(gpu, self.gather, number, 0)
        arrivals = _arrivals(gpu, self.gather, carrier)
        pieces = prepared([GemmPhase(gemm, issue_fs=self.piece_overhead_fs) for gemm in self.gemms], gpu, number + 1)
        return lambda: self._run(gpu, number, carrier, arrivals, pieces)

    def _run(
        self,
        gpu: Gpu,
        number: int,
        carrier: Carrier,
        arrivals: Mapping[int, Arrived],
        pieces: Sequence[Callable[[], Process]],
    ) -> Process:
        gathered = gpu.env.process(_gather(gpu, number, self.gather, carrier))
        parts, _ = arriving_parts(self.gather, gpu.index)
        for part, piece in zip(parts, pieces, strict=True):
            if part in arrivals and not arrivals[part].processed:
                yield arrivals[part]
            _look_at(gpu, number, (part,))
            yield from piece()
        yield gathered


def _arrivals(gpu: Gpu, gather: CollectiveWork, carrier: Carrier) -> dict[int, Arrived]:
    """Give the event of each part that other GPUs send."""
    parts, own = arriving_parts(gather, gpu.index)
    return {part: carrier.arrived(part) for part in parts[own:]}


def _gather(gpu: Gpu, number: int, work: CollectiveWork, carrier: Carrier) -> Process:
    """Bring the input."""
    start = int(gpu.env.now)
    if isinstance(carrier, TrackTrigger):
        carrier.start()
        yield carrier.finished
    else:
        yield from carrier.run()
    check_ended(gpu, number)
    gpu.spans.append(Span(work.operation, start, int(gpu.env.now)))


def _look_at(gpu: Gpu, number: int, parts: Sequence[int]) -> None:
    """Read parts of what is gathered, in data mode, which notes what is not there yet."""
    if gpu.ports.values is not None:
        opened = gpu.ports.values.opened[number]
        for part in parts:
            opened.read(part, range(len(opened.chunks.piece_bytes[part])))
