"""The ring: every GPU is linked to the next and to the one before."""

from typing import ClassVar, Literal

from t3sim.config import Spec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.rings import Rings
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.wiring import Wiring
from t3sim.registry import register


@register(KIND, "ring")
class RingSpec(Spec):
    """GPUs in a circle; messages go the shorter way around, through the GPUs between."""

    kind: Literal["ring"] = "ring"
    suited: ClassVar[tuple[str, ...]] = ()

    def wire(self, link: LinkSpec, gpus: int) -> Wiring:
        """Link every GPU with both its neighbours, each way by a ``link``."""
        return Wiring(Rings((gpus,), link), (gpus,))
