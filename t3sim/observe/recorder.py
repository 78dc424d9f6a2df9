"""The recorder: what every part of a machine did and when, as plain records; timelines and loss buckets are made of it.

All times are fs. What a record is about is followed through the machine by nesting: a trigger that fires inside a
tile's last count belongs to that tile, a message that is sent inside a command's hand-over belongs to that command.
"""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from t3sim.hardware.clock import Action
from t3sim.hardware.gpu import Gpu
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message
from t3sim.hardware.probe import Probe
from t3sim.observe.intervals import Interval

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
class PacketRecord:
    """A message: queued at its sender's link, on the wires, delivered, and in the receiver's memory."""

    operation: int
    """Number of its operation in the program."""
    part: int
    """Which part of the operation's buffer it belongs to."""
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
    """On the first link of its way."""
    last_start_fs: int = UNKNOWN
    last_end_fs: int = UNKNOWN
    """On the last link of its way, the one into its receiver."""
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
    served_bytes: dict[Cause, int]
    """Bytes of the requests whose service has started."""
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
    packets: list[PacketRecord] = field(default_factory=list)
    """What it sent, in the order of sending."""
    received: list[PacketRecord] = field(default_factory=list)
    """What was delivered to it, in the order of delivery."""
    bursts: list[Burst] = field(default_factory=list)
    dram: list[DramSample] = field(default_factory=list)
    tracker: list[TrackerSample] = field(default_factory=list)


class Recorder(Probe):
    """Records of one machine: let it observe the machine before that runs, read ``gpus`` after."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.gpus = [GpuRecord(gpu) for gpu in machine.gpus]
        self._env = machine.env
        self._open_tiles: list[dict[int, int]] = [{} for _ in self.gpus]
        self._transfers: dict[Any, tuple[int, Transfer]] = {}
        self._packets: dict[int, PacketRecord] = {}
        self._arriving: dict[tuple[int, int, int], PacketRecord] = {}
        self._firing = UNKNOWN
        self._sending = UNKNOWN
        self._consumed: PacketRecord | None = None
        machine.observe(self)

    @property
    def end_fs(self) -> int:
        """When the last thing happened."""
        return self._now

    @property
    def _now(self) -> int:
        return int(self._env.now)

    def stage_started(self, rank: int, number: int, workgroups: int) -> None:
        """Note a stage."""
        self.gpus[rank].stages.append(Stage(number, workgroups, self._now))

    def operands_awaited(self, rank: int, since_fs: int) -> None:
        """Note a wait inside the latest stage."""
        self.gpus[rank].stages[-1].operand_waits.append(Interval(since_fs, self._now))

    def stage_ended(self, rank: int) -> None:
        """Note the end of the latest stage."""
        self.gpus[rank].stages[-1].end_fs = self._now

    def burst_submitted(
        self, rank: int, stream: Stream, access: Access, nbytes: int, cause: Cause, done: Action | None
    ) -> Action | None:
        """Note a burst and when it is done; one that nobody waits for stays so, its end unknown."""
        burst = Burst(stream, access, cause, nbytes, self._now)
        self.gpus[rank].bursts.append(burst)
        if done is None:
            return None
        inner = done

        def noted() -> None:
            burst.end_fs = self._now
            self._consumed = None
            inner()

        return noted

    def memory_advanced(self, rank: int) -> None:
        """Sample the memory's counters."""
        memory = self.gpus[rank].gpu.memory
        self.gpus[rank].dram.append(DramSample(self._now, memory.counted_bytes(), memory.channel.occupancy()))

    def update_counted(self, rank: int, tile: int, updates: int, expected: int, fire: Action) -> Action:
        """Note a tile's first and last update, and the message that the update came with."""
        del updates, expected
        record, open_tiles = self.gpus[rank], self._open_tiles[rank]
        index = open_tiles.get(tile, UNKNOWN)
        if index == UNKNOWN:
            index = open_tiles[tile] = len(record.tiles)
            record.tiles.append(Tile(tile, self._now))
        if self._consumed is not None:
            self._consumed.tile, self._consumed = index, None

        def fired() -> None:
            record.tiles[index].fired_fs = self._now
            del open_tiles[tile]
            before, self._firing = self._firing, index
            fire()
            self._firing = before

        return fired

    def tracker_changed(self, rank: int) -> None:
        """Sample the tracker."""
        tracker = self.gpus[rank].gpu.tracker
        sample = TrackerSample(self._now, tracker.live_entries, tracker.issued - tracker.counted)
        self.gpus[rank].tracker.append(sample)

    def command_triggered(self, rank: int, command: Any) -> None:
        """Note a command that is ready, and the tile that fired it."""
        transfers = self.gpus[rank].transfers
        transfer = Transfer(self._firing, command.nbytes, self._now)
        self._transfers[command] = (len(transfers), transfer)
        transfers.append(transfer)

    def command_started(self, rank: int, command: Any) -> None:
        """Note the start of a command's read."""
        del rank
        self._transfers[command][1].read_fs = self._now

    def command_read(self, rank: int, command: Any) -> None:
        """Note the end of a command's read; what is sent now is its data."""
        del rank
        self._sending, transfer = self._transfers[command]
        transfer.read_end_fs = self._now

    def command_handed_over(self, rank: int, command: Any) -> None:
        """Note that what is sent from now on is not the command's."""
        del rank, command
        self._sending = UNKNOWN

    def command_ended(self, rank: int, command: Any) -> None:
        """Note that the link has a command's data."""
        del rank
        self._transfers[command][1].accepted_fs = self._now

    def message_sent(self, rank: int, message: Message) -> None:
        """Note a message that is queued at the sender's link."""
        packet = PacketRecord(message.operation, message.part, message.nbytes, self._sending, self._now, rank)
        self.gpus[rank].packets.append(packet)
        self._packets[message.serial] = packet

    def message_accepted(self, rank: int, message: Message, accepted: Action | None) -> Action:
        """Note when the link's send buffer took it."""
        del rank
        packet = self._packets[message.serial]

        def noted() -> None:
            packet.accepted_fs = self._now
            if accepted is not None:
                accepted()

        return noted

    def message_on_wire(self, link: str, message: Message, start_fs: int, end_fs: int) -> None:
        """Note when the first and the last of its links carry it."""
        del link
        packet = self._packets[message.serial]
        if packet.wire_start_fs == UNKNOWN:
            packet.wire_start_fs, packet.wire_end_fs = start_fs, end_fs
        packet.last_start_fs, packet.last_end_fs = start_fs, end_fs

    def message_delivered(self, rank: int, message: Message) -> None:
        """Note an arrival; of a message that a switch multiplied, each has a record of its own at its receiver."""
        packet = self._packets[message.serial]
        if packet.delivered_fs != UNKNOWN:
            packet = replace(packet, consumed_fs=UNKNOWN, tile=UNKNOWN)
        packet.delivered_fs = self._now
        self.gpus[rank].received.append(packet)
        self._arriving[rank, message.serial, message.source] = packet

    def message_consumed(self, rank: int, message: Message) -> None:
        """Note a message that is in memory; the count that follows is its update's."""
        packet = self._arriving.pop((rank, message.serial, message.source))
        packet.consumed_fs = self._now
        self._consumed = packet
