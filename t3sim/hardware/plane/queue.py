"""The plane's queue of events, its stack of frames and its pools of rows; compiled."""

from typing import Final

from t3sim.compiled import Records, part, routine
from t3sim.hardware.plane.state import NONE, State

ORDER_BITS: Final = 48
"""A key is the order of an event, then its number: what happens first in an instant has the lowest."""


@routine
def schedule(state: State, time: int, order: int, kind: int, a: int, b: int, c: int) -> None:
    """Do something at ``time``, in ``order`` of that instant, after what was scheduled for then before."""
    clock, heap = state.clock[0], state.events
    key = (order << ORDER_BITS) | clock.sequence
    clock.sequence += 1
    place = clock.events
    clock.events += 1
    if clock.events + clock.margin > clock.event_room:
        clock.need = 1
    while place > 0:
        above = (place - 1) >> 1
        if heap[above].time < time or (heap[above].time == time and heap[above].key < key):
            break
        heap[place] = heap[above]
        place = above
    event = heap[place]
    event.time = time
    event.key = key
    event.kind = kind
    event.a = a
    event.b = b
    event.c = c


@part
def take_first(state: State) -> None:
    """Take the first event out of the queue: it is the only frame now, and this is its time."""
    clock, heap = state.clock[0], state.events
    first = heap[0]
    clock.now = first.time
    push(state, first.kind, first.a, first.b, first.c)
    clock.events -= 1
    last, place, half = heap[clock.events], 0, clock.events >> 1
    while place < half:
        below = 2 * place + 1
        if below + 1 < clock.events and _is_before(heap, below + 1, below):
            below += 1
        if last.time < heap[below].time or (last.time == heap[below].time and last.key < heap[below].key):
            break
        heap[place] = heap[below]
        place = below
    heap[place] = last


@part
def _is_before(heap: Records, one: int, other: int) -> bool:
    return bool(
        heap[one].time < heap[other].time or (heap[one].time == heap[other].time and heap[one].key < heap[other].key)
    )


@part
def push(state: State, kind: int, a: int, b: int, c: int) -> None:
    """Do this next."""
    clock = state.clock[0]
    frame = state.frames[clock.frames]
    frame.kind = kind
    frame.a = a
    frame.b = b
    frame.c = c
    clock.frames += 1
    if clock.frames + clock.margin > clock.frame_room:
        clock.need = 1


@part
def take(state: State, pool: int, rows: Records) -> int:
    """Take a free row."""
    free, clock = state.pools[pool], state.clock[0]
    row = free.free
    free.free = rows[row].next
    free.left -= 1
    if free.left < clock.margin:
        clock.need = 1
    return int(row)


@part
def give(state: State, pool: int, rows: Records, row: int) -> None:
    """Give a row back."""
    free = state.pools[pool]
    rows[row].next = free.free
    free.free = row
    free.left += 1


@part
def append(rows: Records, first: int, last: int, row: int) -> int:
    """Put a row behind the last one of a chain; return the first. An empty chain has ``NONE`` as its first."""
    rows[row].next = NONE
    if first == NONE:
        return row
    rows[last].next = row
    return first
