"""What a network says of itself: what waits for what when nothing goes on, and what is wrong after a run."""

import networkx as nx

from t3sim.hardware.network.link import Link
from t3sim.units import FS_PER_S


def waiting(links: dict[str, Link]) -> list[str]:
    """Say what is queued at the links, and which of them wait for each other in a circle."""
    return [line for link in links.values() for line in link.waiting()] + circles(links)


def circles(links: dict[str, Link]) -> list[str]:
    """Name a circle of channels each of which waits for room that only the next one can make, if there is any.

    A channel waits for another when it needs room at its receiving end and packets that hold some of that want to go
    on by the other, which needs room itself.
    """
    starved = {(link.name, channel) for link in links.values() for channel in link.starved()}
    waits: nx.DiGraph[tuple[str, int]] = nx.DiGraph()
    for link in links.values():
        for packet in link.queued():
            held = packet.room.held_at() if packet.room is not None else None
            if held in starved and (link.name, packet.channel) in starved:
                waits.add_edge(held, (link.name, packet.channel))
    try:
        circle = nx.find_cycle(waits)
    except nx.NetworkXNoCycle:
        return []
    names = [f"{name} channel {channel}" for (name, channel), _ in circle]
    return [f"a circle: {' waits for '.join([*names, names[0]])}"]


def faults(links: dict[str, Link], total_fs: int) -> list[str]:
    """Say in what the links contradict themselves after a run of ``total_fs``."""
    found = []
    for link in links.values():
        if link.sent_bytes != link.delivered_bytes:
            found.append(f"{link.name}: {link.sent_bytes} B sent, {link.delivered_bytes} B received")
        if link.wire_bytes * FS_PER_S > link.bytes_per_s * total_fs:
            found.append(f"{link.name}: {link.wire_bytes} B in {total_fs} fs is above its rate")
        if link.busy_fs > total_fs:
            found.append(f"{link.name}: busy for {link.busy_fs} fs of {total_fs} fs")
        if link.overlaps:
            found.append(f"{link.name}: two packets on the wire at once, {link.overlaps} times")
        found += [
            f"{link.name}: credits of channel {channel} are not home, {lane.credit} B of {lane.capacity} B"
            for channel, lane in link.lanes.items()
            if not lane.is_home()
        ]
    return found
