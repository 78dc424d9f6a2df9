"""One DRAM queue, served strictly in order; compiled.

While the queue has room, the arbitration table names the stream whose next request enters it; inside a stream reads
pass writes. A request is one entry of the queue: one access on every channel at once.
"""

from t3sim.compiled import Record, part
from t3sim.hardware.memory.fluid.channel import look_ahead
from t3sim.hardware.memory.fluid.lanes import burst_at, extend, has_next, is_update, place_of, served, take_next
from t3sim.hardware.memory.fluid.tables import AHEAD, FOREVER, NOW
from t3sim.hardware.memory.turns import note_turn
from t3sim.hardware.plane.state import State


@part
def _entry(server: Record, place: int) -> int:
    """Wrap a place behind the first entry around the end of the queue."""
    return int(place - server.entries if place >= server.entries else place)


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
    server = state.servers[2 * number + side]
    first_entry = (2 * number + side) * state.clock[0].entries
    while server.count < server.entries:
        compute = has_next(state, number, side, 0) or has_next(state, number, side, 1)
        communication = has_next(state, number, side, 2) or has_next(state, number, side, 3)
        if not (compute or communication):
            return
        stream = _pick(state, number, side, compute, communication)
        if stream < 0:
            return
        lane = 2 * stream if has_next(state, number, side, 2 * stream) else 2 * stream + 1
        request = state.queue[first_entry + _entry(server, server.first + server.count)]
        request.lane = lane
        request.nbytes = take_next(state, number, side, lane)
        server.count += 1


@part
def _look_ahead(state: State, number: int) -> None:
    """Make the side ``AHEAD`` what the side ``NOW`` is, the bytes served aside."""
    look_ahead(state, number)
    server, entries = state.servers[2 * number + NOW], state.clock[0].entries
    for waiting in range(server.count):
        entry = _entry(server, server.first + waiting)
        state.queue[(2 * number + AHEAD) * entries + entry] = state.queue[(2 * number + NOW) * entries + entry]


@part
def _service_fs(state: State, number: int, side: int, lane: int, nbytes: int, updates: int, start: int) -> int:
    times, server = state.service[number], state.servers[2 * number + side]
    last = server.last_lane
    full = times.update if updates else times.read
    # Most entries are whole ones: a division takes as long as all the rest.
    cost = full if nbytes == times.granule else -(-full * nbytes // times.granule)
    if last >= 0 and last != lane:
        turns = (last & 1) != (lane & 1)
        server.bus_turnarounds += turns
        server.stream_switches += not turns
        switch = times.to_read if turns else times.stream_switch
        cost += max(switch - (start - server.free_at), 0)  # the bus turns while the channel idles
    return int(cost)


@part
def _serve_one(state: State, number: int, side: int, start: int) -> int:
    """Serve the oldest request at ``start``; return the lane of the burst this completes, or -1."""
    server = state.servers[2 * number + side]
    request = state.queue[(2 * number + side) * state.clock[0].entries + server.first]
    lane, nbytes = request.lane, request.nbytes
    server.first = _entry(server, server.first + 1)
    server.count -= 1
    updates = is_update(state, number, side, lane)
    cost = _service_fs(state, number, side, lane, nbytes, updates, start)
    server.free_at = start + cost
    server.busy += cost
    server.last_lane = lane
    done = served(state, number, side, lane, nbytes)
    _admit(state, number, side)
    return done


@part
def _complete(state: State, number: int, side: int, lane: int, count: int) -> int:
    """Note that the burst that ``lane`` served last is complete, if anybody waits; return how many are now."""
    number_in_lane = state.queue_lanes[place_of(number, side, lane)].serving - 1
    burst = state.bursts[burst_at(state, number, lane, number_in_lane)]
    if burst.kind == 0:
        return count
    done = state.completed[4 * number * state.clock[0].ring + count]
    done.lane = lane
    done.number = number_in_lane
    done.end = state.servers[2 * number + side].free_at
    done.kind = burst.kind
    done.a = burst.a
    done.b = burst.b
    return count + 1


@part
def _serve(state: State, number: int, side: int, until: int, only_first: bool) -> int:
    """Serve the requests that start before ``until``; return how many awaited bursts completed.

    ``only_first``: stop at the first of them. Nothing that arrives later can change what starts before ``until``.
    """
    server, count = state.servers[2 * number + side], 0
    while server.count > 0:
        start = max(server.free_at, server.clock)
        if start >= until:
            break
        lane = _serve_one(state, number, side, start)
        if lane >= 0:
            count = _complete(state, number, side, lane, count)
            if only_first and count:
                break
    return count


@part
def serve(state: State, number: int, now: int) -> int:
    """Serve the requests that start before ``now``; return how many awaited bursts completed."""
    return _serve(state, number, NOW, now, False)


@part
def admit_and_predict(state: State, number: int, now: int) -> int:
    """Let in what was pushed, at ``now``; the end of the next awaited burst if nothing more comes, or 0."""
    extend(state, number, now)
    _admit(state, number, NOW)
    _look_ahead(state, number)
    found = _serve(state, number, AHEAD, FOREVER, True)
    return int(state.servers[2 * number + AHEAD].free_at) if found else 0
