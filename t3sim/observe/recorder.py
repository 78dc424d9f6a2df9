"""The recorder: what every part of a machine did and when, as plain records; timelines and loss buckets are made of it.

It stands in front of the parts' public methods, hands every call on with the same arguments and schedules nothing,
so no finish time depends on it. All times are fs. What a record is about is followed through the machine by nesting:
a trigger that fires inside a tile's last count belongs to that tile, a message that is sent inside a command's
hand-over belongs to that command.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.compute.cus import GemmRun, Process
from t3sim.hardware.gpu import Gpu
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message
from t3sim.hardware.t3.dma import Command
from t3sim.kernels import IntArray
from t3sim.lowering.layout import Place
from t3sim.observe.intervals import Interval
from t3sim.observe.wrap import wrap
from t3sim.units import transfer_fs

UNKNOWN = -1
"""Stands for a time that has not come (yet), and for the tile or command of what has none."""


@dataclass(slots=True)
class Stage:
    """One stage of a GEMM: its K loop, from the first load to the end of the last slab."""

    number: int
    workgroups: int
    start_fs: int
    end_fs: int = UNKNOWN
    operand_waits: list[Interval] = field(default_factory=list)


@dataclass(slots=True)
class Tile:
    """A tracked tile, from the first update that the tracker is told of to the one that completes it."""

    workgroup: int
    first_fs: int
    fired_fs: int = UNKNOWN


@dataclass(slots=True)
class Transfer:
    """A DMA command."""

    tile: int
    """Index of its tile in the GPU's ``tiles``, or ``UNKNOWN``."""
    nbytes: int
    trigger_fs: int
    read_fs: int = UNKNOWN
    """When its read is submitted."""
    read_end_fs: int = UNKNOWN
    accepted_fs: int = UNKNOWN
    """When the link has taken all of it."""


@dataclass(slots=True)
class Packet:
    """A message: queued at the link, on the wire, delivered, and in the receiver's memory."""

    phase: int
    position: int
    nbytes: int
    transfer: int
    """Index of its DMA command in the sender's ``transfers``, or ``UNKNOWN``."""
    queued_fs: int
    sender: int
    """Index of the GPU that sends it."""
    accepted_fs: int = UNKNOWN
    """When the link's send buffer took it."""
    wire_start_fs: int = UNKNOWN
    wire_end_fs: int = UNKNOWN
    delivered_fs: int = UNKNOWN
    consumed_fs: int = UNKNOWN
    tile: int = UNKNOWN
    """Index of the tile it completes or adds to in the receiver's ``tiles``, or ``UNKNOWN``."""


@dataclass(slots=True)
class Burst:
    """A burst at the memory controller, from its submission to its data or its place in memory."""

    stream: Stream
    access: Access
    cause: Cause
    nbytes: int
    start_fs: int
    end_fs: int = UNKNOWN


class DramSample(NamedTuple):
    """The memory controller at one moment."""

    time_fs: int
    served_bytes: tuple[int, ...]
    """Bytes of the requests whose service has started, by ``Cause``."""
    queue_entries: int


class TrackerSample(NamedTuple):
    """The tracker after a count."""

    time_fs: int
    entries: int
    waiting_updates: int
    """Updates that are in memory and wait to be counted because their set is full."""


@dataclass(slots=True)
class GpuRecord:
    """What one GPU did."""

    gpu: Gpu
    stages: list[Stage] = field(default_factory=list)
    tiles: list[Tile] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    packets: list[Packet] = field(default_factory=list)
    """What it sent, in the order of sending."""
    received: list[Packet] = field(default_factory=list)
    """What was sent to it, in the order of sending."""
    bursts: list[Burst] = field(default_factory=list)
    dram: list[DramSample] = field(default_factory=list)
    tracker: list[TrackerSample] = field(default_factory=list)


