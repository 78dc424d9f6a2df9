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
from t3sim.lowering.layout import Place

Read = Callable[[int, Place, Action], None]


class DmaSpec(Spec):
    """The DMA engine of one GPU."""

    outstanding: Annotated[int, Field(gt=0)]
    """Commands in flight."""
    command_latency: Femtoseconds
    """From trigger to the first read request."""


@dataclass(frozen=True, slots=True)
class Command:
    """One pre-programmed transfer."""

    nbytes: int
    place: Place
    """Where its data lie."""
    send: Callable[[Action], None]
    """Hands the data to the link; its argument runs when the link has accepted them."""


class DmaEngine:
    """Command queue between memory (``read``) and link (each command's ``send``)."""

    def __init__(self, env: Environment, spec: DmaSpec, read: Read, name: str) -> None:
        self.env = env
        self.spec = spec
        self.name = name
        self.read = read
        self._ready: deque[Command] = deque()
        self._in_flight = 0

    def trigger(self, command: Command) -> None:
        """Mark ``command`` ready."""
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
            self.read(command.nbytes, command.place, partial(self._arrived, command))

    def _arrived(self, command: Command) -> None:
        command.send(self._accepted)

    def _accepted(self) -> None:
        self._in_flight -= 1
        self._start()
