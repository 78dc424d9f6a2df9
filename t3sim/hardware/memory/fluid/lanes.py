"""Lanes of bursts before a fluid channel, compiled: first in, first out, by stream and by read or write."""

from t3sim.compiled import part
from t3sim.hardware.memory.fluid.tables import NOW
from t3sim.hardware.memory.model import MOST_CAUSES
from t3sim.hardware.plane.state import State


@part
def place_of(number: int, side: int, lane: int) -> int:
    """Row of a lane."""
    return (2 * number + side) * 4 + lane


@part
def burst_at(state: State, number: int, lane: int, burst: int) -> int:
    """Row of a burst; a ring has room for a power of two."""
    ring = state.clock[0].ring
    return int((4 * number + lane) * ring + (burst & (ring - 1)))


@part
def has_next(state: State, number: int, side: int, lane: int) -> bool:
    """Whether ``lane`` holds a burst that has not left it in full."""
    row = state.queue_lanes[place_of(number, side, lane)]
    return bool(row.head < row.tail)


@part
def take_next(state: State, number: int, side: int, lane: int) -> int:
    """Take the next request out of a lane; return its bytes."""
    row = state.queue_lanes[place_of(number, side, lane)]
    nbytes = min(state.service[number].granule, row.head_left)
    row.head_left -= nbytes
    if row.head_left == 0:
        row.head += 1
        if row.head < row.tail:
            row.head_left = state.bursts[burst_at(state, number, lane, row.head)].nbytes
    return int(nbytes)


@part
def extend(state: State, number: int, now: int) -> None:
    """Make all bursts that were pushed visible to arbitration at time ``now``."""
    state.servers[2 * number + NOW].clock = now
    for lane in range(4):
        row, tail = state.queue_lanes[place_of(number, NOW, lane)], state.tails[4 * number + lane]
        old = row.tail
        if tail == old:
            continue
        if row.head == old:
            row.head_left = state.bursts[burst_at(state, number, lane, old)].nbytes
        if row.serving == old:
            row.serving_left = state.bursts[burst_at(state, number, lane, old)].nbytes
        row.tail = tail


@part
def served(state: State, number: int, side: int, number_of_lane: int, nbytes: int) -> int:
    """Note that the oldest request of a lane was served; return the lane if this completes its burst, else -1."""
    lane = state.queue_lanes[place_of(number, side, number_of_lane)]
    burst = state.bursts[burst_at(state, number, number_of_lane, lane.serving)]
    state.served[(2 * number + side) * MOST_CAUSES + burst.cause] += nbytes
    lane.serving_left -= nbytes
    if lane.serving_left > 0:
        return -1
    lane.serving += 1
    if lane.serving < lane.tail:
        lane.serving_left = state.bursts[burst_at(state, number, number_of_lane, lane.serving)].nbytes
    return int(number_of_lane)


@part
def is_update(state: State, number: int, side: int, lane: int) -> int:
    """Whether the burst of a lane that is served next is a near-memory update."""
    row = state.queue_lanes[place_of(number, side, lane)]
    return int(state.bursts[burst_at(state, number, lane, row.serving)].is_update)
