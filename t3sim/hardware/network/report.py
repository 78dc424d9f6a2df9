"""What a network says of itself: what waits for what when nothing goes on, and what is wrong after a run."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from t3sim import lazy
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.view import Link, Sums
from t3sim.units import FS_PER_S

if TYPE_CHECKING:
    import networkx as nx
else:
    nx = lazy.module("networkx")

MissedBy = Callable[[Message], list[str]]
"""Names the outputs that have begun a sum which a message is to contribute to."""


def circle(links: Iterable[Link], reducers: Iterable[Sums], missed_by: MissedBy) -> list[str]:
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
            if packet.held in starved:
                waits.append((_named(packet.held), here))
            waits += ((output, here) for output in missed_by(packet.message))
    for reducer in reducers:
        rooms = (held for _, held in reducer.blocked())
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
    for channel in sorted(link.channels):
        free, capacity = link.free(channel), link.spec.receive_buffer
        if free != capacity:
            yield f"{link.name}: credits of channel {channel} are not home, {free} B of {capacity} B"


def _named(place: tuple[str, int] | None) -> str:
    assert place is not None, "what waits for room came over a link"
    name, channel = place
    return f"{name} channel {channel}"
