"""GEMMs alone against measured times: mean error and bias by GPU and band of M, within bounds fixed beforehand."""

from collections import defaultdict
from statistics import fmean

import pytest
import yaml

from t3sim.simulation import load_system
from t3sim.validation.gemm import compare_gemms
from t3sim.validation.measured_gemms import load_measured_gemms

MEAN_ERROR = 0.10
BIAS = 0.10
LEAST_ROWS = 512
QUICK_FLOP = 1e12


@pytest.fixture(scope="module")
def errors_of():
    """Give a function that simulates the figures up to a size: errors by GPU, and by GPU and band."""

    def run(most_flop):
        measured = [item for item in load_measured_gemms().spec.gemms() if item.op.M >= LEAST_ROWS]
        measured = [item for item in measured if item.op.flop <= most_flop]
        systems = {name: load_system(name).spec for name in {item.system for item in measured}}
        by_gpu, by_band = defaultdict(list), defaultdict(list)
        for item in compare_gemms(measured, systems):
            by_gpu[item.group].append(item.error)
            by_band[item.group, item.band].append(item.error)
        return by_gpu, by_band

    return run


def check(by_gpu, by_band):
    assert set(by_gpu) == {"a100-80g", "h100-sxm", "mi210"}
    for gpu, errors in by_gpu.items():
        assert fmean(map(abs, errors)) < MEAN_ERROR, gpu
    for place, errors in by_band.items():
        assert abs(fmean(errors)) < BIAS, place


def test_small_gemms_take_what_was_measured(errors_of):
    """Of the figures that are quick to simulate, no GPU is off by 10% in the mean and no band has a bias of 10%."""
    check(*errors_of(QUICK_FLOP))


@pytest.mark.campaign
def test_gemms_take_what_was_measured(errors_of):
    """The same for all figures of at least 512 rows."""
    check(*errors_of(float("inf")))


def test_the_table_is_whole():
    """All figures are there: 63 of the A100 from two sources, 46 of the H100, 9 of the MI210."""
    counts = defaultdict(int)
    for item in load_measured_gemms().spec.gemms():
        counts[item.system] += 1
    assert counts == {"a100-80g": 63, "h100-sxm": 46, "mi210": 9}


def fitted(node, path=()):
    """Yield the keys of all calibrated numbers of a system file."""
    if not isinstance(node, dict):
        return
    if node.get("class") == "calibrated":
        yield path
    for key, below in node.items():
        yield from fitted(below, (*path, key))


@pytest.mark.parametrize(
    ("name", "collectives"),
    [
        ("a100-80g", {("link", "efficiency"), ("protocols", "simple", "extra_latency")}),
        # One latency in three protocols.
        (
            "h100-sxm",
            {
                ("link", "efficiency"),
                *(("protocols", protocol, "base_latency") for protocol in ("ll", "ll128", "simple")),
            },
        ),
        ("mi210", set()),
    ],
)
def test_two_numbers_of_gemms_are_fitted(name, collectives):
    """Two numbers of each measured GPU are fitted to GEMMs, at most two to collectives, and others to other kernels."""
    data = yaml.safe_load(load_system(name).path.read_text(encoding="utf-8"))
    data.pop("other_kernels", None)
    assert set(fitted(data)) == {("compute", "sustained_fraction"), ("compute", "stage_overhead"), *collectives}
