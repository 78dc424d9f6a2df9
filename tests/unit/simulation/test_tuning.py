"""Tuning: what a search tries, which it takes, and what a row says of it."""

from dataclasses import replace
from typing import ClassVar

import pytest

from t3sim.errors import SimulationError
from t3sim.schemes.scheme import Scheme
from t3sim.schemes.stream_overlap import StreamOverlap
from t3sim.simulation import Point, part_store, simulate_point
from t3sim.simulation.part_store import FOLDER, OFF, REMEMBERED
from t3sim.simulation.tuning import tuned, tuned_once

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


TUNED = ("stream-overlap", "dma-overlap")


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """Let what is found be kept in a folder of this test's."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    REMEMBERED.forget()
    yield tmp_path / "cache"
    REMEMBERED.forget()


@pytest.fixture
def rows_and_runs(monkeypatch):
    """Give a function that tunes a point as a process of its own does: its rows, and how often each scheme ran."""
    run = StreamOverlap.simulate

    def measured(point):
        REMEMBERED.forget()
        ran = dict.fromkeys(TUNED, 0)

        def counted(scheme, lab, works):
            ran[scheme.name] += 1
            return run(scheme, lab, works)

        monkeypatch.setattr(StreamOverlap, "simulate", counted)
        rows = simulate_point(replace(point, tune=True), TUNED)
        return [{**row, "wall_s": 0} for row in rows], tuple(ran.values())

    return measured


@pytest.mark.usefixtures("cached")
def test_what_a_search_has_found_is_not_searched_for_again(point, rows_and_runs):
    """First the system's own and 32 settings are run, and the best for the row; then that alone: equal rows."""
    first, ran = rows_and_runs(point)
    assert ran == (34, 34)
    again, ran = rows_and_runs(point)
    assert ran == (1, 1)
    assert again == first
    assert all(row["tuned"] and row["untuned_us"] for row in again)


def test_what_says_something_else_is_searched_for_again(point, rows_and_runs, cached):
    """Damaged, or a setting that no search tries: what is found is what was."""
    first, _ = rows_and_runs(point)
    texts = {path: path.read_text() for path in cached.rglob("*") if path.is_file()}
    kept = {path: text for path, text in texts.items() if "overlap_pieces" in text}
    assert len(kept) == 2
    for path in kept:
        path.write_text("damaged")
    assert rows_and_runs(point) == (first, (34, 34))
    assert {path: path.read_text() for path in kept} == kept
    disk = REMEMBERED.disk
    for path in kept:
        for text in (
            "",
            "[]",
            '[{"overlap_pieces": 3, "overlap_cus": 8, "cu_sharing": "fixed"}, 5]',
            '[{"overlap_pieces": 1}, 5]',
        ):
            disk.put(path.name, text)
            assert rows_and_runs(point)[1] in {(34, 1), (1, 34)}


@pytest.mark.usefixtures("cached")
def test_every_thing_that_may_change_the_best_is_searched_for(point, rows_and_runs, pair):
    """Another shape, number of the system, number of GPUs, or way to simulate them."""
    rows_and_runs(point)
    system = point.system
    changed = system.spec.model_copy(update={"link": system.spec.link.model_copy(update={"latency": 1})})
    others = (
        replace(point, sublayer=pair(4, (256, 64, 48))),
        replace(point, sublayer=pair(2, (256, 64, 40))),
        replace(point, system=replace(system, spec=changed)),
        replace(point, gpus="all"),
    )
    for other in others:
        assert rows_and_runs(other)[1] == (34, 34)
        assert rows_and_runs(other)[1] == (1, 1)
    assert rows_and_runs(point)[1] == (1, 1)


@pytest.mark.usefixtures("cached")
def test_another_version_searches_again(point, rows_and_runs, monkeypatch):
    """What other sources of t3sim have found is left alone."""
    rows_and_runs(point)
    monkeypatch.setattr(part_store, "code_version", lambda: "another")
    part_store._version.cache_clear()
    assert rows_and_runs(point)[1] == (34, 34)
    part_store._version.cache_clear()


def test_without_a_cache_every_run_searches(point, rows_and_runs, cached, monkeypatch):
    """Nothing is taken, and nothing kept."""
    monkeypatch.setenv(FOLDER, OFF)
    for _ in range(2):
        assert rows_and_runs(point)[1] == (34, 34)
    assert not cached.exists()


@pytest.mark.usefixtures("cached")
def test_of_a_scheme_that_is_not_t3sim_s_own_nothing_is_kept(tiny_system, point):
    """What its code does may change from one process to the next."""
    tried = []

    def time_fs(system):
        tried.append(system)
        return 5

    for _ in range(2):
        assert tuned_once(tiny_system(), Tried(), time_fs, point.sublayer, "mirror").own_fs == 5
    assert len(tried) == 10
