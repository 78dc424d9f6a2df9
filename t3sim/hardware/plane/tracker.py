"""The tracker: counts updates to tiles, and lets counts wait where a set is full; compiled (see ``hardware.t3``)."""

from t3sim.compiled import part
from t3sim.hardware.plane.queue import append, push
from t3sim.hardware.plane.state import NONE, State
from t3sim.hardware.plane.trigger_state import (
    ADD,
    FIRED,
    NEXT_ENTRY,
    TELL_COUNTED,
    TELL_FIRED,
    TELL_OVERCOUNTED,
    TELL_TRACKED,
)


@part
def tracker_of(state: State, row: int) -> int:
    """Give the row of the tracker that counts a tile."""
    return int(state.units[state.stations[state.tiles[row].station].unit].tracker)


@part
def count(state: State, row: int, updates: int) -> None:
    """Count updates to a tile."""
    number = tracker_of(state, row)
    state.trackers[number].issued += updates
    if state.clock[0].probing:
        push(state, TELL_TRACKED, number, 0, 0)
    push(state, ADD, row, updates, 0)
    if state.clock[0].probing:
        push(state, TELL_COUNTED, row, updates, 0)


@part
def add(state: State, row: int, updates: int) -> None:
    """Add to the entry of a tile, which gets one if its set has room for it; if not, the count waits."""
    tile = state.tiles[row]
    tracker, number = state.trackers[tracker_of(state, row)], tile.set
    its_set = state.sets[number]
    if tile.entry == 0:
        if not _has_room(state, number, tracker.ways, row):
            tracker.waited += 1
            if tile.waits == 0:
                its_set.first_waiting = append(state.tiles, its_set.first_waiting, its_set.last_waiting, row)
                its_set.last_waiting = row
            tile.waits += 1
            tile.waiting += updates
            return
        tracker.allocated += 1
        tile.entry = tracker.allocated
        tile.count = 0
        its_set.used += 1
        tracker.live += 1
        tracker.peak = max(tracker.peak, tracker.live)
    expected = state.stations[tile.station].expected
    tracker.counted += updates
    tile.count += updates
    if tile.count > expected:
        push(state, TELL_OVERCOUNTED, row, tile.count, 0)
    elif tile.count == expected:
        tile.entry = 0
        tile.incomplete = 0
        its_set.used -= 1
        tracker.live -= 1
        tracker.fired += 1
        push(state, NEXT_ENTRY, number, tracker.ways, 0)
        push(state, TELL_FIRED if state.clock[0].probing else FIRED, row, 0, 0)


@part
def _has_room(state: State, number: int, ways: int, row: int) -> bool:
    """Whether a set has an entry for a tile: the last free one is for the first tile that is not complete."""
    free = ways - state.sets[number].used
    if free != 1:
        return bool(free > 0)
    awaited = _awaited(state, number)
    return bool(awaited in (NONE, row))


@part
def _awaited(state: State, number: int) -> int:
    """Find the first tile of a set that is not complete; ``NONE`` if it has its entry, or all are complete."""
    its_set, tiles = state.sets[number], state.tiles
    oldest = its_set.oldest
    while oldest != NONE and tiles[oldest].incomplete == 0:
        oldest = tiles[oldest].after
    its_set.oldest = oldest
    return NONE if oldest == NONE or tiles[oldest].entry else int(oldest)


@part
def next_entry(state: State, number: int, ways: int) -> None:
    """Give the free entry of a set to the tile that it is kept for, or else to the one that waits longest."""
    its_set, tiles = state.sets[number], state.tiles
    row = its_set.first_waiting
    if row == NONE:
        return
    awaited = _awaited(state, number)
    if awaited != NONE and tiles[awaited].waits:
        row = awaited
    if tiles[row].entry == 0 and not _has_room(state, number, ways, row):
        return
    before, here = NONE, its_set.first_waiting
    while here != row:
        before, here = here, tiles[here].next
    if before == NONE:
        its_set.first_waiting = tiles[row].next
    else:
        tiles[before].next = tiles[row].next
    if its_set.last_waiting == row:
        its_set.last_waiting = before
    updates = tiles[row].waiting
    tiles[row].waits = 0
    tiles[row].waiting = 0
    push(state, NEXT_ENTRY, number, ways, 0)
    push(state, ADD, row, updates, 0)
