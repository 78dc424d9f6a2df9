"""The tracker: the trigger fires at the last update, and where a set is full, counts wait in order."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from t3sim.errors import SimulationError
from t3sim.hardware.t3.tracker import Tracker, TrackerSpec


class _Rig:
    """A tracker for an operation's tiles, which are counted or not, and the log of those that fired."""

    def __init__(self, entries, ways, counted=(True,) * 8):
        self.unit = Tracker(TrackerSpec(entries=entries, ways=ways), 3)
        self.unit.reserve(counted)
        self.fired = []

    def count(self, workgroup, updates=1, expected=2):
        """Count updates to a tile."""
        self.unit.count(workgroup, updates, expected, partial(self.fired.append, workgroup))


def test_trigger_fires_at_the_last_update():
    """Of 16 expected updates the 15th does not fire, the 16th does."""
    rig = _Rig(4, 4)
    rig.count(0, 8, 16)
    rig.count(0, 7, 16)
    assert (rig.fired, rig.unit.live_entries) == ([], 1)
    rig.count(0, 1, 16)
    assert (rig.fired, rig.unit.live_entries, rig.unit.fired) == ([0], 0, 1)


def test_whole_tile_at_once_fires():
    """An update that is all a tile expects fires at once."""
    rig = _Rig(4, 4)
    rig.count(3, 8, 8)
    assert rig.fired == [3]


def test_full_set_makes_counts_wait():
    """Two ways hold two tiles of a set; the third tile's count waits until one of them is complete."""
    rig = _Rig(2, 2)
    for workgroup in (0, 1, 2):
        rig.count(workgroup)
    assert rig.unit.waiting() == [
        "Gpu[3].Tracker: 2 tiles still expect updates, the first is 0",
        "Gpu[3].Tracker: 1 counts wait for an entry; tiles that wait hold those of their sets (tracker.entries: 2)",
    ]
    assert rig.unit.waited == 1
    rig.count(1)
    assert rig.fired == [1]
    assert rig.unit.waiting() == ["Gpu[3].Tracker: 2 tiles still expect updates, the first is 0"]
    rig.count(2)
    assert rig.fired == [1, 2]


def test_tile_that_waits_in_full_fires_when_it_gets_an_entry():
    """All updates of a tile may wait; the entry that becomes free takes them together and fires."""
    rig = _Rig(1, 1)
    rig.count(0)
    rig.count(1)
    rig.count(1)
    assert rig.fired == []
    rig.count(0)
    assert rig.fired == [0, 1]
    assert rig.unit.waiting() == []


def test_updates_of_a_tile_with_an_entry_never_wait():
    """Counts of other tiles that wait for the set do not hold back a tile that has its entry."""
    rig = _Rig(1, 1)
    rig.count(0)
    rig.count(1)
    rig.count(0)
    assert rig.fired == [0]
    assert rig.unit.waited == 1


def test_consecutive_workgroups_use_consecutive_sets():
    """With 4 sets of one way, workgroups 0 to 3 fit together, and 4 waits for 0 and no other."""
    rig = _Rig(4, 1)
    for workgroup in range(5):
        rig.count(workgroup)
    assert rig.unit.waited == 1
    rig.count(3)
    assert rig.unit.waiting()[-1].startswith("Gpu[3].Tracker: 1 counts wait for an entry; ")
    rig.count(0)
    rig.count(4)
    assert rig.fired == [3, 0, 4]


def test_first_to_wait_gets_the_entry():
    """While tile 0 has its entry, the one that becomes free goes to the tile whose count has waited longest."""
    rig = _Rig(2, 2)
    for workgroup in (0, 1, 3, 2, 3):
        rig.count(workgroup)
    rig.count(1)
    assert rig.fired == [1, 3]
    rig.count(2)
    assert rig.fired == [1, 3, 2]


def test_peak_is_the_most_entries_at_once():
    """The peak counts entries in use together, not all ever used."""
    rig = _Rig(8, 8)
    for workgroup in (0, 1, 2):
        rig.count(workgroup)
    for workgroup in (0, 1):
        rig.count(workgroup)
    rig.count(3)
    assert (rig.unit.peak_entries, rig.unit.live_entries) == (3, 2)


