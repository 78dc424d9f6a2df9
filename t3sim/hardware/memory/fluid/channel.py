"""The fluid channel and what stands before it, compiled: lanes of bursts, arbitration and the DRAM queue.

Bursts wait in four *lanes*, first in, first out: (stream, read or write). Inside a stream reads pass writes, as in
controllers with a separate write queue. While the DRAM queue has room, the arbitration table names the stream whose
next request enters it. A request is one entry of the queue: one access on every channel at once. The channel is one
server; what it is to take is in ``spec``.

``number``: of the controller; ``side``: what is, or what may come (see ``tables``).
"""

from typing import Final

import numpy as np

from t3sim.compiled import Record, part
from t3sim.hardware.memory.fluid.tables import AHEAD, NOW
from t3sim.hardware.memory.model import MOST_CAUSES
from t3sim.hardware.memory.turns import note_turn
from t3sim.hardware.plane.state import State

_FOREVER: Final = int(np.iinfo(np.int64).max)


@part
def _place(number: int, side: int, lane: int) -> int:
    """Row of a lane."""
    return (2 * number + side) * 4 + lane


@part
def _burst(state: State, number: int, lane: int, burst: int) -> int:
    """Row of a burst; a ring has room for a power of two."""
    ring = state.clock[0].ring
    return int((4 * number + lane) * ring + (burst & (ring - 1)))


@part
def _entry(server: Record, place: int) -> int:
    """Wrap a place behind the first entry around the end of the queue."""
    return int(place - server.entries if place >= server.entries else place)


@part
def _has_next(state: State, number: int, side: int, lane: int) -> bool:
    """Whether ``lane`` holds a burst that is not admitted in full."""
    row = state.queue_lanes[_place(number, side, lane)]
    return bool(row.head < row.tail)


@part
def _pick(state: State, number: int, side: int, compute: bool, communication: bool) -> int:
    """Pick the stream whose next request enters the queue, negative to hold both."""
    clock, server = state.clock[0], state.servers[2 * number + side]
    if not communication:
        server.passed_over = 0
    place = state.controllers[number].table * 4 + 2 * compute + communication
    place = (place * clock.table_entries + server.count) * 2 + server.last_stream
    stream = state.tables[place * clock.table_counts + server.passed_over]
    return note_turn(server, stream, communication, clock.table_counts - 1)


@part
def _admit(state: State, number: int, side: int) -> None:
    """Fill the DRAM queue from the lanes for as long as it has room and the policy picks a stream."""
    server, granule = state.servers[2 * number + side], state.service[number].granule
    first_entry = (2 * number + side) * state.clock[0].entries
    while server.count < server.entries:
        compute = _has_next(state, number, side, 0) or _has_next(state, number, side, 1)
        communication = _has_next(state, number, side, 2) or _has_next(state, number, side, 3)
        if not (compute or communication):
            return
        stream = _pick(state, number, side, compute, communication)
        if stream < 0:
            return
        lane = 2 * stream if _has_next(state, number, side, 2 * stream) else 2 * stream + 1
        row = state.queue_lanes[_place(number, side, lane)]
        request = state.queue[first_entry + _entry(server, server.first + server.count)]
        request.lane = lane
        request.nbytes = min(granule, row.head_left)
        server.count += 1
        row.head_left -= request.nbytes
        if row.head_left == 0:
            row.head += 1
            if row.head < row.tail:
                row.head_left = state.bursts[_burst(state, number, lane, row.head)].nbytes


@part
def _extend_lanes(state: State, number: int, now: int) -> None:
    """Make all bursts that were pushed visible to arbitration at time ``now``."""
    state.servers[2 * number + NOW].clock = now
    for lane in range(4):
        row, tail = state.queue_lanes[_place(number, NOW, lane)], state.tails[4 * number + lane]
        old = row.tail
        if tail == old:
            continue
        if row.head == old:
            row.head_left = state.bursts[_burst(state, number, lane, old)].nbytes
        if row.serving == old:
            row.serving_left = state.bursts[_burst(state, number, lane, old)].nbytes
        row.tail = tail


@part
def _look_ahead(state: State, number: int) -> None:
    """Make the side ``AHEAD`` what the side ``NOW`` is, the bytes served aside."""
    for lane in range(4):
        state.queue_lanes[_place(number, AHEAD, lane)] = state.queue_lanes[_place(number, NOW, lane)]
    server, entries = state.servers[2 * number + NOW], state.clock[0].entries
    for waiting in range(server.count):
        entry = _entry(server, server.first + waiting)
        state.queue[(2 * number + AHEAD) * entries + entry] = state.queue[(2 * number + NOW) * entries + entry]
    state.servers[2 * number + AHEAD] = server


