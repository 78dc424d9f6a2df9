"""DRAM traffic over time."""

import pytest

from t3sim.errors import SimulationError
from t3sim.simulation import Point
from t3sim.studies.traffic import record_traffic


@pytest.fixture
def point(tiny_loaded, pair):
    """Give a small sublayer on four GPUs."""
    return Point(system=tiny_loaded(), sublayer=pair(4, (96, 96, 64)))


def test_traffic_overlaps_only_where_the_scheme_does(point):
    """In sequential no bin but those of a change of kernels has both GEMM and reduce-scatter; in t3 many do."""
    found = record_traffic(point, ["sequential", "t3"])
    both = {}
    for scheme, counter in found.items():
        gemm, scatter = (counter.series.index(name) for name in ("gemm read", "rs write"))
        both[scheme] = sum(1 for values in counter.values if values[gemm] and values[scatter])
    assert list(found) == ["sequential", "t3"]
    assert both["sequential"] <= 1 < both["t3"]


def test_an_ideal_has_no_traffic_over_time(point):
    """An ideal is put together from several runs: there is no time line of it to draw."""
    with pytest.raises(SimulationError, match="ideal-overlap"):
        record_traffic(point, ["ideal-overlap"])
