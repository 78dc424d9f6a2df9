"""One DRAM queue, served strictly in order; compiled.

While the queue has room, the arbitration table names the stream whose next request enters it; inside a stream reads
pass writes. A request is one entry of the queue: one access on every channel at once.
"""

from t3sim.compiled import part
from t3sim.hardware.memory.fluid.lanes import has_next, is_update, served, take_next
from t3sim.hardware.memory.turns import note_turn
from t3sim.hardware.plane.state import State


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
def admit(state: State, number: int, side: int) -> None:
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
        request = state.queue[first_entry + (server.first + server.count) % server.entries]
        request.lane = lane
        request.nbytes = take_next(state, number, side, lane)
        server.count += 1


@part
def look_ahead(state: State, number: int, ahead: int, now: int) -> None:
    """Copy the queue of side ``now`` to side ``ahead``."""
    server, entries = state.servers[2 * number + now], state.clock[0].entries
    for waiting in range(server.count):
        entry = (server.first + waiting) % server.entries
        state.queue[(2 * number + ahead) * entries + entry] = state.queue[(2 * number + now) * entries + entry]


@part
def _service_fs(state: State, number: int, side: int, lane: int, nbytes: int, updates: int, start: int) -> int:
    times, server = state.service[number], state.servers[2 * number + side]
    last = server.last_lane
    full = times.update if updates else times.read
    cost = -(-full * nbytes // times.granule)
    if last >= 0 and last != lane:
        turns = (last & 1) != (lane & 1)
        server.bus_turnarounds += turns
        server.stream_switches += not turns
        switch = times.to_read if turns else times.stream_switch
        cost += max(switch - (start - server.free_at), 0)  # the bus turns while the channel idles
    return int(cost)


@part
def serve_one(state: State, number: int, side: int, start: int) -> int:
    """Serve the oldest request at ``start``; return the lane of the burst this completes, or -1."""
    server = state.servers[2 * number + side]
    request = state.queue[(2 * number + side) * state.clock[0].entries + server.first]
    lane, nbytes = request.lane, request.nbytes
    server.first = (server.first + 1) % server.entries
    server.count -= 1
    updates = is_update(state, number, side, lane)
    cost = _service_fs(state, number, side, lane, nbytes, updates, start)
    server.free_at = start + cost
    server.busy += cost
    server.last_lane = lane
    done = served(state, number, side, lane, nbytes)
    admit(state, number, side)
    return done
