"""Kernels at once: phases of one GPU that run side by side, each after those that it waits for."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

from simpy.events import AllOf, Event

from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu
from t3sim.lowering.work import Work
from t3sim.schemes.phases import Phase


@dataclass(frozen=True)
class Kernel:
    """One phase on a stream: a stream's kernels are in order, an event lets one wait for one of another stream."""

    phase: Phase
    after: tuple[int, ...] = ()
    """Kernels that must have ended before it is launched, by their places: those before it."""


@dataclass(frozen=True)
class StreamsPhase:
    """Kernels that run at once, and share memory and links; CUs are divided among them for as long as they run."""

    by_tile: ClassVar[bool] = False
    kernels: tuple[Kernel, ...]

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out, kernel by kernel."""
        return tuple(work for kernel in self.kernels for work in kernel.phase.works)

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Prepare all of them."""
        first = accumulate((len(kernel.phase.works) for kernel in self.kernels), initial=number)
        runs = [kernel.phase.prepare(gpu, place) for place, kernel in zip(first, self.kernels, strict=False)]

        def run() -> Process:
            ended = [Event(gpu.env) for _ in runs]
            for kernel, process, end in zip(self.kernels, runs, ended, strict=True):
                gpu.env.process(_in_turn(gpu, [ended[place] for place in kernel.after], process, end))
            yield AllOf(gpu.env, ended)

        return run


def _in_turn(gpu: Gpu, before: list[Event], process: Callable[[], Process], end: Event) -> Process:
    if before:
        yield AllOf(gpu.env, before)
    yield from process()
    end.succeed()
