"""The figures that papers report, from rows with round numbers."""

import pytest

from t3sim.study import load_published
from t3sim.study.metrics import METRICS

ROWS = {
    "sequential": {
        "speedup": 1.0,
        "rs_us": 90.0,
        "dram_reduction": 0.0,
        "dram_gemm_read_bytes": 300,
        "dram_gemm_write_bytes": 800,
        "dram_rs_read_bytes": 1500,
        "dram_rs_write_bytes": 800,
    },
    "t3-mca": {
        "speedup": 1.2,
        "rs_us": 70.0,
        "dram_reduction": 0.25,
        "dram_gemm_read_bytes": 200,
        "dram_gemm_write_bytes": 700,
        "dram_rs_read_bytes": 600,
        "dram_rs_write_bytes": 500,
    },
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
    ],
)
def test_metric(metric, value):
    """Each metric is the ratio or difference that its name says, of the columns that hold it."""
    assert METRICS[metric](ROWS, "t3-mca") == pytest.approx(value)


def test_every_metric_is_tested():
    """No metric is without a line in the table above."""
    cases = next(mark for mark in test_metric.pytestmark if mark.name == "parametrize").args[1]
    assert {name for name, _ in cases} == set(METRICS)


def test_published_figures_name_metrics_that_exist():
    """Each published figure with a metric names a function; those without are of what is not modelled."""
    targets = load_published().spec.targets
    assert {target.metric for target in targets if target.metric is not None} <= set(METRICS)
    assert len({target.id for target in targets}) == len(targets)
