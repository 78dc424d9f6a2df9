"""Ways of messages: the routes to all destinations of a message as one tree of links, worked out once and kept."""

from dataclasses import dataclass

from t3sim.collectives.grid import add, negated
from t3sim.hardware.network.link import Link
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.wiring import Node, Route, Wiring, link_name


@dataclass(frozen=True, slots=True, eq=False)
class Leg:
    """A message's way over one link, and on from there."""

    link: Link
    channel: int
    flow: int
    """Number of its flow: how far it has come, and how far its source is from its destination."""
    kind: int
    """Number of the kind of link, the same from whichever rank one looks."""
    end: Node
    """Where the link leads."""
    destinations: tuple[int, ...]
    onward: tuple["Leg", ...]
    """Empty: it is delivered there."""


class Ways:
    """Finds and keeps the ways of messages over the links that are simulated."""

    def __init__(self, wiring: Wiring, links: dict[str, Link], *, mirrored: bool) -> None:
        self._wiring = wiring
        self._links = links
        self._mirrored = mirrored
        self._last: dict[tuple[int, int, int], tuple[Link, int]] = {}
        self._known: dict[tuple[int, tuple[int, ...], int], Leg] = {}

    def of(self, message: Message) -> Leg:
        """Give the first leg; ``ValueError`` when there is no way, or it splits where nothing can multiply."""
        key = (message.source, message.destinations, message.piece % self._wiring.cabling.spread)
        leg = self._known.get(key)
        if leg is None:
            routes = {end: self._wiring.route(key[0], end, key[2]) for end in key[1]}
            if not all(routes.values()):
                raise ValueError(f"there is no way for a message from GPU {key[0]} to itself")
            legs = self._legs(routes, message.source, key[1], 0)
            if len(legs) != 1:
                raise ValueError(
                    f"GPU {key[0]} has no single link to all of the GPUs {key[1]}: nothing can multiply it"
                )
            leg = self._known[key] = legs[0]
        return leg

    def last(self, source: int, destination: int, piece: int) -> tuple[Link, int]:
        """Give the link by which a message reaches ``destination``, and its channel there."""
        key = (source, destination, piece % self._wiring.cabling.spread)
        if key not in self._last:
            hop = self._wiring.route(*key)[-1]
            self._last[key] = self._link(*hop.edge), hop.channel
        return self._last[key]

    def latency_fs(self, source: int, destination: int) -> int:
        """Sum the latencies along the way of the first piece."""
        return sum(self._link(*hop.edge).spec.latency for hop in self._wiring.route(source, destination, 0))

    def _link(self, start: Node, end: Node) -> Link:
        edge = self._wiring.representative((start, end)) if self._mirrored else (start, end)
        return self._links[link_name(edge)]

    def _legs(
        self, routes: dict[int, Route], source: int, destinations: tuple[int, ...], depth: int
    ) -> tuple[Leg, ...]:
        """Give the legs from the node after ``depth`` hops, one for each link that any of the routes takes there."""
        by_hop: dict[object, list[int]] = {}
        for destination in destinations:
            if len(routes[destination]) > depth:
                by_hop.setdefault(routes[destination][depth], []).append(destination)
        return tuple(self._leg(routes, source, tuple(through), depth) for through in by_hop.values())

    def _leg(self, routes: dict[int, Route], source: int, destinations: tuple[int, ...], depth: int) -> Leg:
        edge, channel = routes[destinations[0]][depth]
        wiring = self._wiring
        end = edge[1]
        onward = self._legs(routes, source, destinations, depth + 1)
        delivered = [destination for destination in destinations if len(routes[destination]) == depth + 1]
        if len(onward) + len(delivered) > 1 and not self._multiplies(end):
            raise ValueError(f"{end if isinstance(end, str) else f'GPU {end}'} cannot multiply messages")
        back = negated(source, wiring.shape)
        offset = min(add(destination, back, wiring.shape) for destination in destinations)
        return Leg(
            link=self._link(*edge),
            channel=channel,
            flow=depth * wiring.gpus + offset,
            kind=wiring.kinds[wiring.representative(edge)],
            end=end,
            destinations=destinations,
            onward=onward,
        )

    def _multiplies(self, node: Node) -> bool:
        return isinstance(node, str) and self._wiring.switches[node].multicasts
