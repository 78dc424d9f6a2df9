"""GEMM and all-reduce on shares of the CUs: both at once, and each alone."""

import pytest

from t3sim.simulation import load_system
from t3sim.studies.cu_sharing import row_with_cus_shared, with_cus_shared
from t3sim.workload.operations import Collective, Gemm, Sublayer


@pytest.mark.parametrize("k", [512, 8192])
def test_both_at_once_take_as_long_as_the_longer_on_its_share(k):
    """Neither waits for the other, and each has its share alone: the longer one, and at most a fifth for contention."""
    gemm = Gemm(id="g", phase="forward", sublayer="s", M=2560, N=2048, K_local=k, dtype="fp16")
    names = {"phase": "forward", "sublayer": "s", "dtype": "fp16", "bytes": gemm.output_bytes}
    scatter = Collective(id="rs", op="reduce_scatter", after=("g",), **names)
    gather = Collective(id="ag", op="all_gather", after=("rs",), **names)
    sublayer = Sublayer(model="m", phase="forward", sublayer="s", tp=4, operations=(gemm, scatter, gather))
    row = row_with_cus_shared(with_cus_shared(load_system("t3-paper-published"), 16), sublayer)
    moved = row["rs_us"] + row["ag_us"]
    assert (row["gemm_us"] > moved) is (k == 8192)
    assert max(row["gemm_us"], moved) <= row["at_once_us"] < 1.2 * max(row["gemm_us"], moved)
