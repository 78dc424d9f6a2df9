"""The torus: a grid of GPUs that wraps around, of two or three dimensions."""

from math import isqrt, prod
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
    shape: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=2, max_length=3)] | None = None
    """GPUs along each axis, the last fastest in the order of ranks; none: two axes, as equal as the GPUs allow."""

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Link every GPU with its neighbours along each axis; ``ValueError`` unless they fill the grid."""
        shape = self.shape or _most_square(gpus)
        if prod(shape) != gpus:
            size = " x ".join(map(str, shape))
            raise ValueError(f"a torus of {size} holds {prod(shape)} GPUs, not {gpus}")
        return Wiring(Rings(shape, link), shape)


def _most_square(gpus: int) -> tuple[int, int]:
    """Cut ``gpus`` into as many rows as columns, or the next fewer; a prime number of them is one row, a ring."""
    rows = next(rows for rows in range(isqrt(gpus), 0, -1) if gpus % rows == 0)
    return rows, gpus // rows
