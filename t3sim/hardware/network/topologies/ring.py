"""The ring: every GPU sends to the next."""

import networkx as nx

from t3sim.hardware.network.topologies import KIND
from t3sim.registry import register


@register(KIND, "ring")
class Ring:
    """N full GPUs in a directed ring; the other direction of each link is unused."""

    def graph(self, gpus: int) -> "nx.DiGraph[int]":
        """Cycle over all GPUs."""
        ring: nx.DiGraph[int] = nx.cycle_graph(gpus, create_using=nx.DiGraph)
        return ring
