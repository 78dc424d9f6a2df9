"""What the runs of several seeds say together."""

from types import SimpleNamespace

import pytest

from t3sim.execution.data import DataReport
from t3sim.simulation.seeds import SeedRuns


def runs_of(times_us, errors=()):
    """Make runs of these times, each with so many wrong elements."""
    reports = [DataReport(errors=count) for count in errors] or [None] * len(times_us)
    pairs = zip(times_us, reports, strict=True)
    return SeedRuns.of(SimpleNamespace(total_fs=time * 10**9, data=report) for time, report in pairs)


@pytest.mark.parametrize(
    ("times", "low", "median", "high"),
    [([5], 5, 5, 5), ([9, 4], 4, 4, 9), ([3, 9, 1], 1, 3, 9), (range(200), 0, 99, 197)],
)
def test_the_spread_is_of_whole_runs(times, low, median, high):
    """Smallest, median and 99th percentile are times of runs: the smallest that half and 99% do not exceed."""
    found = runs_of(times)
    assert found.spread("x_us") == {"x_us_min": low, "x_us_p50": median, "x_us_p99": high}
    assert found.median.total_fs == median * 10**9


def test_wrong_data_under_any_seed_are_told():
    """The run with most errors speaks for all, also where the median has none; without data mode nobody does."""
    assert runs_of([1, 2, 3], errors=[0, 0, 7]).data.errors == 7
    assert runs_of([1, 2, 3]).data is None
