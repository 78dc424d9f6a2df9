"""Links, packets and sums as the data plane holds them, to be looked at."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.message import Message, described
from t3sim.hardware.plane.kinds import RETURN_AT
from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.plane.state import BEFORE_ALL, NONE
from t3sim.hardware.standing import LaneStanding, LinkStanding


@dataclass(frozen=True, slots=True)
class Queued:
    """A packet that is not on the wire in full."""

    channel: int
    nbytes: int
    message: Message
    held: tuple[str, int] | None
    """The link into whose receiving end, and the channel by which, it came."""


class Link:
    """One direction of one link."""

    def __init__(self, network: Any, plane: Plane, number: int, spec: LinkSpec, name: str) -> None:
        self.spec = spec
        self.name = name
        self.bytes_per_s = spec.bytes_per_s
        self.number = number
        """Of its row in the plane."""
        self.channels: dict[int, int] = {}
        """Rows of its virtual channels, by number, as far as they are used; each has a receive buffer of its own."""
        self._plane = plane
        self._network = network

    @property
    def sent_bytes(self) -> int:
        """Bytes of packets that it has begun to send."""
        return int(self._row["sent_bytes"])

    @property
    def delivered_bytes(self) -> int:
        """Bytes of packets that have arrived, or gone on from there."""
        return int(self._row["delivered_bytes"])

    @property
    def wire_bytes(self) -> int:
        """Bytes whose time packets held the wire, lost ones included."""
        return int(self._row["wire_bytes"])

    @property
    def busy_fs(self) -> int:
        """Time it was sending."""
        return int(self._row["busy"])

    @property
    def overlaps(self) -> int:
        """How often a packet went on the wire while another was on it; anything but 0 is a fault of the simulator."""
        return int(self._row["overlaps"])

    @property
    def stuck(self) -> bool:
        """Whether the packet on the wire never gets through."""
        return bool(self._row["stuck"])

    def free(self, channel: int) -> int:
        """Bytes of a channel's buffer that the sender knows to be free, or that are on their way to it."""
        row = self.channels[channel]
        credit = int(self._plane.rows("channels")["credit"][row])
        return credit + sum(nbytes for _, nbytes in self._returning(row))

    def queued(self) -> list[Queued]:
        """List all packets that are not on the wire in full."""
        sending = int(self._row["sending"])
        passing = [sending] if sending != NONE and sending != int(self._row["own_first"]) else []
        return [self._packet(number) for number in (*passing, *self._own(), *self._passing())]

    def starved(self) -> list[int]:
        """List the channels in which a packet waits for room at the receiver."""
        if int(self._row["sending"]) != NONE:
            return []
        waiting = {packet.channel for packet in map(self._packet, self._passing())}
        accepted = [self._packet(number) for number in self._own()][: int(self._row["accepted"])]
        waiting |= {packet.channel for packet in accepted[:1]}
        return sorted(channel for channel in waiting if not self._has_room(channel))

    def waiting(self) -> list[str]:
        """Say what is still queued, for a stall report."""
        packets = self.queued()
        if not packets:
            return []
        reason = "waiting for receiver buffer space"
        if int(self._row["sending"]) != NONE:
            reason = "down for good" if self.stuck else "sending"
        return [f"{self.name}: {len(packets)} packets queued, {reason}; first: {described(packets[0].message)}"]

    def standing(self) -> LinkStanding:
        """Say how it stands, which carries nothing."""
        channels, now = self._plane.rows("channels"), int(self._plane.env.now)
        lanes = []
        for number, row in sorted(self.channels.items()):
            last_flow = int(channels["last_flow"][row])
            if last_flow != BEFORE_ALL:  # else it was never used
                left = tuple((at - now, nbytes) for at, nbytes in self._returning(row) if at > now)
                lanes.append(LaneStanding(number, last_flow, left))
        return LinkStanding(bool(self._row["shared"]), int(self._row["last_channel"]), tuple(lanes))

    def resume(self, standing: LinkStanding) -> None:
        """Go on from there, at time 0."""
        self._row["shared"], self._row["last_channel"] = standing.shared, standing.last_channel
        for lane in standing.lanes:
            row = self.channels[lane.number]
            for at, nbytes in lane.returning:
                self._plane.perform(RETURN_AT, row, at, nbytes)
            channel = self._plane.rows("channels")[row]
            channel["last_flow"] = lane.last_flow
            channel["credit"] -= sum(nbytes for _, nbytes in lane.returning)

    def _returning(self, row: int) -> Iterator[tuple[int, int]]:
        """List space of a channel on its way back: when it is here, and bytes."""
        here, returns = int(self._plane.rows("channels")["first_return"][row]), self._plane.rows("returns")
        while here != NONE:
            yield int(returns["time"][here]), int(returns["nbytes"][here])
            here = int(returns["next"][here])

    @property
    def _row(self) -> Any:
        return self._plane.rows("links")[self.number]

    def _own(self) -> Iterator[int]:
        return self._chain(int(self._row["own_first"]))

    def _passing(self) -> Iterator[int]:
        channels, flows = self._plane.rows("channels"), self._plane.rows("flows")
        for number in self.channels.values():
            here = int(channels["first_flow"][number])
            while here != NONE:
                yield from self._chain(int(flows["first"][here]))
                here = int(flows["next"][here])

    def _chain(self, here: int) -> Iterator[int]:
        packets = self._plane.rows("packets")
        while here != NONE:
            yield here
            here = int(packets["next"][here])

    def _packet(self, number: int) -> Queued:
        packet = self._plane.rows("packets")[number]
        room, held = int(packet["room"]), None
        if room != NONE:
            row = self._plane.rows("rooms")[room]
            held = self._network.place_of(int(row["link"]), int(row["channel"]))
        channel = int(self._plane.rows("channels")["number"][packet["channel"]])
        return Queued(channel, int(packet["nbytes"]), self._network.message(int(packet["message"])), held)

    def _has_room(self, channel: int) -> bool:
        """Whether there is room for the packet whose turn it is in a channel."""
        row, now, packet = self.channels[channel], int(self._plane.env.now), self._next_of(channel)
        free = int(self._plane.rows("channels")["credit"][row])
        free += sum(nbytes for at, nbytes in self._returning(row) if at <= now)
        return free >= min(packet.nbytes, self.spec.receive_buffer)

    def _next_of(self, channel: int) -> Queued:
        row, flows = self._plane.rows("channels")[self.channels[channel]], self._plane.rows("flows")
        own = [packet for packet in map(self._packet, self._own()) if packet.channel == channel]
        here = int(row["first_flow"])
        while here != NONE and int(flows["number"][here]) <= int(row["last_flow"]):
            here = int(flows["next"][here])
        if here == NONE and own and int(self._row["accepted"]):
            return own[0]
        return self._packet(int(flows["first"][here if here != NONE else int(row["first_flow"])]))


