"""Fully connected: a link from every GPU to every other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from t3sim.config import Spec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.wiring import Edge, Hop, Node, Route, Wiring
from t3sim.registry import register


@register(KIND, "fully-connected")
class FullyConnectedSpec(Spec):
    """A link of its own between each two GPUs, with the given bandwidth."""

    kind: Literal["fully-connected"] = "fully-connected"
    suited: ClassVar[tuple[str, ...]] = ("direct",)

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Link every GPU with every other, each way by a ``link``."""
        return Wiring(_Pairs(gpus, link), (gpus,))


@dataclass(frozen=True)
class _Pairs:
    gpus: int
    link: LinkSpec
    spread = 1

    def links(self, rank: int) -> Mapping[Edge, LinkSpec]:
        return {(rank, (rank + offset) % self.gpus): self.link for offset in range(1, self.gpus)}

    def switches(self) -> Mapping[str, SwitchSpec]:
        return {}

    def owner(self, edge: Edge) -> int:
        return int(edge[0])

    def moved(self, node: Node, to: Callable[[int], int]) -> Node:
        return to(int(node))

    def route(self, source: int, destination: int, piece: int) -> Route:
        del piece
        return (Hop((source, destination)),) if source != destination else ()
