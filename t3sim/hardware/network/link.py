"""One direction of a link: a serial wire, a send buffer and credits for the receiver's buffer.

A packet holds send-buffer space from acceptance until its last byte is on the wire, and receiver space from its
first byte until the receiver has consumed it. Its last byte arrives ``bytes / bandwidth + latency`` after the first
was sent. Space given back reaches the sender one latency later.

What the node at the sending end sends itself goes first in, first out. Once packets from other links come through,
the virtual channels take turns, and in each of them the flows, of which the node's own packets are one. Who goes next
is then decided at the end of an instant, when all that comes in it is there, so that it does not depend on which GPU
was built first. A packet that waits for credit keeps its turn in its channel: no flow starves.
"""

from bisect import bisect_right, insort
from collections import deque
from enum import StrEnum
from functools import partial
from typing import Annotated

from pydantic import Field, model_validator

from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.hardware.clock import Environment, Order, call_at
from t3sim.hardware.network.conditions import Carried, Trouble
from t3sim.hardware.network.lane import OWN, Lane, Packet, described
from t3sim.hardware.probe import Probe
from t3sim.hardware.standing import LinkStanding
from t3sim.units import FS_PER_S, ceil_div, transfer_fs


class BandwidthCounts(StrEnum):
    """What a quoted link bandwidth counts."""

    PER_DIRECTION = "per_direction"
    BIDIRECTIONAL = "bidirectional"


class LinkSpec(Spec):
    """A connection from one node to another."""

    bandwidth: Annotated[PositiveBytesPerSecond, Field(ge=2 * 10**6)]
    """As quoted; ``direction`` says what it counts."""
    direction: Annotated[BandwidthCounts, Field(strict=False)]
    """``per_direction``: each way; ``bidirectional``: both ways together, so half of it each way."""
    efficiency: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    """Share of the quoted bandwidth that payload reaches: packet headers and flow control take the rest."""
    latency: Femtoseconds
    """From a packet's last byte sent to its arrival."""
    send_buffer: PositiveBytes
    """Bytes accepted that are not on the wire in full."""
    receive_buffer: PositiveBytes
    """Bytes sent that the receiver has not consumed; at least a round trip at full rate."""

    @model_validator(mode="after")
    def _covers_round_trip(self) -> "LinkSpec":
        needed = ceil_div(2 * self.latency * self.bytes_per_s, FS_PER_S)
        if self.receive_buffer < needed:
            raise ValueError(
                f"receive_buffer {self.receive_buffer} B is less than a round trip at full rate ({needed} B): "
                "the link could never reach its bandwidth"
            )
        return self

    @property
    def bytes_per_s(self) -> int:
        """Payload bandwidth of one direction."""
        quoted = self.bandwidth // 2 if self.direction is BandwidthCounts.BIDIRECTIONAL else self.bandwidth
        return int(quoted * self.efficiency)


