"""Tuning: what a search tries, which it takes, and what a row says of it."""

from dataclasses import replace
from typing import ClassVar

import pytest

from t3sim.errors import SimulationError
from t3sim.schemes.scheme import Scheme
from t3sim.simulation import Point, simulate_point
from t3sim.simulation.tuning import tuned

ROWS_AND_CUS = {(4, 16): 90, (2, 8): 80, (2, 16): 70, (8, 8): 70, (8, 16): 95}


class Tried(Scheme):
    """A scheme with two numbers to choose."""

    tunes: ClassVar = {"overlap_pieces": (2, 8), "overlap_cus": (8, 16)}

    def simulate(self, lab, works):
        """Do nothing: the search is given times."""


def search(system, times):
    """Search with given times by (pieces, CUs); one that is missing fails. Return what was found, and was tried."""
    tried = []

    def time_fs(changed):
        tried.append((changed.software.overlap_pieces, changed.software.overlap_cus))
        if tried[-1] not in times:
            raise SimulationError("does not run")
        return times[tried[-1]]

    return tuned(system, Tried(), time_fs), tried


def test_the_first_of_the_fastest_is_taken(tiny_system):
    """What the system says is tried first, then all combinations; of 70 and 70 the earlier counts."""
    found, tried = search(tiny_system(), ROWS_AND_CUS)
    assert tried == [(4, 16), (2, 8), (2, 16), (8, 8), (8, 16)]
    assert found.setting == {"overlap_pieces": 2, "overlap_cus": 16}
    assert (found.system.software.overlap_pieces, found.own_fs) == (2, 90)


def test_what_the_system_says_is_kept_where_nothing_is_faster(tiny_system):
    """Equal times change nothing; a combination that is the system's own is tried once."""
    system = tiny_system("software.overlap_pieces=2", "software.overlap_cus=8")
    found, tried = search(system, dict.fromkeys(ROWS_AND_CUS, 50))
    assert tried == [(2, 8), (2, 16), (8, 8), (8, 16)]
    assert (found.setting, found.own_fs, found.system) == ({"overlap_pieces": 2, "overlap_cus": 8}, 50, system)


def test_what_fails_is_passed_over(tiny_system):
    """Without a time of its own there is nothing beside the best; where all fail, the system stays as it is."""
    found, _ = search(tiny_system(), {(8, 8): 60})
    assert (found.setting, found.own_fs) == ({"overlap_pieces": 8, "overlap_cus": 8}, None)
    system = tiny_system()
    found, _ = search(system, {})
    assert (found.system, found.setting, found.own_fs) == (system, {"overlap_pieces": 4, "overlap_cus": 16}, None)


@pytest.fixture
def point(tiny_loaded, pair):
    """Give a point on which one piece is best: each piece costs a launch of 1 ms."""
    system = tiny_loaded("compute.launch_overhead=1 ms", "software.overlap_cus=1")
    return Point(system=system, sublayer=pair(4, (256, 64, 40)))


def test_a_tuned_row_says_what_it_took(point):
    """Time of the best, its settings, and the time without; what has nothing to tune has none of these."""
    plain, alone = simulate_point(point, ["stream-overlap", "sequential"])
    best, untouched = simulate_point(replace(point, tune=True), ["stream-overlap", "sequential"])
    assert best["tuned"].startswith("overlap_pieces=1 ")
    assert best["untuned_us"] == plain["total_us"] > best["total_us"] == alone["total_us"]
    assert (plain["tuned"], plain["untuned_us"], untouched["tuned"]) == (None, None, None)
    assert best["point_id"] != plain["point_id"]
