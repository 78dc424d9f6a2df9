"""Bandwidths of collectives: nccl-tests' factors, and sums over the collectives of a sublayer."""

import pytest

from t3sim.collectives.plan import Operation
from t3sim.simulation.bandwidth import bandwidths, bus_factor


@pytest.mark.parametrize(
    ("operation", "factors"),
    [
        ("all_reduce", (0, 1, 1.75)),
        ("reduce_scatter", (0, 0.5, 0.875)),
        ("all_gather", (0, 0.5, 0.875)),
        ("all_to_all", (0, 0.5, 0.875)),
        ("broadcast", (1, 1, 1)),
        ("send", (1, 1, 1)),
    ],
)
def test_factors_of_nccl_tests(operation, factors):
    """Bus over algorithm bandwidth is what doc/PERFORMANCE.md of nccl-tests says, here for 1, 2 and 8 GPUs."""
    assert tuple(float(bus_factor(operation, gpus)) for gpus in (1, 2, 8)) == factors


def test_every_operation_has_a_factor():
    """None that a trace may hold is forgotten."""
    assert all(bus_factor(operation.value, 4) > 0 for operation in Operation)


def test_an_all_reduce_and_its_halves_agree(collective_op):
    """A reduce-scatter and an all-gather in the time of an all-reduce have its bus bandwidth, and twice its bytes."""
    whole = bandwidths([collective_op("r", "all_reduce", 8000)], 4, 10**9)
    halves = [collective_op("s", "reduce_scatter", 8000), collective_op("g", "all_gather", 8000, "s")]
    parts = bandwidths(halves, 4, 10**9)
    assert whole == {"algbw_gbps": 8.0, "busbw_gbps": 12.0}
    assert parts == {"algbw_gbps": 16.0, "busbw_gbps": 12.0}


def test_no_time_and_no_collective_have_no_bandwidth(collective_op, gemm_op):
    """What takes no time, or is no collective, has none."""
    none = {"algbw_gbps": None, "busbw_gbps": None}
    assert bandwidths([collective_op("r", "all_reduce", 8000)], 1, 0) == none
    assert bandwidths([gemm_op("g", (64, 64, 64))], 4, 10**9) == none
