"""Kernels at once as a phase: on streams, as software launches them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from t3sim.execution.streams import Before, at_once
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.gpu import Gpu
from t3sim.lowering.work import Work
from t3sim.schemes.kernels import GemmPhase
from t3sim.schemes.phases import Phase, prepared


@dataclass(frozen=True)
class Kernel:
    """One phase on a stream."""

    phase: Phase
    after: tuple[int, ...] = ()
    """Kernels that must have ended before it is launched, by their places."""
    events: tuple[int, ...] = ()
    """Kernels of other streams whose events it waits for, by their places."""


@dataclass(frozen=True)
class StreamsPhase:
    """Kernels that run at once: they share memory and links, and have the CUs that each was given."""

    by_tile: ClassVar[bool] = False
    kernels: tuple[Kernel, ...]
    gemm_alone: Phase
    """Their GEMMs as one kernel with the machine to itself."""
    event_fs: int = 0
    """From a kernel's end until another stream has seen its event."""

    @property
    def pieces_alone(self) -> tuple[Phase, ...]:
        """Their GEMMs on all CUs."""
        gemms = (kernel.phase for kernel in self.kernels if isinstance(kernel.phase, GemmPhase))
        return tuple(replace(gemm, cus=None) for gemm in gemms)

    @property
    def works(self) -> tuple[Work, ...]:
        """What it carries out, kernel by kernel."""
        return tuple(work for kernel in self.kernels for work in kernel.phase.works)

    def prepare(self, gpu: Gpu, number: int) -> Callable[[], Process]:
        """Prepare all of them."""
        runs = prepared([kernel.phase for kernel in self.kernels], gpu, number)
        before = [Before(kernel.after, kernel.events) for kernel in self.kernels]
        return partial(at_once, gpu.env, runs, before, self.event_fs)
