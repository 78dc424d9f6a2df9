"""The torus: a grid of GPUs that wraps around, of two or three dimensions."""

from math import prod
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from t3sim.config import Spec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.rings import Rings
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.wiring import Wiring
from t3sim.registry import register


@register(KIND, "torus")
class TorusSpec(Spec):
    """GPUs in a grid that wraps around; messages go the shortest way, axis by axis, through the GPUs between."""

    kind: Literal["torus"] = "torus"
    suited: ClassVar[tuple[str, ...]] = ("torus",)
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=2, max_length=3)]
    """GPUs along each axis; ranks are numbered with the last axis fastest."""

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Link every GPU with its neighbours along each axis; ``ValueError`` unless they fill the grid."""
        if prod(self.shape) != gpus:
            size = " x ".join(map(str, self.shape))
            raise ValueError(f"a torus of {size} holds {prod(self.shape)} GPUs, not {gpus}")
        return Wiring(Rings(self.shape, link), self.shape)
