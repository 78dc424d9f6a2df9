"""What every topology must keep; a new one is tested here without editing this file."""

import networkx as nx
import pytest

from t3sim.hardware.network.topologies import KIND
from t3sim.registry import get, names


@pytest.fixture(params=names(KIND))
def topology(request):
    """Give each registered topology."""
    return get(KIND, request.param)()


@pytest.mark.parametrize("gpus", range(2, 10))
def test_every_gpu_has_a_way_out_and_a_way_in(topology, gpus):
    """Each GPU has exactly one link out and one in, which is what a machine can wire."""
    graph = topology.graph(gpus)
    assert all(degree == 1 for _, degree in graph.in_degree)
    assert all(degree == 1 for _, degree in graph.out_degree)


@pytest.mark.parametrize("gpus", range(2, 10))
def test_data_reach_every_gpu(topology, gpus):
    """The links lead from every GPU to every other."""
    graph = topology.graph(gpus)
    assert graph.is_directed()
    assert nx.is_strongly_connected(graph)


@pytest.mark.parametrize("gpus", range(2, 10))
def test_gpus_are_numbered_from_zero(topology, gpus):
    """GPUs are 0 to n - 1: all of the group, or one that stands for it."""
    nodes = sorted(topology.graph(gpus).nodes)
    assert nodes in ([0], list(range(gpus)))


def test_same_graph_each_time(topology):
    """Asked twice, a topology gives the same links."""
    assert sorted(topology.graph(8).edges) == sorted(topology.graph(8).edges)
