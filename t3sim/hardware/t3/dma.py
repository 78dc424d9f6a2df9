"""The DMA engine: executes pre-programmed commands when the tracker marks them ready. Uses no CUs.

A command reads its tile from DRAM and sends it over the link. Ready commands start in the order they became ready;
at most ``outstanding`` tiles are between the start of their read and their acceptance by the link.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import Field

from t3sim.config import Femtoseconds, Spec
from t3sim.hardware.clock import Action, Environment, call_after
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.probe import Probe
from t3sim.lowering.layout import Place


class DmaSpec(Spec):
    """The DMA engine of one GPU."""

    outstanding: Annotated[int, Field(gt=0)]
    """Commands in flight."""
    command_latency: Femtoseconds
    """From trigger to the first read request."""


@dataclass(frozen=True, slots=True, eq=False)
class Command:
    """One pre-programmed transfer."""

    nbytes: int
    place: Place
    """Where its data lie."""
    cause: Cause
    """By which its read is counted."""
    send: Callable[[Action], None]
    """Hands the data to the link; its argument runs when the link has accepted them."""


class DmaEngine:
    """Command queue between memory and link (each command's ``send``)."""

    def __init__(self, env: Environment, spec: DmaSpec, memory: MemoryController, rank: int) -> None:
        self.env = env
        self.spec = spec
        self.name = f"Gpu[{rank}].Dma"
        self.probe: Probe | None = None
        self._rank = rank
        self._memory = memory
        self._ready: deque[Command] = deque()
        self._in_flight = 0

    def trigger(self, command: Command) -> None:
        """Mark ``command`` ready."""
        if self.probe is not None:
            self.probe.command_triggered(self._rank, command)
        call_after(self.env, self.spec.command_latency, lambda: self._enqueue(command))

    def waiting(self) -> list[str]:
        """Say what is still open, for a stall report."""
        if not (self._ready or self._in_flight):
            return []
        return [f"{self.name}: {len(self._ready)} commands ready, {self._in_flight} in flight"]

    def _enqueue(self, command: Command) -> None:
        self._ready.append(command)
        self._start()

    def _start(self) -> None:
        while self._ready and self._in_flight < self.spec.outstanding:
            command = self._ready.popleft()
            self._in_flight += 1
            if self.probe is not None:
                self.probe.command_started(self._rank, command)
            read = partial(self._arrived, command)
            self._memory.submit(Stream.COMMUNICATION, Access.READ, command.nbytes, command.cause, command.place, read)

    def _arrived(self, command: Command) -> None:
        if self.probe is None:
            command.send(self._accepted)
            return
        self.probe.command_read(self._rank, command)
        command.send(partial(self._accepted, command))
        self.probe.command_handed_over(self._rank, command)

    def _accepted(self, command: Command | None = None) -> None:
        if self.probe is not None:
            self.probe.command_ended(self._rank, command)
        self._in_flight -= 1
        self._start()
