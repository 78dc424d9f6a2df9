"""One GEMM alone: its kernel, time, share of the peak, and what binds it."""

from __future__ import annotations

import pytest

from t3sim.errors import InputError
from t3sim.experiments.gemms import GEMM_COLUMNS, gemm_study
from t3sim.simulation import load_system
from t3sim.validation.gemm import gemm_fs
from t3sim.workload.gemm_lists import Shape
from t3sim.workload.operations import Gemm

# 80 CUs x 1024 FLOP a cycle x 1.4 GHz, the fp16 peak of t3-paper.
PEAK = 80 * 1024 * 1.4e9


@pytest.fixture(scope="module")
def system():
    """Give the default system."""
    return load_system("t3-paper")


def alone(system, *shape):
    return gemm_study(system, Shape(*shape)).alone


def test_a_large_gemm(system):
    """A square of 2048 has 256 tiles of 128 on 80 CUs; its rate is its FLOP by its time, and near the peak."""
    row = alone(system, 2048, 2048, 2048, "fp16")
    assert tuple(row) == GEMM_COLUMNS
    assert (row["M"], row["N"], row["K_local"], row["dtype"]) == (2048, 2048, 2048, "fp16")
    assert (row["tile_m"], row["tile_n"], row["split_k"], row["workgroups"], row["stages"]) == (128, 128, 1, 256, 4)
    assert row["tflops"] == pytest.approx(2 * 2048**3 / (row["time_us"] * 1e6))
    assert row["peak_share"] == pytest.approx(row["tflops"] * 1e12 / PEAK)
    # Four stages of 80 workgroups do the work of 3.2.
    assert 0.7 < row["peak_share"] < 0.8
    assert row["bound"] == "matrix units"
    # Output once; operands at least once.
    assert row["dram_write_bytes"] == 2048 * 2048 * 2
    assert row["dram_read_bytes"] >= 2 * 2048 * 2048 * 2
    assert row["written_us"] > row["time_us"]


def test_what_binds_other_shapes(system):
    """With little K the DRAM binds, in a tiny GEMM launches do."""
    assert alone(system, 8192, 8192, 64, "fp16")["bound"] == "DRAM"
    assert alone(load_system("h100-sxm"), 128, 128, 64, "fp16")["bound"] == "overheads"


def test_a_kernel_that_splits_k():
    """Where few tiles leave CUs idle, a library's kernels share K: as many workgroups as tiles x parts."""
    row = alone(load_system("mi300x"), 512, 512, 16384, "bf16")
    assert row["split_k"] > 1
    tiles = -(-512 // row["tile_m"]) * -(-512 // row["tile_n"])
    assert row["workgroups"] == tiles * row["split_k"]


def test_its_time_is_the_one_that_is_validated(system):
    """The time is that of the comparison with measured GEMMs."""
    op = Gemm(id="g", phase="p", sublayer="s", M=1024, N=512, K_local=256, dtype="fp16")
    assert alone(system, 1024, 512, 256, "fp16")["time_us"] == gemm_fs(system.spec, op) / 1e9


def test_with_a_degree_each_gpu_has_its_share_of_k(system):
    """On four GPUs a K of 1024 is 256 on each; in sequential the GEMM takes as long as alone, until it is written."""
    study = gemm_study(system, Shape(1024, 512, 1024, "fp16"), 4, ("sequential", "t3"))
    assert study.alone["K_local"] == 256
    assert study.alone == {**alone(system, 1024, 512, 256, "fp16")}
    rows = {row["scheme"]: row for row in study.schemes.rows}
    assert list(rows) == ["sequential", "t3"]
    assert rows["sequential"]["gemm_us"] == pytest.approx(study.alone["written_us"])
    assert rows["t3"]["speedup"] > 1
    assert study.document()["rows"] == list(study.schemes.rows)


@pytest.mark.parametrize(
    ("shape", "tp", "message"),
    [
        (Shape(64, 64, 100, "fp16"), 3, "3 GPUs cannot share the reduction length 100"),
        (Shape(64, 64, 100, "fp16"), 1, "a tensor-parallel group has 2 to 65536 GPUs"),
        (Shape(64, 64, 100, "fp8"), None, "gives no matrix rate for this dtype"),
    ],
)
def test_what_cannot_run(system, shape, tp, message):
    """A degree that does not divide K, or a dtype that the GPU does not have, is refused before anything runs."""
    with pytest.raises(InputError, match=message):
        gemm_study(system, shape, tp, ("sequential",))
