"""The switch: every GPU is linked to a switch, or to each of several that work side by side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from t3sim.config import Spec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.switch import SwitchSpec
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.wiring import Edge, Hop, Node, Route, Wiring
from t3sim.registry import register


@register(KIND, "switch")
class SwitchedSpec(Spec):
    """GPUs around switches; each GPU's bandwidth is divided among the planes, and pieces take turns over them."""

    kind: Literal["switch"] = "switch"
    suited: ClassVar[tuple[str, ...]] = ()
    planes: Annotated[int, Field(gt=0, le=1024)] = 1
    """Switches side by side, each linked to every GPU with its share of the bandwidth."""
    switch: SwitchSpec = Field(default_factory=SwitchSpec)
    """What each switch can do."""

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Link every GPU with every switch; a message takes half the latency to it, and half from it."""
        return Wiring(_Star(gpus, self.planes, *halves(link, self.planes), self.switch), (gpus,))


def halves(link: LinkSpec, planes: int = 1) -> tuple[LinkSpec, LinkSpec]:
    """Split a connection of two GPUs into the link to a switch and the one from it, in one of ``planes``."""
    share = link.bandwidth // planes
    down = link.latency // 2
    return (
        link.model_copy(update={"bandwidth": share, "latency": link.latency - down}),
        link.model_copy(update={"bandwidth": share, "latency": down}),
    )


@dataclass(frozen=True)
class _Star:
    gpus: int
    spread: int
    """Planes."""
    up: LinkSpec
    down: LinkSpec
    switch: SwitchSpec

    def links(self, rank: int) -> Mapping[Edge, LinkSpec]:
        names = [f"Switch[{plane}]" for plane in range(self.spread)]
        return {(rank, name): self.up for name in names} | {(name, rank): self.down for name in names}

    def switches(self) -> Mapping[str, SwitchSpec]:
        return {f"Switch[{plane}]": self.switch for plane in range(self.spread)}

    def owner(self, edge: Edge) -> int:
        (rank,) = (node for node in edge if isinstance(node, int))
        return rank

    def moved(self, node: Node, to: Callable[[int], int]) -> Node:
        return to(node) if isinstance(node, int) else node

    def route(self, source: int, destination: int, piece: int) -> Route:
        name = f"Switch[{piece % self.spread}]"
        return Hop((source, name)), Hop((name, destination))