class Sums:
    """The sums of one output of a switch: what its reduction buffer holds."""

    def __init__(self, network: Any, plane: Plane, number: int, name: str) -> None:
        self.name = name
        self.number = number
        """Of its row in the plane."""
        self._network = network
        self._plane = plane

    def is_busy(self, now: int) -> bool:
        """Whether there is anything in it, or will be."""
        return self.free != self.entries or int(self._row["first_came"]) != NONE or int(self._row["busy_until"]) > now

    @property
    def entries(self) -> int:
        """Sums that it can have under way."""
        return int(self._row["entries"])

    @property
    def free(self) -> int:
        """Entries without a sum."""
        return int(self._row["free"])

    def open(self) -> list[tuple[int, int, Message, int]]:
        """List sums that miss contributions: key, piece, the first contribution, and how many are missing."""
        sums, here, found = self._plane.rows("sums"), int(self._row["first_open"]), []
        while here != NONE:
            row = sums[here]
            message = self._network.message(int(row["message"]))
            found.append((int(row["key"]), int(row["piece"]), message, int(row["missing"])))
            here = int(row["next"])
        return found

    def blocked(self) -> list[tuple[Message, tuple[str, int] | None]]:
        """List contributions to sums without an entry, the oldest first, and the link and channel they came by."""
        contributions, here, found = self._plane.rows("contributions"), int(self._row["first_blocked"]), []
        while here != NONE:
            row = contributions[here]
            room = self._plane.rows("rooms")[int(row["room"])]
            held = self._network.place_of(int(room["link"]), int(room["channel"]))
            found.append((self._network.message(int(row["message"])), held))
            here = int(row["next"])
        return found

    def waiting(self) -> list[str]:
        """Say what is not summed up or has not left yet, for a stall report."""
        found, blocked = self.open(), self.blocked()
        lines = [
            f"{self.name}: {len(found)} sums miss contributions; "
            f"the first {missing} of {message.merges}: {described(message)}"
            for _, _, message, missing in found[:1]
        ]
        if blocked:
            lines.append(
                f"{self.name}: {len(blocked)} contributions wait for one of {self.entries} entries; "
                f"first: {described(blocked[0][0])}"
            )
        return lines

    def faults(self) -> list[str]:
        """Say what is not as it has to be after a run."""
        if self.free == self.entries:
            return []
        return [f"{self.name}: {self.entries - self.free} of {self.entries} entries are still taken"]

    @property
    def _row(self) -> Any:
        return self._plane.rows("reducers")[self.number]
