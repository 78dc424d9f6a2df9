"""The event log: what passes between the parts of a machine, in the order in which it happens."""

from typing import Any, NamedTuple

from t3sim.hardware.clock import Action
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message
from t3sim.hardware.probe import Probe


class LogEntry(NamedTuple):
    """One event of a run."""

    time_fs: int
    component: str
    """Which part, as ``Gpu[2].Tracker``."""
    event: str
    details: str
    """``name=value``, separated by blanks."""

    def __str__(self) -> str:
        return f"{self.time_fs:>15} {self.component:<15} {self.event:<8} {self.details}".rstrip()


class EventLog(Probe):
    """Records of one run: let it observe the machine before that runs."""

    def __init__(self, machine: Machine) -> None:
        self.env = machine.env
        self.records: list[LogEntry] = []
        machine.observe(self)

    def text(self) -> str:
        """One line per record: time in fs, component, event, details."""
        return "".join(f"{record}\n" for record in self.records)

    def stage_started(self, rank: int, number: int, workgroups: int) -> None:
        """Record the start of a stage."""
        self._add(rank, "Compute", "stage", number=number, workgroups=workgroups)

    def burst_submitted(
        self, rank: int, stream: Stream, access: Access, nbytes: int, cause: Cause, done: Action | None
    ) -> Action | None:
        """Record a burst, and its completion where somebody waits for it."""
        why = f"{cause.operation}.{cause.direction}"
        details = {"access": access.name, "stream": stream.name, "cause": why, "bytes": nbytes}
        self._add(rank, "Memory", "submit", **details)
        return done and self._noting(done, rank, "Memory", "complete", **details)

    def update_counted(self, rank: int, tile: int, updates: int, expected: int, fire: Action) -> Action:
        """Record updates to a tile, and the trigger."""
        self._add(rank, "Tracker", "count", tile=tile, updates=updates, expected=expected)
        return self._noting(fire, rank, "Tracker", "fire", tile=tile)

    def command_triggered(self, rank: int, command: Any) -> None:
        """Record a DMA command that is ready."""
        self._add(rank, "Dma", "trigger", bytes=command.nbytes)

    def message_sent(self, rank: int, message: Message) -> None:
        """Record a message that a GPU hands to the network."""
        to = ",".join(map(str, message.destinations))
        self._add(rank, "Network", "send", to=to, part=message.part, piece=message.piece, bytes=message.nbytes)

    def message_delivered(self, rank: int, message: Message) -> None:
        """Record a message's arrival."""
        details = {"of": message.source, "part": message.part, "piece": message.piece, "bytes": message.nbytes}
        self._add(rank, "Network", "deliver", **details)

    def _add(self, rank: int, where: str, event: str, **details: object) -> None:
        text = " ".join(f"{name}={value}" for name, value in details.items())
        self.records.append(LogEntry(int(self.env.now), f"Gpu[{rank}].{where}", event, text))

    def _noting(self, action: Action, rank: int, where: str, event: str, **details: object) -> Action:
        """Make an action that records the event and then does ``action``."""

        def noted() -> None:
            self._add(rank, where, event, **details)
            action()

        return noted