@part
def _service_fs(state: State, number: int, side: int, lane: int, nbytes: int, is_update: int, start: int) -> int:
    times, server = state.service[number], state.servers[2 * number + side]
    last = server.last_lane
    full = times.update if is_update else times.access
    # Most entries are whole ones: a division takes as long as all the rest.
    cost = full if nbytes == times.granule else -(-full * nbytes // times.granule)
    if last >= 0 and last != lane:
        turns = (last & 1) != (lane & 1)
        server.bus_turnarounds += turns
        server.stream_switches += not turns
        switch = times.turnaround if turns else times.stream_switch
        cost += max(switch - (start - server.free_at), 0)  # the bus turns while the channel idles
    return int(cost)


@part
def _serve_one(state: State, number: int, side: int, start: int) -> int:
    """Serve the oldest request at ``start``; return the lane of the burst this completes, or -1."""
    server = state.servers[2 * number + side]
    request = state.queue[(2 * number + side) * state.clock[0].entries + server.first]
    number_of_lane, nbytes = request.lane, request.nbytes
    lane = state.queue_lanes[_place(number, side, number_of_lane)]
    burst = state.bursts[_burst(state, number, number_of_lane, lane.serving)]
    server.first = _entry(server, server.first + 1)
    server.count -= 1
    cost = _service_fs(state, number, side, number_of_lane, nbytes, burst.is_update, start)
    server.free_at = start + cost
    server.busy += cost
    server.last_lane = number_of_lane
    state.served[(2 * number + side) * MOST_CAUSES + burst.cause] += nbytes
    lane.serving_left -= nbytes
    if lane.serving_left > 0:
        return -1
    lane.serving += 1
    if lane.serving < lane.tail:
        lane.serving_left = state.bursts[_burst(state, number, number_of_lane, lane.serving)].nbytes
    return int(number_of_lane)


@part
def queue_burst(
    state: State, number: int, lane: int, nbytes: int, cause: int, is_update: int, kind: int, a: int, b: int
) -> int:
    """Queue a burst; return its number in its lane."""
    clock, tail = state.clock[0], state.tails[4 * number + lane]
    burst = state.bursts[_burst(state, number, lane, tail)]
    burst.nbytes = nbytes
    burst.cause = cause
    burst.is_update = is_update
    burst.kind = kind
    burst.a = a
    burst.b = b
    state.tails[4 * number + lane] = tail + 1
    if tail + 1 - state.queue_lanes[_place(number, NOW, lane)].serving + clock.margin > clock.ring:
        clock.need = 1
    return int(tail)


@part
def spread_burst(_state: State, _number: int, _burst: int) -> None:
    """Ask for no addresses."""


@part
def serve(state: State, number: int, now: int) -> int:
    """Serve the requests that start before ``now``; return how many awaited bursts completed."""
    return _serve(state, number, NOW, now, False)


@part
def completed(state: State, number: int, index: int) -> Record:
    """Give one of them."""
    return state.completed[4 * number * state.clock[0].ring + index]


@part
def _serve(state: State, number: int, side: int, until: int, only_first: bool) -> int:
    """Serve the requests that start before ``until``; return how many awaited bursts completed.

    ``only_first``: stop at the first of them. Nothing that arrives later can change what starts before ``until``.
    """
    server = state.servers[2 * number + side]
    first, count = 4 * number * state.clock[0].ring, 0
    while server.count > 0:
        start = max(server.free_at, server.clock)
        if start >= until:
            break
        lane = _serve_one(state, number, side, start)
        _admit(state, number, side)
        if lane >= 0:
            served = state.queue_lanes[_place(number, side, lane)].serving - 1
            burst = state.bursts[_burst(state, number, lane, served)]
            if burst.kind:
                done = state.completed[first + count]
                done.lane = lane
                done.number = served
                done.end = server.free_at
                done.kind = burst.kind
                done.a = burst.a
                done.b = burst.b
                count += 1
                if only_first:
                    break
    return count


@part
def admit_and_predict(state: State, number: int, now: int) -> int:
    """Let in what was pushed, at ``now``; the end of the next awaited burst if nothing more comes, or 0."""
    _extend_lanes(state, number, now)
    _admit(state, number, NOW)
    _look_ahead(state, number)
    if _serve(state, number, AHEAD, _FOREVER, True) > 0:
        return int(state.completed[4 * number * state.clock[0].ring].end)
    return 0
