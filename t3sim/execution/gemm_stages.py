"""Which workgroups of a GEMM run next, on how many CUs, and what they move through the LLC."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from simpy.events import Event

from t3sim.hardware.compute.cu_pool import CuPool
from t3sim.hardware.compute.llc import LlcReplay, LlcTraffic
from t3sim.lowering.kernel_choice import KernelChoice


@dataclass(frozen=True, slots=True)
class Stage:
    """Workgroups that run as one gang."""

    first: int
    """Of the dispatch order."""
    last: int
    """The one after them."""
    cus: int
    """CUs that they run on."""
    traffic: LlcTraffic
    place: int
    """Of the stage in ``traffic``."""


class Stages(Protocol):
    """Forms the stages of one GEMM."""

    def begin(self, number: int, first: int) -> Generator[Event, Any, Stage]:
        """Form stage ``number``, from workgroup ``first`` on, when it has CUs."""

    def end(self) -> None:
        """Let go of the CUs: the last stage has ended."""


@dataclass(frozen=True, kw_only=True)
class OwnCus:
    """Stages of a kernel with CUs of its own, whose LLC traffic is known before it runs."""

    workgroups: int
    """Of the kernel."""
    resident: int
    """Workgroups of a stage."""
    cus: int
    traffic: LlcTraffic

    def begin(self, number: int, first: int) -> Generator[Event, Any, Stage]:
        """Take as many workgroups as are resident at once."""
        yield from ()
        return Stage(first, min(first + self.resident, self.workgroups), self.cus, self.traffic, number)

    def end(self) -> None:
        """Keep the CUs, which are nobody else's."""


class SharedCus:
    """Stages of a kernel that takes, each time, what CUs are free, or whose operands others drive out of the LLC."""

    def __init__(
        self,
        kernel: KernelChoice,
        replay: LlcReplay,
        pool: CuPool,
        priority: int,
        strange_bytes: Callable[[], int] = lambda: 0,
    ) -> None:
        """``strange_bytes``: gives all bytes so far that others have moved and that took places in the LLC.

        A stage meets, evenly over its slabs, what has come to these since the stage before it began.
        """
        self._kernel = kernel
        self._replay = replay
        self._pool = pool
        self._priority = priority
        self._strange_bytes = strange_bytes
        self._held = 0
        self._seen = strange_bytes()

    def begin(self, number: int, first: int) -> Generator[Event, Any, Stage]:
        """Give back the CUs of the stage before, and take what is free."""
        del number
        total = self._kernel.workgroups
        # Few workgroups spread over as many CUs as there are.
        self._held = yield from self._pool.exchange(self._held, total - first, self._priority)
        last = min(first + self._held * self._kernel.workgroups_per_cu, total)
        seen = self._strange_bytes()
        strange, self._seen = seen - self._seen, seen
        traffic = self._replay.go_on(np.array([first, last]), np.array([strange]))
        return Stage(first, last, self._held, settled(traffic, self._kernel), 0)

    def end(self) -> None:
        """Give back the CUs."""
        self._pool.give(self._held)
        self._held = 0


def settled(traffic: LlcTraffic, kernel: KernelChoice) -> LlcTraffic:
    """Let partial sums stay in the LLC: what is left of them is the output, when they have been added up."""
    return traffic if kernel.split_k == 1 else replace(traffic, flush_bytes=kernel.tiling.output_bytes)
