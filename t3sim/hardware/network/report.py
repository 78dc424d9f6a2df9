"""What a network says of itself: what waits for what when nothing goes on, and what is wrong after a run."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from t3sim import lazy
from t3sim.hardware.network.lane import Packet
from t3sim.hardware.network.link import Link
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.reducer import Group, Reducer
from t3sim.units import FS_PER_S

if TYPE_CHECKING:
    import networkx as nx
else:
    nx = lazy.module("networkx")

SumOf = Callable[[Message], tuple[Reducer, Group]]
"""Names the sum that a message contributes to."""


def circle(links: Iterable[Link], reducers: Iterable[Reducer], sum_of: SumOf) -> list[str]:
    """Name a circle of links and sums each of which waits for the next one, if there is any.

    A link waits for room at its other end: for the links by which packets there are to go on, and for a switch's
    output if contributions there have no entry. An output waits for links at which contributions to its sums queue.
    """
    links, reducers = list(links), list(reducers)
    starved = {(link.name, channel) for link in links for channel in link.starved()}
    waits: list[tuple[str, str]] = []
    for link in links:
        for packet in link.queued():
            here = _named((link.name, packet.channel))
            waits += ((_named(held), here) for held in _held(packet) & starved)
            waits += ((reducer.name, here) for reducer in _missed(packet, sum_of))
    for reducer in reducers:
        rooms = (one.room.held_at() for group in reducer.blocked.values() for one in group)
        waits += ((_named(held), reducer.name) for held in rooms if held in starved)
    if not waits:
        return []
    try:
        found = nx.find_cycle(nx.DiGraph(waits))
    except nx.NetworkXNoCycle:
        return []
    names = [name for name, *_ in found]
    return [f"a circle: {' waits for '.join([*names, names[0]])}"]


def faults(link: Link, total_fs: int) -> Iterator[str]:
    """Say in what a link contradicts itself after a run of ``total_fs``."""
    if link.sent_bytes != link.delivered_bytes:
        yield f"{link.name}: {link.sent_bytes} B sent, {link.delivered_bytes} B received"
    if link.wire_bytes * FS_PER_S > link.bytes_per_s * total_fs:
        yield f"{link.name}: {link.wire_bytes} B in {total_fs} fs is above its rate"
    if link.busy_fs > total_fs:
        yield f"{link.name}: busy for {link.busy_fs} fs of {total_fs} fs"
    if link.overlaps:
        yield f"{link.name}: two packets on the wire at once, {link.overlaps} times"
    for channel, lane in sorted(link.lanes.items()):
        if not lane.is_home():
            yield f"{link.name}: credits of channel {channel} are not home, {lane.credit} B of {lane.capacity} B"


def _held(packet: Packet) -> set[tuple[str, int]]:
    held = packet.room.held_at() if packet.room is not None else None
    return set() if held is None else {held}


def _missed(packet: Packet, sum_of: SumOf) -> Iterator[Reducer]:
    """Give the output that has begun the sum which ``packet`` is to contribute to."""
    if packet.message is not None and packet.message.merges:
        reducer, group = sum_of(packet.message)
        if group in reducer.open:
            yield reducer


def _named(place: tuple[str, int]) -> str:
    name, channel = place
    return f"{name} channel {channel}"