class Link:
    """One direction of one link."""

    def __init__(self, env: Environment, spec: LinkSpec, name: str, trouble: Trouble | None = None) -> None:
        self.env = env
        self.spec = spec
        self.name = name
        self.bytes_per_s = spec.bytes_per_s
        self.sent_bytes = 0
        self.delivered_bytes = 0
        self.wire_bytes = 0
        """Bytes whose time packets held the wire, lost ones included."""
        self.busy_fs = 0
        self.overlaps = 0
        """How often a packet went on the wire while another was on it; anything but 0 is a fault of the simulator."""
        self.lanes: dict[int, Lane] = {}
        """Virtual channels by number, as far as they are used; each has a receive buffer of its own."""
        self.own: deque[Packet] = deque()
        """What the node at the sending end sends itself, the one on the wire included."""
        self.sending: Packet | None = None
        self.probe: Probe | None = None
        self.stuck = False
        """Whether the packet on the wire never gets through."""
        self._trouble = trouble
        self._accepted = 0
        self._buffered = 0
        self._shared = False
        self._choosing = False
        self._waiting: list[int] = []  # channels in which packets from other links wait
        self._last_channel = -1
        self._last_end = 0

    def send(self, packet: Packet) -> None:
        """Queue a packet of the node's own."""
        assert packet.nbytes > 0, f"{self.name}: empty packet"
        self.own.append(packet)
        self._accept()
        self._go()

    def forward(self, packet: Packet) -> None:
        """Queue a packet that has come over another link, in the order ``FORWARD`` of an instant."""
        self._shared = True
        lane = self._lane(packet.channel)
        if not lane.waits():
            insort(self._waiting, packet.channel)
        lane.push(packet)
        self._choose_later()

    def consumed(self, nbytes: int, channel: int = 0) -> None:
        """Give back the receiver's buffer space of a packet of ``nbytes``; the sender learns it a latency later."""
        self._give_back(nbytes, channel)
        self._go()

    def passed_on(self, nbytes: int, channel: int) -> None:
        """Give back the space of a packet that has gone on from the other end over another link."""
        self.delivered_bytes += nbytes
        self._give_back(nbytes, channel)
        self._choose_later()

    def carry(self, packet: Packet) -> Carried | None:
        """Put ``packet`` on the wire now and say when it holds it; ``None``: it never gets through."""
        now = int(self.env.now)
        duration = self.duration_fs(packet.wire_bytes)
        carried = Carried(now, now + duration) if self._trouble is None else self._trouble.carry(now, duration)
        self.overlaps += now < self._last_end
        if carried is not None:
            self._last_end = carried.end_fs
            self.busy_fs += duration * carried.tries
            self.wire_bytes += packet.wire_bytes * carried.tries
            if self.probe is not None and packet.message is not None:
                self.probe.message_on_wire(self.name, packet.message, carried.end_fs - duration, carried.end_fs)
        return carried

    def duration_fs(self, nbytes: int) -> int:
        """Say how long ``nbytes`` hold the wire."""
        return transfer_fs(nbytes, self.bytes_per_s)

    def queued(self) -> list[Packet]:
        """List all packets that are not on the wire in full."""
        passing = [self.sending] if self.sending is not None and self.sending.flow != OWN else []
        return [*passing, *self.own, *(packet for lane in self.lanes.values() for packet in lane.packets())]

    def starved(self) -> list[int]:
        """List the virtual channels in which a packet waits for room at the receiver."""
        if self.sending is not None:
            return []
        now = int(self.env.now)
        heads = ((channel, self._next_of(channel)) for channel in self._channels())
        return [channel for channel, packet in heads if not self._lane(channel).has_room(packet.nbytes, now)]

    def waiting(self) -> list[str]:
        """Say what is still queued, for a stall report."""
        packets = self.queued()
        if not packets:
            return []
        reason = "waiting for receiver buffer space"
        if self.sending is not None:
            reason = "down for good" if self.stuck else "sending"
        of_messages = [packet.message for packet in packets if packet.message is not None]
        what = f"; first: {described(of_messages[0])}" if of_messages else ""
        return [f"{self.name}: {len(packets)} packets queued, {reason}{what}"]

    def standing(self) -> LinkStanding:
        """Say how it stands, which carries nothing."""
        lanes = tuple(lane.standing(number, int(self.env.now)) for number, lane in sorted(self.lanes.items()))
        return LinkStanding(self._shared, self._last_channel, lanes)

    def resume(self, standing: LinkStanding) -> None:
        """Go on from there, at time 0."""
        self._shared, self._last_channel = standing.shared, standing.last_channel
        for lane in standing.lanes:
            self._lane(lane.number).resume(lane)

    def _lane(self, channel: int) -> Lane:
        lane = self.lanes.get(channel)
        if lane is None:
            lane = self.lanes[channel] = Lane(self.spec.receive_buffer)
        return lane

    def _give_back(self, nbytes: int, channel: int) -> None:
        self.lanes[channel].returning.append((int(self.env.now) + self.spec.latency, nbytes))

    def _has_room(self, channel: int, nbytes: int) -> bool:
        """Whether the receiver has room; if not, look again when more space is known to be free.

        Credits cost an event only when a packet waits for them.
        """
        lane = self._lane(channel)
        if lane.has_room(nbytes, int(self.env.now)):
            return True
        if lane.returning and lane.returning[0][0] != lane.look_again_fs:
            lane.look_again_fs = lane.returning[0][0]
            call_at(self.env, lane.look_again_fs, self._go, Order.CREDIT)
        return False

    def _accept(self) -> None:
        """Take packets into the send buffer in order; one larger than the whole buffer passes when it is empty."""
        while self._accepted < len(self.own):
            packet = self.own[self._accepted]
            if self._buffered and self._buffered + packet.nbytes > self.spec.send_buffer:
                return
            self._buffered += packet.nbytes
            self._accepted += 1
            if packet.accepted is not None:
                packet.accepted()

    def _go(self) -> None:
        """Start the next packet: at once where only the node's own packets go, first in, first out."""
        if self._shared:
            self._choose_later()
        else:
            self._start()

    def _choose_later(self) -> None:
        if self.sending is None and not self._choosing and (self._accepted or self._waiting):
            self._choosing = True
            call_at(self.env, int(self.env.now), self._choose, Order.FORWARD)

    def _choose(self) -> None:
        self._choosing = False
        self._start()

    def _start(self) -> None:
        if self.sending is not None:
            return
        packet = self._pick()
        if packet is None:
            return
        self.lanes[packet.channel].credit -= packet.nbytes
        self.sending = packet
        carried = self.carry(packet)
        if carried is None:
            self.stuck = True
            return
        self.sent_bytes += packet.nbytes
        if packet.begins is not None:
            packet.begins(carried.begin_fs + self.spec.latency, carried.end_fs + self.spec.latency)
        call_at(self.env, carried.end_fs, self._sent)

    def _pick(self) -> Packet | None:
        """Choose the packet to start, from the next virtual channel with its turn and room at the receiver."""
        if not self._waiting:
            own = self.own[0] if self._accepted else None
            if own is None or not self._has_room(own.channel, own.nbytes):
                return None
            self._last_channel = own.channel
            self.lanes[own.channel].take(own)
            return own
        channels = self._channels()
        first = bisect_right(channels, self._last_channel)
        for channel in (*channels[first:], *channels[:first]):
            packet = self._next_of(channel)
            if self._has_room(channel, packet.nbytes):
                lane = self.lanes[channel]
                lane.take(packet)
                self._last_channel = channel
                if packet.flow != OWN and not lane.waits():
                    self._waiting.remove(channel)
                return packet
        return None

    def _channels(self) -> list[int]:
        """List the virtual channels in which a packet may go, in order."""
        if not self._accepted or self.own[0].channel in self._waiting:
            return self._waiting
        return sorted((self.own[0].channel, *self._waiting))

    def _next_of(self, channel: int) -> Packet:
        own = self.own[0] if self._accepted and self.own[0].channel == channel else None
        return self._lane(channel).next(own)

    def _sent(self) -> None:
        packet = self.sending
        assert packet is not None, f"{self.name}: nothing was on the wire"
        self.sending = None
        if packet.flow == OWN:
            self.own.popleft()
            self._accepted -= 1
            self._buffered -= packet.nbytes
        if packet.left is not None:
            packet.left()
        if packet.deliver is not None:
            call_at(self.env, int(self.env.now) + self.spec.latency, partial(self._deliver, packet), Order.DELIVERY)
        self._accept()
        self._go()

    def _deliver(self, packet: Packet) -> None:
        assert packet.deliver is not None, f"{self.name}: a packet that goes on is not delivered"
        self.delivered_bytes += packet.nbytes
        packet.deliver()
