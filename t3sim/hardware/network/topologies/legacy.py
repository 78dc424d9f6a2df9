"""The ring and its mirror as plain graphs."""

import networkx as nx


class Mirror:
    """One GPU that stands for all of a ring: what it sends is what its predecessor would send to it."""

    def graph(self, gpus: int) -> "nx.DiGraph[int]":
        """One node with a self-loop, whatever the number of GPUs it stands for."""
        del gpus
        return nx.DiGraph([(0, 0)])


class Ring:
    """N full GPUs in a directed ring; the other direction of each link is unused."""

    def graph(self, gpus: int) -> "nx.DiGraph[int]":
        """Cycle over all GPUs."""
        ring: nx.DiGraph[int] = nx.cycle_graph(gpus, create_using=nx.DiGraph)
        return ring
