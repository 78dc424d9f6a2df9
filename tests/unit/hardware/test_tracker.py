"""The tracker: the trigger fires at the last update, and where a set is full, counts wait in order."""

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from t3sim.errors import SimulationError
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.trigger_state import COUNT
from t3sim.hardware.probe import Probe
from t3sim.hardware.t3.tracker import Tracker, TrackerSpec


class _Rig(Probe):
    """A tracker for an operation's tiles, which are counted or not, and the log of those that fired."""

    def __init__(self, tracked_tiles, entries, ways, counted):
        env = simpy.Environment(0)
        self.plane = plane_of(env)
        self.unit = Tracker(env, TrackerSpec(entries=entries, ways=ways), 3)
        self.unit.probe = self
        self.plane.observe()
        self.first = tracked_tiles(self.plane, self.unit, counted)
        self.fired = []

    def count(self, workgroup, updates=1, expected=2):
        """Count updates to a tile."""
        row = self.first + workgroup
        self.plane.rows("stations")["expected"][self.plane.rows("tiles")["station"][row]] = expected
        self.plane.perform(COUNT, row, updates)

    def update_counted(self, rank, tile, updates, expected, fire):
        """Log what fires, and when all of it is done."""
        assert (rank, updates >= 0, expected > 0) == (3, True, True)

        def fired():
            self.fired.append(tile)
            fire()

        return fired


@pytest.fixture(scope="session")
def rig(tracked_tiles):
    """Give a function that makes a tracker of some entries and ways."""
    return lambda entries, ways, counted=(True,) * 8: _Rig(tracked_tiles, entries, ways, counted)


def test_trigger_fires_at_the_last_update(rig):
    """Of 16 expected updates the 15th does not fire, the 16th does."""
    made = rig(4, 4)
    made.count(0, 8, 16)
    made.count(0, 7, 16)
    assert (made.fired, made.unit.live_entries) == ([], 1)
    made.count(0, 1, 16)
    assert (made.fired, made.unit.live_entries, made.unit.fired) == ([0], 0, 1)


def test_whole_tile_at_once_fires(rig):
    """An update that is all a tile expects fires at once."""
    made = rig(4, 4)
    made.count(3, 8, 8)
    assert made.fired == [3]


def test_full_set_makes_counts_wait(rig):
    """Two ways hold two tiles of a set; the third tile's count waits until one of them is complete."""
    made = rig(2, 2)
    for workgroup in (0, 1, 2):
        made.count(workgroup)
    assert made.unit.waiting() == [
        "Gpu[3].Tracker: 2 tiles still expect updates, the first is 0",
        "Gpu[3].Tracker: 1 counts wait for an entry; tiles that wait hold those of their sets (tracker.entries: 2)",
    ]
    assert made.unit.waited == 1
    made.count(1)
    assert made.fired == [1]
    assert made.unit.waiting() == ["Gpu[3].Tracker: 2 tiles still expect updates, the first is 0"]
    made.count(2)
    assert made.fired == [1, 2]


def test_tile_that_waits_in_full_fires_when_it_gets_an_entry(rig):
    """All updates of a tile may wait; the entry that becomes free takes them together and fires."""
    made = rig(1, 1)
    made.count(0)
    made.count(1)
    made.count(1)
    assert made.fired == []
    made.count(0)
    assert made.fired == [0, 1]
    assert made.unit.waiting() == []


def test_updates_of_a_tile_with_an_entry_never_wait(rig):
    """Counts of other tiles that wait for the set do not hold back a tile that has its entry."""
    made = rig(1, 1)
    made.count(0)
    made.count(1)
    made.count(0)
    assert made.fired == [0]
    assert made.unit.waited == 1


def test_consecutive_workgroups_use_consecutive_sets(rig):
    """With 4 sets of one way, workgroups 0 to 3 fit together, and 4 waits for 0 and no other."""
    made = rig(4, 1)
    for workgroup in range(5):
        made.count(workgroup)
    assert made.unit.waited == 1
    made.count(3)
    assert made.unit.waiting()[-1].startswith("Gpu[3].Tracker: 1 counts wait for an entry; ")
    made.count(0)
    made.count(4)
    assert made.fired == [3, 0, 4]


def test_first_to_wait_gets_the_entry(rig):
    """While tile 0 has its entry, the one that becomes free goes to the tile whose count has waited longest."""
    made = rig(2, 2)
    for workgroup in (0, 1, 3, 2, 3):
        made.count(workgroup)
    made.count(1)
    assert made.fired == [1, 3]
    made.count(2)
    assert made.fired == [1, 3, 2]


def test_peak_is_the_most_entries_at_once(rig):
    """The peak counts entries in use together, not all ever used."""
    made = rig(8, 8)
    for workgroup in (0, 1, 2):
        made.count(workgroup)
    for workgroup in (0, 1):
        made.count(workgroup)
    made.count(3)
    assert (made.unit.peak_entries, made.unit.live_entries) == (3, 2)


def test_issued_and_counted_tell_what_is_under_way(rig):
    """Updates are issued when they arrive, and counted when their tile has an entry."""
    made = rig(1, 1)
    made.count(0, 8, 16)
    made.count(1, 8, 16)
    assert (made.unit.issued, made.unit.counted) == (16, 8)
    made.count(0, 8, 16)
    assert (made.unit.issued, made.unit.counted) == (24, 24)


def test_too_many_updates_are_a_fault(rig):
    """A tile takes as many updates as expected and not one more."""
    made = rig(1, 1)
    made.count(0, 1, 2)
    with pytest.raises(SimulationError, match=r"^Gpu\[3\].Tracker: workgroup 0 got 3 of 2 updates$"):
        made.count(0, 2, 2)


