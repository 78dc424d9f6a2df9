"""Comparisons with reference figures and their summary."""

import pytest

from t3sim.results.comparison import Comparison
from t3sim.validation import against, checks, summary


def compared(reference, simulated, band="small", case="", group="gpu"):
    return Comparison(
        group=group,
        band=band,
        case=case,
        quantity="time_us",
        reference=reference,
        simulated=simulated,
        source="somewhere",
    )


def test_summary_of_known_errors():
    """Errors of +10% and -10% have mean 10%, bias 0, and the geomean of both distances from 1."""
    (row,) = summary("measured", [compared(100, 110, case="over"), compared(100, 90, case="under")])
    assert row["n"] == 2
    assert row["mean_error"] == pytest.approx(0.1)
    assert row["bias"] == pytest.approx(0)
    assert row["geomean_error"] == pytest.approx((1.1 / 0.9) ** 0.5 - 1)
    assert abs(row["worst_error"]) == pytest.approx(0.1)


def test_summary_by_band():
    """With several bands there is one line for all and one for each."""
    rows = summary("measured", [compared(1, 1.2), compared(1, 1, band="large", case="exact")])
    assert [(row["band"], row["n"]) for row in rows] == [("all", 2), ("small", 1), ("large", 1)]
    assert rows[2]["mean_error"] == 0


def test_groups_are_kept_apart():
    """Figures of two GPUs never share a line."""
    rows = summary("measured", [compared(1, 2, group="a"), compared(1, 1, group="b")])
    assert [(row["group"], row["worst_error"]) for row in rows] == [("a", 1.0), ("b", 0.0)]


def test_every_check_says_what_it_is_against():
    """Choosing by what it is against finds each check once."""
    assert sum(len(checks(name)) for name in against()) == len(checks())
