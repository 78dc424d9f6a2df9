"""The mirror: one GPU of a symmetric ring, whose link feeds itself."""

import networkx as nx

from t3sim.hardware.network.topologies import KIND
from t3sim.registry import register


@register(KIND, "mirror")
class Mirror:
    """One GPU that stands for all of a ring: what it sends is what its predecessor would send to it."""

    def graph(self, gpus: int) -> "nx.DiGraph[int]":
        """One node with a self-loop, whatever the number of GPUs it stands for."""
        del gpus
        return nx.DiGraph([(0, 0)])
