"""Several nodes: GPUs around a switch inside each, and NICs between them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from t3sim.config import Spec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.topologies.switch import halves
from t3sim.hardware.network.wiring import Edge, Hop, Node, Route, Wiring
from t3sim.registry import register

_RAIL_HOPS = 4  # GPU, NIC, rail switch, NIC, GPU: together they take the latency of the NIC's link


@register(KIND, "multi-node")
class MultiNodeSpec(Spec):
    """Nodes of GPUs around a switch; every GPU has a NIC, and NICs at the same place of all nodes share a rail switch.

    Messages inside a node take its switch. Those to the same place of another node take the rail switch; those to
    another place go over the spine: from their rail switch to the spine switch of their node, and to the other rail.
    """

    kind: Literal["multi-node"] = "multi-node"
    suited: ClassVar[tuple[str, ...]] = ("hierarchical", "two-level")
    nodes: Annotated[int, Field(gt=0)]
    """Nodes; each has an equal share of the GPUs, numbered node by node."""
    nic: LinkSpec
    """A GPU's connection to one of its rail; over the spine it takes half as much latency again."""
    oversubscription: Annotated[float, Field(ge=1, le=1000)] = 1.0
    """A NIC's bandwidth over its share of the spine: each has a link of its own from its rail switch to the spine."""
    switch: SwitchSpec = Field(default_factory=SwitchSpec)
    """What the switch inside each node can do."""

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Wire each node's GPUs to its switch by ``link``; ``ValueError`` when nodes cannot be equal."""
        if gpus % self.nodes:
            raise ValueError(f"{gpus} GPUs cannot be divided equally among {self.nodes} nodes")
        up, down = halves(link)
        nic = self.nic.model_copy(update={"latency": -(-self.nic.latency // _RAIL_HOPS)})
        spine = nic.model_copy(update={"bandwidth": max(2, int(nic.bandwidth / self.oversubscription))})
        shape = (self.nodes, gpus // self.nodes)
        return Wiring(_Nodes(shape, up, down, nic, spine, self.switch), shape)


@dataclass(frozen=True)
class _Nodes:
    shape: tuple[int, int]
    """Nodes, and GPUs of each."""
    up: LinkSpec
    down: LinkSpec
    nic: LinkSpec
    spine: LinkSpec
    switch: SwitchSpec
    spread = 1

    @property
    def gpus(self) -> int:
        return self.shape[0] * self.shape[1]

    def links(self, rank: int) -> Mapping[Edge, LinkSpec]:
        switch, nic, rail, spine = self._around(rank)
        return {
            (rank, switch): self.up,
            (switch, rank): self.down,
            (rank, nic): self.nic,
            (nic, rail): self.nic,
            (rail, nic): self.nic,
            (nic, rank): self.nic,
            (rail, spine): self.spine,
            (spine, rail): self.spine,
        }

    def switches(self) -> Mapping[str, SwitchSpec]:
        nodes, each = map(range, self.shape)
        inside = {f"Switch[{node}]": self.switch for node in nodes}
        names = [f"Nic[{rank}]" for rank in range(self.gpus)]
        names += [*(f"Rail[{place}]" for place in each), *(f"Spine[{node}]" for node in nodes)]
        return inside | {name: SwitchSpec() for name in names}

    def owner(self, edge: Edge) -> int:
        """Name the rank of the GPU or NIC; between rail and spine, that of the spine's node and the rail's place."""
        numbers = dict(map(_parsed, edge))
        for family in ("Gpu", "Nic"):
            if family in numbers:
                return numbers[family]
        return numbers["Spine"] * self.shape[1] + numbers["Rail"]

    def moved(self, node: Node, to: Callable[[int], int]) -> Node:
        """Move a switch along with the first GPU that it belongs to."""
        family, number = _parsed(node)
        if family == "Gpu":
            return to(number)
        switch, nic, rail, spine = self._around(to(number * self.shape[1] if family in {"Switch", "Spine"} else number))
        return {"Switch": switch, "Nic": nic, "Rail": rail, "Spine": spine}[family]

    def route(self, source: int, destination: int, piece: int) -> Route:
        del piece
        switch, nic, rail, spine = self._around(source)
        other_switch, other_nic, other_rail, _ = self._around(destination)
        nodes: list[Node] = [source, switch, destination]
        if switch != other_switch:
            across = [rail] if rail == other_rail else [rail, spine, other_rail]
            nodes = [source, nic, *across, other_nic, destination]
        return tuple(Hop(edge) for edge in pairwise(nodes))

    def _around(self, rank: int) -> tuple[str, str, str, str]:
        """Name what a GPU is wired to: the node's switch, its NIC, the rail's switch, the node's spine switch."""
        node, place = divmod(rank, self.shape[1])
        return f"Switch[{node}]", f"Nic[{rank}]", f"Rail[{place}]", f"Spine[{node}]"


def _parsed(node: Node) -> tuple[str, int]:
    if isinstance(node, int):
        return "Gpu", node
    family, number = node.removesuffix("]").split("[")
    return family, int(number)