def test_operations_share_no_workgroup_numbers(rig, tracked_tiles):
    """The numbers of an operation's workgroups go on where those of the one before end."""
    made = rig(4, 4, ())
    for workgroups in (12, 3, 5):
        tracked_tiles(made.plane, made.unit, (True,) * workgroups)
    assert made.plane.rows("tiles")["number"][:20].tolist() == list(range(20))
    assert made.unit.reserved == 20


def test_the_last_free_entry_is_kept_for_the_first_tile(rig):
    """Tiles 1 and 2 of a set of two cannot both have entries before tile 0 has; when it has, nothing is kept."""
    made = rig(2, 2)
    for tile in (1, 2, 2):
        made.count(tile)
    assert (made.unit.live_entries, made.unit.waited) == (1, 2)
    made.count(0)
    assert (made.unit.live_entries, made.unit.waited) == (2, 2)
    made.count(0)
    assert made.fired == [0, 2]
    made.count(1)
    assert made.fired == [0, 2, 1]


def test_the_first_tile_gets_an_entry_before_those_that_wait_longer(rig):
    """When tile 0 is complete, the entry goes to tile 1, which is next, though tile 2 has waited longer."""
    made = rig(1, 1)
    for tile in (0, 2, 2, 1, 0):
        made.count(tile)
    assert (made.fired, made.unit.live_entries) == ([0], 1)
    made.count(1)
    assert made.fired == [0, 1, 2]
    assert made.unit.waiting() == []


def test_no_entry_is_kept_for_tiles_that_are_not_counted(rig):
    """Tile 0 leaves for another GPU at once: the only entry is for tile 1."""
    made = rig(1, 1, (False, True, True))
    made.count(2, 2)
    assert made.fired == []
    made.count(1, 2)
    assert made.fired == [1, 2]


def test_each_set_keeps_an_entry_of_its_own(rig):
    """Of two sets of one way, the one whose first tile is complete takes its next; the other one waits."""
    made = rig(2, 1)
    made.count(0, 2)
    made.count(2)
    made.count(3, 2)
    assert (made.fired, made.unit.waited) == ([0], 1)
    made.count(1, 2)
    assert made.fired == [0, 1, 3]


@given(data=st.data(), sets=st.integers(1, 3), ways=st.integers(1, 3), tiles=st.integers(1, 12))
def test_in_any_order_of_updates_every_tile_fires(rig, data, sets, ways, tiles):
    """Where tiles are complete when all before them are, at the latest, no order of updates leaves one behind."""
    made = rig(sets * ways, ways, (True,) * tiles)
    updates = data.draw(st.permutations([tile for tile in range(tiles) for _ in range(3)]))
    for tile in updates:
        made.count(tile, 1, 3)
        assert made.unit.live_entries <= sets * ways
    assert sorted(made.fired) == list(range(tiles))
    assert made.unit.waiting() == []


def test_entries_must_fill_their_sets():
    """Eight entries make two sets of four; nine do not."""
    assert TrackerSpec(entries=8, ways=4).sets == 2
    with pytest.raises(ValidationError, match="9 entries are not whole sets of 4 ways"):
        TrackerSpec(entries=9, ways=4)


class _Plain:
    """The rules of a tracker, written down plainly: lists, and every search from the start."""

    def __init__(self, sets, ways, counted):
        self.sets, self.ways = sets, ways
        self.open = [tile for tile, is_counted in enumerate(counted) if is_counted]
        self.entries, self.waiting, self.fired, self.waited = {}, [], [], 0

    def room(self, tile):
        """Whether a tile has an entry, or may take one."""
        alike = [other for other in self.entries if other % self.sets == tile % self.sets]
        first = min((other for other in self.open if other % self.sets == tile % self.sets), default=tile)
        kept = first != tile and first not in self.entries
        return tile in self.entries or len(alike) + kept < self.ways

    def count(self, tile, updates, expected):
        """Count, or wait."""
        if not self.room(tile):
            self.waited += 1
            self.waiting.append((tile, updates))
            return
        self.entries[tile] = self.entries.get(tile, 0) + updates
        if self.entries[tile] == expected:
            del self.entries[tile]
            self.open.remove(tile)
            self.fired.append(tile)
            self.go_on(tile % self.sets, expected)

    def go_on(self, number, expected):
        """Let those of a set count that may: the first incomplete tile, or the one that has waited longest."""
        waiting = list(dict.fromkeys(tile for tile, _ in self.waiting if tile % self.sets == number))
        first = min((tile for tile in self.open if tile % self.sets == number), default=None)
        tile = first if first in waiting else next(iter(waiting), None)
        if tile is not None and self.room(tile):
            total = sum(updates for other, updates in self.waiting if other == tile)
            self.waiting = [each for each in self.waiting if each[0] != tile]
            self.count(tile, total, expected)
            self.go_on(number, expected)


@given(data=st.data(), sets=st.integers(1, 3), ways=st.integers(1, 3), tiles=st.integers(1, 14))
def test_entries_go_to_tiles_as_the_rules_say(rig, data, sets, ways, tiles):
    """After every update of any order, what fired, what waited and what is live is what the plain rules say."""
    counted = data.draw(st.lists(st.booleans(), min_size=tiles, max_size=tiles))
    made, plain = rig(sets * ways, ways, counted), _Plain(sets, ways, counted)
    updates = data.draw(st.permutations([tile for tile in range(tiles) if counted[tile] for _ in range(3)]))
    for tile in updates:
        made.count(tile, 1, 3)
        plain.count(tile, 1, 3)
        assert made.fired == plain.fired
        assert (made.unit.live_entries, made.unit.waited) == (len(plain.entries), plain.waited)
