"""The ring and its mirror."""

import pytest

from t3sim.hardware.network.topologies import KIND
from t3sim.registry import get


@pytest.mark.parametrize("gpus", [2, 3, 8])
def test_ring_leads_to_the_next_gpu(gpus):
    """Each GPU of a ring has one link, to the next, and the last leads to the first."""
    graph = get(KIND, "ring")().graph(gpus)
    assert sorted(graph.edges) == sorted([*((g, g + 1) for g in range(gpus - 1)), (gpus - 1, 0)])


@pytest.mark.parametrize("gpus", [2, 8])
def test_mirror_feeds_itself(gpus):
    """One GPU stands for all, and its link leads back to it."""
    assert list(get(KIND, "mirror")().graph(gpus).edges) == [(0, 0)]
