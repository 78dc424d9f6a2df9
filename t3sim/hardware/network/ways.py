"""Ways of messages: the routes to all destinations of a message as one tree of links, worked out once and kept."""

from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from t3sim.collectives.grid import turn
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.view import Link
from t3sim.hardware.network.wiring import Edge, Hop, Node, Route, Wiring, link_name

_GPU: Final = SwitchSpec()


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
    sums: bool
    """Whether it is added up with others where the link leads."""


class Ways:
    """Finds and keeps the ways of messages over the links that are simulated."""

    def __init__(self, wiring: Wiring, links: dict[str, Link], *, mirrored: bool) -> None:
        self._wiring = wiring
        self._links = links
        self._mirrored = mirrored
        self._known: dict[tuple[int, tuple[int, ...], int, bool], Leg] = {}
        self._last: dict[tuple[int, int, int], tuple[Link, int]] = {}

    def of(self, source: int, destinations: tuple[int, ...], piece: int, sums: bool) -> Leg:  # noqa: FBT001 - a key
        """Give the first leg of a message's way; ``sums``: it is to be added up with others.

        Raises ``ValueError`` when there is no way, when it splits where nothing multiplies messages, and when a
        message to be added up meets no switch that adds.
        """
        key = (source, destinations, piece % self._wiring.cabling.spread, sums)
        leg = self._known.get(key)
        if leg is None:
            leg = self._known[key] = self._find(*key)
        return leg

    def adder(self, source: int, destinations: tuple[int, ...], piece: int) -> Node:
        """Give the switch at which a message meets those that it is added up with."""
        leg = self.of(source, destinations, piece, True)
        while not leg.sums:
            leg = leg.onward[0]
        return leg.end

    def last(self, source: int, destination: int, piece: int) -> tuple[Link, int]:
        """Give the link by which a message reaches ``destination``, and its virtual channel there."""
        key = (source, destination, piece % self._wiring.cabling.spread)
        found = self._last.get(key)
        if found is None:
            hop = self._wiring.route(*key)[-1]
            found = self._last[key] = self._link(hop.edge), hop.channel
        return found

    def latency_fs(self, source: int, destination: int) -> int:
        """Sum the latencies along the way of the first piece."""
        return sum(self._link(hop.edge).spec.latency for hop in self._wiring.route(source, destination, 0))

    def _link(self, edge: Edge) -> Link:
        return self._links[link_name(self._wiring.representative(edge) if self._mirrored else edge)]

    def _find(self, source: int, destinations: tuple[int, ...], piece: int, sums: bool) -> Leg:  # noqa: FBT001
        routes = {end: self._wiring.route(source, end, piece) for end in destinations}
        if not all(routes.values()):
            raise ValueError(f"there is no way for a message from GPU {source} to itself")
        if sums and not all(any(self._switch(hop.edge[1]).reduces for hop in route) for route in routes.values()):
            raise ValueError(f"nothing on the way from GPU {source} to {_named(destinations)} adds up messages")
        legs = self._legs(routes, source, destinations, 0, sums=sums)
        if len(legs) != 1:
            raise ValueError(f"GPU {source} cannot multiply messages, and has no one link to {_named(destinations)}")
        return legs[0]

    def _legs(
        self, routes: dict[int, Route], source: int, destinations: tuple[int, ...], depth: int, *, sums: bool
    ) -> tuple[Leg, ...]:
        """Give the legs from the node after ``depth`` hops, one for each link that any of the routes takes there."""
        by_hop: dict[Hop, list[int]] = {}
        for destination in destinations:
            if len(routes[destination]) > depth:
                by_hop.setdefault(routes[destination][depth], []).append(destination)
        return tuple(self._leg(routes, source, tuple(through), depth, sums=sums) for through in by_hop.values())

    def _leg(
        self, routes: dict[int, Route], source: int, destinations: tuple[int, ...], depth: int, *, sums: bool
    ) -> Leg:
        """Give the leg over the hop after ``depth``, which is the same on the way to all ``destinations``."""
        first = routes[destinations[0]]
        abreast = zip(*(routes[destination] for destination in destinations), strict=False)
        end = sum(1 for _ in takewhile(lambda hops: len(set(hops)) == 1, abreast))
        adder = next((at for at in range(depth, end) if sums and self._switch(first[at].edge[1]).reduces), None)
        onward = self._legs(routes, source, destinations, end, sums=sums and adder is None)
        delivered = [destination for destination in destinations if len(routes[destination]) == end]
        node = first[end - 1].edge[1]
        if len(onward) + len(delivered) > 1 and not self._switch(node).multicasts:
            raise ValueError(f"{node if isinstance(node, str) else f'GPU {node}'} cannot multiply messages")
        offset = min(turn(source, destination, self._wiring.shape) for destination in destinations)
        for at in reversed(range(depth, end)):
            onward = (self._built(first[at], at * self._wiring.gpus + offset, destinations, onward, sums=at == adder),)
        return onward[0]

    def _built(self, hop: Hop, flow: int, destinations: tuple[int, ...], onward: tuple[Leg, ...], *, sums: bool) -> Leg:
        return Leg(
            link=self._link(hop.edge),
            channel=hop.channel,
            flow=flow,
            kind=self._wiring.kinds[self._wiring.representative(hop.edge)],
            end=hop.edge[1],
            destinations=destinations,
            onward=onward,
            sums=sums,
        )

    def _switch(self, node: Node) -> SwitchSpec:
        """Say what ``node`` can do; a GPU only passes on what is not for it."""
        return self._wiring.switches[node] if isinstance(node, str) else _GPU


def _named(gpus: tuple[int, ...]) -> str:
    return f"GPU {gpus[0]}" if len(gpus) == 1 else f"all of the GPUs {', '.join(map(str, gpus))}"