class Recorder:
    """Records of one machine: attach it before the machine runs, read ``gpus`` after."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.gpus = [GpuRecord(gpu) for gpu in machine.gpus]
        by_index = {record.gpu.index: record for record in self.gpus}
        on_the_way: dict[tuple[int, Message], Packet] = {}
        for record in self.gpus:
            _watch_compute(record)
            _watch_dram(record)
            _Traffic(machine.env, record, by_index, on_the_way).watch()

    @property
    def end_fs(self) -> int:
        """When the last thing happened."""
        return int(self.machine.env.now)


def _watch_compute(record: GpuRecord) -> None:
    env, compute = record.gpu.env, record.gpu.compute

    def stage(forward: Callable[..., Process], run: GemmRun, number: int, workgroups: int, *rest: Any) -> Process:
        noted = Stage(number, workgroups, int(env.now))
        record.stages.append(noted)
        yield from forward(run, number, workgroups, *rest)
        noted.end_fs = int(env.now)

    def await_operands(forward: Callable[..., Process], load: object) -> Process:
        start = int(env.now)
        yield from forward(load)
        record.stages[-1].operand_waits.append(Interval(start, int(env.now)))

    wrap(compute, "stage", stage)
    wrap(compute, "await_operands", await_operands)


def _watch_dram(record: GpuRecord) -> None:
    env, channel = record.gpu.env, record.gpu.memory.channel

    # The channel is read only when it has been advanced for the machine's own reasons: with every arrival and at every
    # completion. Advancing it at other times would be exact, but could reorder what happens in one instant.
    def advance(forward: Callable[..., Any], table: IntArray, now: int) -> Any:
        completed = forward(table, now)
        sample = DramSample(now, tuple(channel.served()), channel.occupancy())
        record.dram.append(sample)
        return completed

    def admit(forward: Callable[..., int], table: IntArray, now: int) -> int:
        end = forward(table, now)
        sample = DramSample(int(env.now), tuple(channel.served()), channel.occupancy())
        record.dram.append(sample)
        return end

    wrap(channel, "advance", advance)
    wrap(channel, "admit", admit)


class _Traffic:
    """Follows data through one GPU: bursts, tiles, DMA commands and messages."""

    def __init__(
        self,
        env: Environment,
        record: GpuRecord,
        gpus: dict[int, GpuRecord],
        on_the_way: dict[tuple[int, Message], Packet],
    ) -> None:
        """``on_the_way``: packets that are not in memory yet, by receiver and message, of all GPUs."""
        self.env = env
        self.record = record
        self.gpus = gpus
        self.on_the_way = on_the_way
        self._open_tiles: dict[int, int] = {}
        self._commands_begun = 0
        self._firing = UNKNOWN
        self._sending_transfer = UNKNOWN
        self._sending: Packet | None = None
        self._consumed: Packet | None = None

    @property
    def now(self) -> int:
        """The time, fs."""
        return int(self.env.now)

    def watch(self) -> None:
        """Stand in front of the GPU's parts."""
        gpu = self.record.gpu
        wrap(gpu.memory, "submit", self.submit)
        wrap(gpu.tracker, "count", self.count)
        wrap(gpu.dma, "trigger", self.trigger)
        wrap(gpu.dma, "read", self.read)
        wrap(gpu, "send", self.send)
        wrap(gpu, "consumed", self.consumed)
        wrap(gpu.out, "send", self.send_packet)

    def submit(
        self,
        forward: Callable[..., None],
        stream: Stream,
        access: Access,
        nbytes: int,
        cause: Cause,
        place: Place,
        done: Action | None = None,
    ) -> None:
        """Note a burst and when it is done; one that nobody waits for stays so, its end unknown."""
        burst = Burst(stream, access, cause, nbytes, self.now)
        self.record.bursts.append(burst)

        forward(stream, access, nbytes, cause, place, done and self._noting_end(burst, done))

    def _noting_end(self, burst: Burst, done: Action) -> Action:
        def noted() -> None:
            burst.end_fs = self.now
            self._consumed = None
            done()

        return noted

    def count(self, forward: Callable[..., None], workgroup: int, updates: int, expected: int, fire: Action) -> None:
        """Note a tile's first and last update, and the message that the update came with."""
        tile = self._open_tiles.get(workgroup, UNKNOWN)
        if tile == UNKNOWN:
            tile = self._open_tiles[workgroup] = len(self.record.tiles)
            self.record.tiles.append(Tile(workgroup, self.now))
        if self._consumed is not None:
            self._consumed.tile, self._consumed = tile, None

        def fired() -> None:
            self.record.tiles[tile].fired_fs = self.now
            del self._open_tiles[workgroup]
            before, self._firing = self._firing, tile
            fire()
            self._firing = before

        forward(workgroup, updates, expected, fired)
        tracker = self.record.gpu.tracker
        sample = TrackerSample(self.now, tracker.live_entries, tracker.issued - tracker.counted)
        self.record.tracker.append(sample)

    def trigger(self, forward: Callable[..., None], command: Command) -> None:
        """Note a command that is ready, and follow its data to the link."""
        transfer = Transfer(self._firing, command.nbytes, self.now)
        index = len(self.record.transfers)
        self.record.transfers.append(transfer)

        def send(accepted: Action) -> None:
            def taken() -> None:
                transfer.accepted_fs = self.now
                accepted()

            transfer.read_end_fs = self.now
            self._sending_transfer = index
            command.send(taken)
            self._sending_transfer = UNKNOWN

        forward(replace(command, send=send))

    def read(self, forward: Callable[..., None], nbytes: int, place: Place, done: Action) -> None:
        """Note the start of a command's read; commands start in the order in which they became ready."""
        self.record.transfers[self._commands_begun].read_fs = self.now
        self._commands_begun += 1
        forward(nbytes, place, done)

    def send(self, forward: Callable[..., None], message: Message, *rest: Any) -> None:
        """Note a message that is queued at the link."""
        receiver = self.record.gpu.successor.index
        packet = Packet(
            message.phase, message.position, message.nbytes, self._sending_transfer, self.now, self.record.gpu.index
        )
        self.record.packets.append(packet)
        self.gpus[receiver].received.append(packet)
        self.on_the_way[receiver, message] = self._sending = packet
        forward(message, *rest)

    def send_packet(
        self,
        forward: Callable[..., None],
        nbytes: int,
        deliver: Action,
        accepted: Action | None = None,
        wire_bytes: int | None = None,
    ) -> None:
        """Note when a packet was on the wire, which its arrival tells."""
        packet, link = self._sending, self.record.gpu.out.spec
        assert packet is not None, "what a GPU sends is a message"
        on_wire_fs = transfer_fs(nbytes if wire_bytes is None else wire_bytes, link.bytes_per_s)

        def delivered() -> None:
            packet.delivered_fs = self.now
            packet.wire_end_fs = self.now - link.latency
            packet.wire_start_fs = packet.wire_end_fs - on_wire_fs
            deliver()

        def taken() -> None:
            packet.accepted_fs = self.now
            if accepted is not None:
                accepted()

        forward(nbytes, delivered, taken, wire_bytes)

    def consumed(self, forward: Callable[..., None], message: Message) -> None:
        """Note a message that is in memory; the count that follows is its update's."""
        packet = self.on_the_way.pop((self.record.gpu.index, message))
        packet.consumed_fs = self.now
        self._consumed = packet
        forward(message)
