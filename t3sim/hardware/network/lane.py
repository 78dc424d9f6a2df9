"""One virtual channel of a link: credits for its part of the receiver's buffer, and the packets that come through."""

from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from t3sim.hardware.clock import Action
from t3sim.hardware.network.message import Message
from t3sim.hardware.standing import LaneStanding

OWN: Final = -1
"""The flow of what the node at the sending end sends itself; the others are numbered from 0."""
BEFORE_ALL: Final = 2**62  # after the last flow comes the first one


class Room(Protocol):
    """Buffer space that a packet holds until its last byte is on the next wire."""

    def release(self) -> None:
        """Give it back; a packet of which there are several copies does so once for each."""

    def held_at(self) -> tuple[str, int] | None:
        """Name the link into whose receiving end, and the channel by which, it came; ``None``: another buffer."""


@dataclass(slots=True, eq=False)
class Packet:
    """A message on one link of its way."""

    nbytes: int
    wire_bytes: int
    """Bytes whose time it holds the wire."""
    deliver: Action | None = None
    """Runs when its last byte has arrived; ``None``: it goes on from there, see ``begins``."""
    accepted: Action | None = None
    """Runs when it has send-buffer space."""
    begins: Callable[[int, int], None] | None = None
    """Told, as it starts, when its first and its last byte will be at the other end (fs)."""
    left: Action | None = None
    """Runs when its last byte is on the wire."""
    room: Room | None = None
    """What it holds at the sending end, if it came over another link."""
    channel: int = 0
    flow: int = OWN
    message: Message | None = None


def described(message: Message) -> str:
    """Say which message it is, for a stall report."""
    to = ", ".join(map(str, message.destinations))
    return f"operation {message.operation}, piece {message.piece} of {message.pieces} from {message.source} to {to}"


class Lane:
    """State of one virtual channel at the sending end."""

    __slots__ = ("_flows", "_last", "_queues", "capacity", "credit", "look_again_fs", "returning")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.credit = capacity
        self.returning: deque[tuple[int, int]] = deque()
        """Space on its way back: (when it is here, bytes), in order."""
        self.look_again_fs = -1
        self._flows: list[int] = []
        self._queues: dict[int, deque[Packet]] = {}
        self._last = BEFORE_ALL

    def has_room(self, nbytes: int, now: int) -> bool:
        """Whether the receiver has room for ``nbytes``; more than all of its buffer passes when that is empty."""
        while self.returning and self.returning[0][0] <= now:
            self.credit += self.returning.popleft()[1]
        return self.credit >= min(nbytes, self.capacity)

    def is_home(self) -> bool:
        """Whether all space has been given back, or is on its way."""
        return self.credit + sum(nbytes for _, nbytes in self.returning) == self.capacity

    def standing(self, number: int, now: int) -> LaneStanding:
        """Say how it stands, which carries nothing."""
        left = tuple((at - now, nbytes) for at, nbytes in self.returning if at > now)
        return LaneStanding(number, self._last, left)

    def resume(self, standing: LaneStanding) -> None:
        """Go on from there, at time 0."""
        self._last = standing.last_flow
        self.returning.extend(standing.returning)
        self.credit -= sum(nbytes for _, nbytes in standing.returning)

    def push(self, packet: Packet) -> None:
        """Queue a packet that came over another link behind those of its flow."""
        queue = self._queues.get(packet.flow)
        if queue is None:
            queue = self._queues[packet.flow] = deque()
        if not queue:
            insort(self._flows, packet.flow)
        queue.append(packet)

    def waits(self) -> bool:
        """Whether any packet from another link waits."""
        return bool(self._flows)

    def packets(self) -> list[Packet]:
        """List the packets from other links, flow by flow."""
        return [packet for flow in self._flows for packet in self._queues[flow]]

    def next(self, own: Packet | None) -> Packet:
        """Say whose turn it is: the flows take turns in the order of their numbers. ``own``: the node's own next."""
        place = bisect_right(self._flows, self._last)
        if place < len(self._flows):
            return self._queues[self._flows[place]][0]
        return own or self._queues[self._flows[0]][0]

    def take(self, packet: Packet) -> None:
        """Note that it is the turn of ``packet``, which leaves the queue of its flow."""
        self._last = packet.flow
        if packet.flow == OWN:
            return
        queue = self._queues[packet.flow]
        queue.popleft()
        if not queue:
            self._flows.remove(packet.flow)
