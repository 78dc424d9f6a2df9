"""Phases: the pieces that schemes are put together from. Each runs one or more operations on a GPU.

``prepare`` builds a phase's state on a GPU before the program starts, so that a neighbour which is ahead finds the
receiver of its messages; the returned process runs the phase and records its spans.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import ClassVar, Protocol, runtime_checkable

from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu, GpuSpec
from t3sim.hardware.memory.access import Stream
from t3sim.lowering.work import GemmWork, Work
from t3sim.units import FS_PER_S

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


@runtime_checkable
class Differing(Phase, Protocol):
    """A phase in which the programs of GPUs may differ by more than the sizes of chunks."""

    @property
    def difference(self) -> str:
        """Say in what they do; empty where they do not."""


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


@runtime_checkable
class InPieces(WithGemm, Protocol):
    """A phase whose GEMM is cut into several."""

    @property
    def pieces_alone(self) -> tuple[Phase, ...]:
        """What runs each of them with the machine, and all CUs, to itself."""


def program(phases: Sequence[Phase]) -> Callable[[Gpu], Process]:
    """Make the program that runs ``phases`` in order on a GPU."""

    def run(gpu: Gpu) -> Process:
        processes = prepared(phases, gpu, 0)
        if gpu.start_fs:  # one that is late is ready for what others send
            yield gpu.env.timeout(gpu.start_fs)
        for process in processes:
            yield from process()

    return run


def gemm_alone(phase: Phase) -> Phase | None:
    """Return the phase that runs the GEMM of ``phase`` with the machine to itself; ``None`` if it has none."""
    return phase.gemm_alone if isinstance(phase, WithGemm) else None


def pieces_alone(phase: Phase) -> tuple[Phase, ...]:
    """Return the phases that run the pieces of a phase's GEMM with the machine to themselves; none if it is whole."""
    return phase.pieces_alone if isinstance(phase, InPieces) else ()


def gemm_launch_fs(gpu: Gpu, work: GemmWork) -> int:
    """Time from the launch of a GEMM's kernel to its first workgroup."""
    return gpu.launch_fs(work.op.id, gpu.compute.spec.launch_overhead)


def sum_window(gpu: Gpu, cus: int) -> int:
    """Bytes that the last sum of software keeps in flight on ``cus`` CUs (Little's law, for a share of the DRAM)."""
    spec, memory = gpu.spec, gpu.spec.memory
    window = gpu.compute.spec.collective_window(cus)
    if spec.reduction_share == 1:
        return window
    return min(window, int(spec.reduction_share * memory.peak_bytes_per_s * memory.load_latency / FS_PER_S))


def check_ended(gpu: Gpu, number: int) -> None:
    """Let data mode compare what operation ``number``, which has ended, has left in memory."""
    if gpu.ports.values is not None:
        gpu.ports.values.ended(number)
