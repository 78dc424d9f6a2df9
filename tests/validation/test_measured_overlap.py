"""Pairs of GEMM and collective that software overlaps: one after the other they take about what was measured."""

from statistics import fmean

import pytest

from t3sim.validation.measured_overlap import completed, load_measured_overlaps
from t3sim.validation.overlap import Item, compared

MEAN_ERROR = 0.10
WORST = 0.25
QUICK_FLOP = 2e11


def errors(most_flop):
    """Relative errors of the times one after the other, up to a size of GEMM."""
    pairs = [pair for pair in completed(load_measured_overlaps()) if pair.sequential_us is not None]
    chosen = [pair for pair in pairs if 2 * pair.M * pair.N * pair.K_local <= most_flop]
    found = [one for pair in chosen for one in compared(Item(pair, {}))]
    return [one.error for one in found if one.quantity == "sequential_us"]


def check(found):
    assert fmean(map(abs, found)) < MEAN_ERROR
    assert max(map(abs, found)) < WORST


def test_small_pairs_take_what_was_measured():
    """Of those that are quick to simulate, the mean error is below 10%, and none is off by a quarter."""
    found = errors(QUICK_FLOP)
    assert len(found) == 10
    check(found)


@pytest.mark.campaign
def test_pairs_take_what_was_measured():
    """The same for all."""
    check(errors(float("inf")))
