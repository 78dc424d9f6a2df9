"""Cabling of rings: one, or a grid of GPUs with a ring along every row of every axis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.wiring import Edge, Hop, Node, Route


@dataclass(frozen=True)
class Rings:
    """A torus: from every GPU a link in each direction of each axis; of an axis of length 2 one, of length 1 none.

    Routes are shortest and go axis by axis, in order. Halfway around a ring pieces alternate between the directions.

    A packet takes a new virtual channel with every hop along an axis, and starts again at 0 on the next axis. So no
    packet waits for another that could wait for it, and nothing deadlocks (buffer classes by hop: I. S. Gopal,
    "Prevention of store-and-forward deadlock in computer networks", IEEE Trans. Communications 33, 1985). Two channels
    and a dateline would do, but a dateline lies at one place of a ring, and no rotation maps it to itself.
    """

    shape: tuple[int, ...]
    link: LinkSpec

    @property
    def gpus(self) -> int:
        """Size of the group."""
        return prod(self.shape)

    @property
    def spread(self) -> int:
        """Pieces alternate where both ways around are the same length."""
        return 2

    def links(self, rank: int) -> Mapping[Edge, LinkSpec]:
        """List the links out of ``rank``: axis by axis, forward and back."""
        return {
            (rank, self._step(rank, axis, step)): self.link
            for axis, length in enumerate(self.shape)
            if length > 1
            for step in (1, -1)
        }

    def switches(self) -> Mapping[str, SwitchSpec]:
        """List none: GPUs pass on what is not for them."""
        return {}

    def owner(self, edge: Edge) -> int:
        """Name the rank that a link leads from."""
        return _rank(edge[0])

    def moved(self, node: Node, to: Callable[[int], int]) -> Node:
        """Say where a GPU comes to lie."""
        return to(_rank(node))

    def route(self, source: int, destination: int, piece: int) -> Route:
        """Go the shorter way around each axis, in order."""
        hops: list[Hop] = []
        here = source
        for axis, length in enumerate(self.shape):
            weight = prod(self.shape[axis + 1 :])
            ahead = (destination // weight - source // weight) % length
            back = ahead * 2 > length or (ahead * 2 == length and length > 2 and piece % 2 == 1)  # noqa: PLR2004
            for channel in range(length - ahead if back else ahead):
                there = self._step(here, axis, -1 if back else 1)
                hops.append(Hop((here, there), channel))
                here = there
        return tuple(hops)

    def _step(self, rank: int, axis: int, step: int) -> int:
        """Name the next rank along an axis."""
        weight, length = prod(self.shape[axis + 1 :]), self.shape[axis]
        here = rank // weight % length
        return rank + ((here + step) % length - here) * weight


def _rank(node: Node) -> int:
    assert isinstance(node, int), "all nodes of a ring are GPUs"
    return node
