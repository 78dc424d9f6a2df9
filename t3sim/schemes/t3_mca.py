"""T3 with a memory controller that knows communication from computation."""

from t3sim.registry import register
from t3sim.schemes.scheme import KIND
from t3sim.schemes.t3 import T3


@register(KIND, "t3-mca")
class T3Mca(T3):
    """T3 with communication-aware memory-controller arbitration (MCA)."""

    label = "T3-MCA"
    order = 2
    name = "t3-mca"
