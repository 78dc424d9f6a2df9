"""The event log: what passes between the parts of a machine, in the order in which it happens.

``attach`` puts a note-taker in front of the parts' public methods, before the machine runs. It hands every call on
with the same arguments and schedules nothing, so no finish time depends on it.
"""

from collections.abc import Callable
from typing import NamedTuple

from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.compute.cus import ComputeArray, GemmRun, Process
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.network.link import Link
from t3sim.hardware.t3.dma import Command, DmaEngine
from t3sim.hardware.t3.tracker import Tracker
from t3sim.lowering.layout import Place
from t3sim.observe.wrap import wrap


class Record(NamedTuple):
    """One event of a run."""

    time_fs: int
    component: str
    """Which part, as ``Gpu[2].Tracker``."""
    event: str
    details: str
    """``name=value``, separated by blanks."""

    def __str__(self) -> str:
        return f"{self.time_fs:>15} {self.component:<15} {self.event:<8} {self.details}".rstrip()


class EventLog:
    """Records of one run."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.records: list[Record] = []

    def add(self, component: str, event: str, **details: object) -> None:
        """Record an event that happens now."""
        text = " ".join(f"{name}={value}" for name, value in details.items())
        self.records.append(Record(int(self.env.now), component, event, text))

    def noting(self, action: Action, component: str, event: str, **details: object) -> Action:
        """Make an action that records the event and then does ``action``."""

        def noted() -> None:
            self.add(component, event, **details)
            action()

        return noted

    def text(self) -> str:
        """One line per record: time in fs, component, event, details."""
        return "".join(f"{record}\n" for record in self.records)


def attach(machine: Machine) -> EventLog:
    """Log everything that ``machine`` will do; call it before the machine runs."""
    log = EventLog(machine.env)
    for gpu in machine.gpus:
        _watch_compute(log, gpu.compute, f"{gpu.name}.Compute")
        _watch_memory(log, gpu.memory)
        _watch_tracker(log, gpu.tracker)
        _watch_dma(log, gpu.dma)
    for link in machine.links.values():
        _watch_link(log, link)
    return log


def _watch_compute(log: EventLog, compute: ComputeArray, name: str) -> None:
    def stage(forward: Callable[..., Process], run: GemmRun, number: int, workgroups: int) -> Process:
        log.add(name, "stage", number=number, workgroups=workgroups)
        return forward(run, number, workgroups)

    wrap(compute, "stage", stage)


def _watch_memory(log: EventLog, memory: MemoryController) -> None:
    def submit(
        forward: Callable[..., None],
        stream: Stream,
        access: Access,
        nbytes: int,
        cause: Cause,
        place: Place,
        done: Action | None = None,
    ) -> None:
        details = {"access": access.name, "stream": stream.name, "cause": cause.name, "bytes": nbytes}
        log.add(memory.name, "submit", **details)
        # A burst that nobody waits for stays one: awaiting it would wake the controller.
        forward(stream, access, nbytes, cause, place, done and log.noting(done, memory.name, "complete", **details))

    wrap(memory, "submit", submit)


def _watch_tracker(log: EventLog, tracker: Tracker) -> None:
    def count(forward: Callable[..., None], workgroup: int, updates: int, expected: int, fire: Action) -> None:
        log.add(tracker.name, "count", workgroup=workgroup, updates=updates, expected=expected)
        forward(workgroup, updates, expected, log.noting(fire, tracker.name, "fire", workgroup=workgroup))

    wrap(tracker, "count", count)


def _watch_dma(log: EventLog, dma: DmaEngine) -> None:
    def trigger(forward: Callable[..., None], command: Command) -> None:
        log.add(dma.name, "trigger", bytes=command.nbytes)
        forward(command)

    wrap(dma, "trigger", trigger)


def _watch_link(log: EventLog, link: Link) -> None:
    def send(
        forward: Callable[..., None],
        nbytes: int,
        deliver: Action,
        accepted: Action | None = None,
        wire_bytes: int | None = None,
    ) -> None:
        log.add(link.name, "send", bytes=nbytes)
        forward(nbytes, log.noting(deliver, link.name, "deliver", bytes=nbytes), accepted, wire_bytes)

    wrap(link, "send", send)
