"""The figures that papers report, from rows with round numbers."""

import pytest

from t3sim.studies import load_published
from t3sim.studies.metrics import METRICS

ROWS = {
    "sequential": {
        "speedup": 1.0,
        "gemm_us": 100.0,
        "rs_us": 90.0,
        "ag_us": 30.0,
        "dram_reduction": 0.0,
        "dram_gemm_read_bytes": 300,
        "dram_gemm_write_bytes": 800,
        "dram_rs_read_bytes": 1500,
        "dram_rs_write_bytes": 800,
    },
    "t3-mca": {
        "speedup": 1.2,
        "communication_share": 0.3,
        "rs_us": 70.0,
        "dram_reduction": 0.25,
        "dram_gemm_read_bytes": 200,
        "dram_gemm_write_bytes": 700,
        "dram_rs_read_bytes": 600,
        "dram_rs_write_bytes": 500,
    },
    "CUs shared": {"gemm_us": 125.0, "rs_us": 120.0, "ag_us": 60.0, "at_once_us": 200.0},
    "ideal-overlap": {"speedup": 1.5, "rs_us": 60.0},
    "ideal-overlap-nmc": {"speedup": 1.6, "rs_us": 40.0},
}


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("speedup", 1.2),
        ("rs_speedup_from_nmc", 60 / 40),
        ("ratio_to_ideal_overlap", 1.2 / 1.5),
        ("dram_reduction", 0.25),
        ("rs_reads_ratio", 1500 / 600),
        ("writes_reduction", 1 - 1200 / 1600),
        ("gemm_reads_ratio", 300 / 200),
        ("all_reduce_overlap", (100 + 90 + 30) / 200),
        ("all_reduce_slowdown", (120 + 60) / (90 + 30)),
        ("gemm_slowdown", 125 / 100),
        ("communication_share", 0.3),
    ],
)
def test_metric(metric, value):
    """Each metric is the ratio or difference that its name says, of the columns that hold it."""
    assert METRICS[metric](ROWS, "t3-mca") == pytest.approx(value)


def test_overlap_without_shared_cus_is_ideal():
    """With nothing shared, GEMM and all-reduce overlap in full at their own speeds."""
    rows = {"sequential": ROWS["sequential"]}
    assert METRICS["all_reduce_overlap"](rows, "") == pytest.approx((100 + 120) / 120)


def test_every_metric_is_tested():
    """No metric is without a line in the table above."""
    cases = next(mark for mark in test_metric.pytestmark if mark.name == "parametrize").args[1]
    assert {name for name, _ in cases} == set(METRICS)


def test_published_figures_name_metrics_that_exist():
    """Each published figure with a metric names a function; those without are of what is not modelled."""
    targets = load_published().spec.targets
    assert {target.metric for target in targets if target.metric is not None} <= set(METRICS)
    assert len({target.id for target in targets}) == len(targets)
