"""The wiring of a group of GPUs: which links there are, which way a message takes, and which links are alike.

A topology says it as *cabling*, rank by rank: every link belongs to one rank, and the cabling of all ranks is the same
but for a rotation of the ranks, which it also knows to apply to switches. So one rank's links stand for all, and a
mirrored machine of a thousand GPUs never builds the other 999.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from t3sim import lazy
from t3sim.collectives.grid import generators, rotated, turn
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec

if TYPE_CHECKING:
    import networkx as nx
else:
    nx = lazy.module("networkx")

Node = int | str
"""A GPU, by its rank, or a switch or NIC, by its name."""
Edge = tuple[Node, Node]

_COMPARED = 16  # ranks that are looked at before a group counts as symmetric


class Hop(NamedTuple):
    """One link of a route."""

    edge: Edge
    channel: int = 0
    """Virtual channel: whose receive buffer it uses."""


Route = tuple[Hop, ...]


class Cabling(Protocol):
    """What a topology knows of a group of GPUs."""

    @property
    def gpus(self) -> int:
        """Size of the group."""

    @property
    def spread(self) -> int:
        """After how many pieces of a message the routes repeat."""

    def links(self, rank: int) -> Mapping[Edge, LinkSpec]:
        """List the links that belong to ``rank``: of every kind one, in the same order for every rank."""

    def switches(self) -> Mapping[str, SwitchSpec]:
        """List all nodes that are not GPUs."""

    def owner(self, edge: Edge) -> int:
        """Name the rank that a link belongs to."""

    def moved(self, node: Node, to: Callable[[int], int]) -> Node:
        """Say where ``node`` comes to lie when every rank ``r`` becomes rank ``to(r)``."""

    def route(self, source: int, destination: int, piece: int) -> Route:
        """Give the way from one rank to another for the ``piece``-th piece; empty where there is none."""


def link_name(edge: Edge) -> str:
    """Name a link as reports and conditions do."""
    return f"Link[{edge[0]}->{edge[1]}]"


@dataclass(frozen=True)
class Wiring:
    """The links of a group of GPUs and the routes over them."""

    cabling: Cabling
    shape: tuple[int, ...]
    """Grid of the ranks, row-major, over which they can be rotated."""

    def __post_init__(self) -> None:
        if prod(self.shape) != self.cabling.gpus:
            raise ValueError(f"a grid of {' x '.join(map(str, self.shape))} ranks is not one of {self.cabling.gpus}")

    @property
    def gpus(self) -> int:
        """Number of GPUs."""
        return self.cabling.gpus

    def over(self, shape: tuple[int, ...]) -> "Wiring":
        """Give the same wiring with its ranks on another grid, whose rotations it may or may not allow."""
        return self if shape == self.shape else replace(self, shape=shape)  # what is worked out is kept

    @cached_property
    def graph(self) -> "nx.DiGraph[Node]":
        """All nodes and links: an edge has its ``LinkSpec`` as ``link``, a switch its ``SwitchSpec`` as ``switch``."""
        graph: nx.DiGraph[Node] = nx.DiGraph()
        graph.add_nodes_from(range(self.gpus))
        for name, switch in self.cabling.switches().items():
            graph.add_node(name, switch=switch)
        for rank in range(self.gpus):
            for (start, end), link in self.cabling.links(rank).items():
                graph.add_edge(start, end, link=link)
        return graph

    @cached_property
    def kinds(self) -> dict[Edge, int]:
        """Number rank 0's links: each stands for those that it becomes as the ranks are rotated."""
        return {edge: number for number, edge in enumerate(self.cabling.links(0))}

    def representative(self, edge: Edge) -> Edge:
        """Give rank 0's link that becomes ``edge`` as the ranks are rotated."""
        return self.moved_edge(edge, turn(self.cabling.owner(edge), 0, self.shape))

    def moved_edge(self, edge: Edge, by: int) -> Edge:
        """Give the link that ``edge`` becomes as all ranks move on by ``by``."""
        to = partial(rotated, by=by, shape=self.shape)
        return self.cabling.moved(edge[0], to), self.cabling.moved(edge[1], to)

    def route(self, source: int, destination: int, piece: int) -> Route:
        """Give the way from ``source`` to ``destination`` for the ``piece``-th piece; empty where there is none."""
        return self.cabling.route(source, destination, piece % self.cabling.spread)

    def bytes_per_s(self, source: int, destination: int) -> int:
        """Rate at which ``source`` can send to ``destination``: of its links that the pieces of a message take."""
        ways = {self.route(source, destination, piece)[0].edge for piece in range(self.cabling.spread)}
        links = self.cabling.links(source)
        return sum(links[edge].bytes_per_s for edge in ways)

    def out_bytes_per_s(self, source: int) -> int:
        """Rate at which ``source`` can send to all others together: of all links that leave it."""
        return sum(link.bytes_per_s for (start, _), link in self.cabling.links(source).items() if start == source)

    @cached_property
    def direct(self) -> bool:
        """Whether every GPU reaches every other without passing a third.

        Told from rank 0's routes: links look the same from every rank but for a rotation.
        """
        routes = (self.route(0, rank, piece) for rank in range(1, self.gpus) for piece in range(self.cabling.spread))
        return all(not isinstance(hop.edge[0], int) for route in routes for hop in route[1:])

    @cached_property
    def switches(self) -> dict[str, SwitchSpec]:
        """List all nodes that are not GPUs."""
        return dict(self.cabling.switches())

    @cached_property
    def rotations(self) -> bool:
        """Whether links and routes stay the same as every rank moves on by one along any axis of ``shape``.

        Of up to 16 GPUs all ranks, links and routes are compared, so it is proven; of more, rank 0 and its routes to
        16 others, which tells a grid that the cabling does not have. That the cabling of any number of ranks is the
        same from each is for the tests of every topology.
        """
        return all(self._looks_alike(by) for by in generators(self.shape))

    def _looks_alike(self, by: int) -> bool:
        sample = range(0, self.gpus, -(-self.gpus // _COMPARED))
        ranks = sample if self.gpus <= _COMPARED else (0,)
        return all(
            self._moved_links(rank, by) == self.cabling.links(rotated(rank, by, self.shape))
            and all(self._routes_agree(rank, destination, by) for destination in sample)
            for rank in ranks
        )

    def _moved_links(self, rank: int, by: int) -> dict[Edge, LinkSpec]:
        return {self.moved_edge(edge, by): link for edge, link in self.cabling.links(rank).items()}

    def _routes_agree(self, source: int, destination: int, by: int) -> bool:
        """Whether the routes between two ranks become those between the ranks that are further on ``by``."""
        ends = rotated(source, by, self.shape), rotated(destination, by, self.shape)
        return all(
            tuple(Hop(self.moved_edge(hop.edge, by), hop.channel) for hop in self.route(source, destination, piece))
            == self.route(*ends, piece)
            for piece in range(self.cabling.spread)
        )