def test_issued_and_counted_tell_what_is_under_way():
    """Updates are issued when they arrive, and counted when their tile has an entry."""
    rig = _Rig(1, 1)
    rig.count(0, 8, 16)
    rig.count(1, 8, 16)
    assert (rig.unit.issued, rig.unit.counted) == (16, 8)
    rig.count(0, 8, 16)
    assert (rig.unit.issued, rig.unit.counted) == (24, 24)


def test_too_many_updates_are_a_fault():
    """A tile takes as many updates as expected and not one more."""
    rig = _Rig(1, 1)
    rig.count(0, 1, 2)
    with pytest.raises(SimulationError, match=r"^Gpu\[3\].Tracker: workgroup 0 got 3 of 2 updates$"):
        rig.count(0, 2, 2)


def test_operations_share_no_workgroup_numbers():
    """The numbers of an operation's workgroups go on where those of the one before end."""
    unit = _Rig(4, 4, ()).unit
    assert [unit.reserve([True] * workgroups) for workgroups in (12, 3, 5)] == [0, 12, 15]


def test_the_last_free_entry_is_kept_for_the_first_tile():
    """Tiles 1 and 2 of a set of two cannot both have entries before tile 0 has; when it has, nothing is kept."""
    rig = _Rig(2, 2)
    for tile in (1, 2, 2):
        rig.count(tile)
    assert (rig.unit.live_entries, rig.unit.waited) == (1, 2)
    rig.count(0)
    assert (rig.unit.live_entries, rig.unit.waited) == (2, 2)
    rig.count(0)
    assert rig.fired == [0, 2]
    rig.count(1)
    assert rig.fired == [0, 2, 1]


def test_the_first_tile_gets_an_entry_before_those_that_wait_longer():
    """When tile 0 is complete, the entry goes to tile 1, which is next, though tile 2 has waited longer."""
    rig = _Rig(1, 1)
    for tile in (0, 2, 2, 1, 0):
        rig.count(tile)
    assert (rig.fired, rig.unit.live_entries) == ([0], 1)
    rig.count(1)
    assert rig.fired == [0, 1, 2]
    assert rig.unit.waiting() == []


def test_no_entry_is_kept_for_tiles_that_are_not_counted():
    """Tile 0 leaves for another GPU at once: the only entry is for tile 1."""
    rig = _Rig(1, 1, (False, True, True))
    rig.count(2, 2)
    assert rig.fired == []
    rig.count(1, 2)
    assert rig.fired == [1, 2]


def test_each_set_keeps_an_entry_of_its_own():
    """Of two sets of one way, the one whose first tile is complete takes its next; the other one waits."""
    rig = _Rig(2, 1)
    rig.count(0, 2)
    rig.count(2)
    rig.count(3, 2)
    assert (rig.fired, rig.unit.waited) == ([0], 1)
    rig.count(1, 2)
    assert rig.fired == [0, 1, 3]


@given(data=st.data(), sets=st.integers(1, 3), ways=st.integers(1, 3), tiles=st.integers(1, 12))
def test_in_any_order_of_updates_every_tile_fires(data, sets, ways, tiles):
    """Where tiles are complete when all before them are, at the latest, no order of updates leaves one behind."""
    rig = _Rig(sets * ways, ways, (True,) * tiles)
    updates = data.draw(st.permutations([tile for tile in range(tiles) for _ in range(3)]))
    for tile in updates:
        rig.count(tile, 1, 3)
        assert rig.unit.live_entries <= sets * ways
    assert sorted(rig.fired) == list(range(tiles))
    assert rig.unit.waiting() == []


def test_entries_must_fill_their_sets():
    """Eight entries make two sets of four; nine do not."""
    assert TrackerSpec(entries=8, ways=4).sets == 2
    with pytest.raises(ValidationError, match="9 entries are not whole sets of 4 ways"):
        TrackerSpec(entries=9, ways=4)
