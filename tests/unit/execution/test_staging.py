"""Kernels whose stage holds less than a chunk copy the rest while it comes; what they sum is all of the chunk."""

import pytest

from t3sim.execution.data import DataMode
from t3sim.registry import get
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation.lab import SystemLab


@pytest.mark.parametrize("staged", ["false", "true"])
@pytest.mark.parametrize("operation", ["reduce_scatter", "all_reduce"])
def test_a_stage_cuts_no_sum(operation, staged, tiny_system, collective_op, sublayer_of, lowered):
    """With a stage of one of four slices, a direct reduction still adds up every element, and reads as much for it."""
    given = f"algorithm: direct, base_latency: 0 us, step_latency: 0 us, payload_share: 1.0, staged: {staged}"

    def run(staging):
        system = tiny_system(
            "topology={kind: fully-connected}",
            f"algorithms={{{operation}: direct}}",
            f"protocols={{p: {{{given}{staging}}}}}",
        )
        lab = SystemLab(system, 4, "all", data=DataMode())
        works = lowered(system, sublayer_of(4, collective_op("c", operation, 16 << 10)))
        return get(SCHEME, "sequential")().simulate(lab, works)

    whole, cut = run(""), run(", staging: 1 KiB")
    assert cut.data.errors == 0
    sums = "reduce_scatter"
    assert {cause: nbytes for cause, nbytes in cut.served_bytes.items() if cause.operation == sums} == {
        cause: nbytes for cause, nbytes in whole.served_bytes.items() if cause.operation == sums
    }
