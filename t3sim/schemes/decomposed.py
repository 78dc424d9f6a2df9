"""A GEMM decomposed by destination, and its reduce-scatter by copy engines, as a phase."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from t3sim.execution.collective_kernel import CollectiveKernel
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu, Span
from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.schemes.kernels import GemmPhase, engine_kernel
from t3sim.schemes.phases import Phase, check_ended, prepared, sum_window


@dataclass(frozen=True)
class DecomposedPhase:
    """A GEMM for the part of each GPU, own part last; each is copied there while the next is computed; then all sum.

    The plan is direct: its lane ``i`` goes to the GPU ``i + 1`` before this one.
    """

    by_tile: ClassVar[bool] = False
    gemms: tuple[GemmWork, ...]
    """In the order in which they run: as many as GPUs."""
    scatter: CollectiveWork
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
        """The pieces, and the reduce-scatter."""
        return (*self.gemms, self.scatter)

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Prepare the pieces, and what is sent to this GPU."""
        pieces = prepared([GemmPhase(gemm, issue_fs=self.piece_overhead_fs) for gemm in self.gemms], gpu, number)
        place = number + len(pieces)
        window = sum_window(gpu, gpu.compute.spec.collective_cus)
        kernel = engine_kernel(gpu, self.scatter, place, window, gated=True)
        return lambda: self._run(gpu, place, pieces, kernel)

    def _run(self, gpu: Gpu, number: int, pieces: list[Callable[[], Process]], kernel: CollectiveKernel) -> Process:
        copies = gpu.env.process(kernel.run())
        sent = int(gpu.env.now)
        for place, piece in enumerate(pieces):
            yield from piece()
            if place < len(pieces) - 1:
                kernel.open_gate(place)
            if place == 0:
                sent = int(gpu.env.now)
        began = int(gpu.env.now)
        kernel.open_sums()
        yield copies
        gpu.compute.occupied(self.scatter.operation, gpu.compute.spec.collective_cus, int(gpu.env.now) - began)
        check_ended(gpu, number)
        gpu.spans.append(Span(self.scatter.operation, sent, int(gpu.env.now)))
