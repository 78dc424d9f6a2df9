"""Reads and writes in queues of their own, served in turns, behind a path of finite FIFOs; compiled.

What the banked memory has before its banks, and nothing else of it: its rules are those of ``banked.path`` and
``banked.dram.next_command``. A request of a stream enters its FIFO, reads and writes in turn while both wait; one
request a cycle goes on from a FIFO into its queue, of the stream that the policy picks. Writes drain from their high
watermark, or when no read waits, down to the low one.

Inside a queue requests are served in order. Banks make another order of it, in which the last request of a burst comes
late: a burst is complete when so many younger requests of its queue are served, or all of them.
"""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.memory.fluid.channel import look_ahead
from t3sim.hardware.memory.fluid.lanes import burst_at, extend, has_next, is_update, place_of, served, take_next
from t3sim.hardware.memory.fluid.tables import AHEAD, FOREVER, NOW, RINGS
from t3sim.hardware.memory.turns import note_turn
from t3sim.hardware.plane.state import State

READS: Final = 0
WRITES: Final = 1
PATHS: Final = 2
"""Rings of requests: the read queue, the write queue, and the FIFO of each stream."""
LATE: Final = 4


@part
def _ring(number: int, side: int, ring: int) -> int:
    """Row of a ring."""
    return (2 * number + side) * RINGS + ring


@part
def _append(state: State, number: int, side: int, ring: int, lane: int, nbytes: int) -> None:
    """Put a request at the end of a ring."""
    row = state.rings[_ring(number, side, ring)]
    place = (2 * number + side) * state.clock[0].entries + row.start + (row.first + row.count) % row.entries
    request = state.queue[place]
    request.lane = lane
    request.nbytes = nbytes
    row.count += 1


@part
def _first(state: State, number: int, side: int, ring: int) -> int:
    """Row of a ring's first request."""
    row = state.rings[_ring(number, side, ring)]
    return int((2 * number + side) * state.clock[0].entries + row.start + row.first)


@part
def _drop(state: State, number: int, side: int, ring: int) -> None:
    """Take the first request out of a ring."""
    row = state.rings[_ring(number, side, ring)]
    row.first = (row.first + 1) % row.entries
    row.count -= 1


@part
def _fill(state: State, number: int, side: int, stream: int) -> None:
    """Let requests into a stream's FIFO for as long as there is room: reads and writes in turn."""
    path = state.rings[_ring(number, side, PATHS + stream)]
    while path.count < path.entries:
        reads = has_next(state, number, side, 2 * stream)
        writes = has_next(state, number, side, 2 * stream + 1)
        if not (reads or writes):
            return
        kind = 1 - path.last if reads and writes else int(writes)
        lane = 2 * stream + kind
        _append(state, number, side, PATHS + stream, lane, take_next(state, number, side, lane))
        path.last = kind


@part
def _closed(state: State, number: int, side: int) -> bool:
    """Whether one more write would keep reads waiting that should not."""
    server, rules = state.servers[2 * number + side], state.service[number]
    if state.rings[_ring(number, side, READS)].count == 0:
        return False
    if server.turn == WRITES:
        return True
    starts_drain = state.rings[_ring(number, side, WRITES)].count + 1 >= rules.drain_from
    return bool(starts_drain and server.reads_in_turn < rules.least_reads)


@part
def _offers(state: State, number: int, side: int, stream: int, closed: bool) -> bool:
    """Whether the head of a stream's FIFO may enter its queue: one with room that is not closed."""
    if state.rings[_ring(number, side, PATHS + stream)].count == 0:
        return False
    kind = state.queue[_first(state, number, side, PATHS + stream)].lane & 1
    queue = state.rings[_ring(number, side, kind)]
    return bool(queue.count < queue.entries and not (kind and closed))


@part
def _let_one_in(state: State, number: int, side: int) -> bool:
    """Let a request into its queue, if the policy picks a stream; return whether one entered."""
    _fill(state, number, side, 0)
    _fill(state, number, side, 1)
    closed = _closed(state, number, side)
    compute, communication = _offers(state, number, side, 0, closed), _offers(state, number, side, 1, closed)
    if not (compute or communication):
        return False
    clock, server = state.clock[0], state.servers[2 * number + side]
    if state.rings[_ring(number, side, PATHS + 1)].count == 0:
        server.passed_over = 0
    occupancy = state.rings[_ring(number, side, READS)].count + state.rings[_ring(number, side, WRITES)].count
    place = state.controllers[number].table * 4 + 2 * compute + communication
    place = (place * clock.table_entries + occupancy) * 2 + server.last_stream
    stream = state.tables[place * clock.table_counts + server.passed_over]
    stream = note_turn(server, stream, communication, clock.table_counts - 1)
    if stream < 0:
        return False
    head = state.queue[_first(state, number, side, PATHS + stream)]
    lane, nbytes = head.lane, head.nbytes
    _drop(state, number, side, PATHS + stream)
    _append(state, number, side, lane & 1, lane, nbytes)
    return True


@part
def _let_in(state: State, number: int, side: int, now: int) -> None:
    """Let in what may enter by ``now``: one request a cycle."""
    server, rules = state.servers[2 * number + side], state.service[number]
    while server.entry <= now:
        if not _let_one_in(state, number, side):
            server.entry = now
            return
        server.entry += rules.cycle


@part
def _turn(state: State, number: int, side: int) -> None:
    """Decide whether reads or writes are served."""
    server, rules = state.servers[2 * number + side], state.service[number]
    reads = state.rings[_ring(number, side, READS)].count
    writes = state.rings[_ring(number, side, WRITES)].count
    if server.turn == WRITES:
        if reads > 0 and writes < rules.drain_to:
            server.turn = READS
            server.reads_in_turn = 0
    elif writes >= rules.drain_from or reads == 0:
        server.turn = WRITES


@part
def _ready(state: State, number: int, side: int, start: int) -> bool:
    """Let in and turn at ``start``; return whether anything is to be served then."""
    _let_in(state, number, side, start)
    _turn(state, number, side)
    turn = state.servers[2 * number + side].turn
    return bool(state.rings[_ring(number, side, turn)].count > 0)


@part
def _waits(state: State, number: int, side: int) -> bool:
    """Whether anything is on its way to the queues."""
    for stream in range(2):
        if state.rings[_ring(number, side, PATHS + stream)].count > 0:
            return True
        if has_next(state, number, side, 2 * stream) or has_next(state, number, side, 2 * stream + 1):
            return True
    return False


@part
def _rest(state: State, number: int, side: int, now: int) -> None:
    """Where nothing is on its way to the queues when something comes, that enters no earlier."""
    if not _waits(state, number, side):
        server = state.servers[2 * number + side]
        server.entry = max(server.entry, now)


@part
def _refresh(state: State, number: int, side: int, start: int) -> bool:
    """Refresh if that is due by ``start``; return whether it was."""
    server, times = state.servers[2 * number + side], state.service[number]
    if server.refresh_due > start:
        return False
    server.free_at = max(server.free_at, server.refresh_due) + times.refresh
    server.refresh_due += times.refresh_after
    return True


@part
def _serve_one(state: State, number: int, side: int, start: int) -> int:
    """Serve the oldest request of the queue at turn; return the lane of the burst this completes, or -1."""
    server, times = state.servers[2 * number + side], state.service[number]
    queue = server.turn
    request = state.queue[_first(state, number, side, queue)]
    lane, nbytes = request.lane, request.nbytes
    _drop(state, number, side, queue)
    full = times.read
    if queue == WRITES:
        full = times.update if is_update(state, number, side, lane) else times.write
    else:
        server.reads_in_turn += 1
    cost = -(-full * nbytes // times.granule)
    if server.last_lane >= 0 and (server.last_lane & 1) != queue:
        server.bus_turnarounds += 1
        switch = times.to_write if queue == WRITES else times.to_read
        cost += max(switch - (start - server.free_at), 0)  # the bus turns while the channel idles
    server.free_at = start + cost
    server.busy += cost
    server.last_lane = lane
    row = state.rings[_ring(number, side, queue)]
    row.last += 1
    if served(state, number, side, lane, nbytes) >= 0:
        _note_late(state, number, side, lane)
    return int(queue)


@part
def _late(state: State, number: int, side: int, queue: int, place: int) -> int:
    """Row of a late burst."""
    row = state.rings[_ring(number, side, LATE + queue)]
    return int((2 * number + side) * state.clock[0].late_room + row.start + (row.first + place) % row.entries)


@part
def _note_late(state: State, number: int, side: int, lane: int) -> None:
    """Keep a burst whose requests are served in order until those that pass its last one are, too."""
    queue = lane & 1
    number_in_lane = state.queue_lanes[place_of(number, side, lane)].serving - 1
    burst = state.bursts[burst_at(state, number, lane, number_in_lane)]
    if burst.kind == 0:
        return
    ring = state.rings[_ring(number, side, LATE + queue)]
    late = state.late[_late(state, number, side, queue, ring.count)]
    ring.count += 1
    late.lane = lane
    late.number = number_in_lane
    times = state.service[number]
    late.end = state.rings[_ring(number, side, queue)].last + (times.late_writes if queue else times.late_reads)
    late.kind = burst.kind
    late.a = burst.a
    late.b = burst.b


@part
def _next_done(state: State, number: int, side: int, queue: int) -> int:
    """Row of the next late burst of a queue that is complete now, or -1; it is kept no longer."""
    ring, waiting = state.rings[_ring(number, side, LATE + queue)], state.rings[_ring(number, side, queue)]
    if ring.count == 0:
        return -1
    place = _late(state, number, side, queue, 0)
    if waiting.count > 0 and state.late[place].end > waiting.last:
        return -1
    _drop(state, number, side, LATE + queue)
    return place


@part
def _look_ahead(state: State, number: int) -> None:
    """Make the side ``AHEAD`` what the side ``NOW`` is, the bytes served aside."""
    look_ahead(state, number)
    entries = state.clock[0].entries
    for ring in range(4):
        row = state.rings[_ring(number, NOW, ring)]
        for waiting in range(row.count):
            entry = row.start + (row.first + waiting) % row.entries
            state.queue[(2 * number + AHEAD) * entries + entry] = state.queue[(2 * number + NOW) * entries + entry]
        state.rings[_ring(number, AHEAD, ring)] = row
    for queue in range(2):
        row = state.rings[_ring(number, NOW, LATE + queue)]
        state.rings[_ring(number, AHEAD, LATE + queue)] = row
        for waiting in range(row.count):
            state.late[_late(state, number, AHEAD, queue, waiting)] = state.late[
                _late(state, number, NOW, queue, waiting)
            ]


@part
def _serve(state: State, number: int, side: int, until: int, only_first: bool) -> int:
    """Serve the requests that start before ``until``; return how many awaited bursts completed.

    ``only_first``: stop at the first of them. Nothing that arrives later can change what starts before ``until``.
    """
    server, times, count = state.servers[2 * number + side], state.service[number], 0
    while True:
        start = max(server.free_at, server.clock)
        if start >= until:
            return count
        if _refresh(state, number, side, start):
            continue
        if not _ready(state, number, side, start):
            if not _waits(state, number, side):
                return count
            server.clock = max(start, server.entry)
            continue
        queue = _serve_one(state, number, side, start)
        late = _next_done(state, number, side, queue)
        while late >= 0:
            done = state.completed[4 * number * state.clock[0].ring + count]
            state.completed[4 * number * state.clock[0].ring + count] = state.late[late]
            done.end = server.free_at + (times.write_after if queue else times.read_after)
            count += 1
            late = _next_done(state, number, side, queue)
        if only_first and count:
            return count


@part
def serve(state: State, number: int, now: int) -> int:
    """Serve the requests that start before ``now``; return how many awaited bursts completed."""
    return _serve(state, number, NOW, now, False)


@part
def admit_and_predict(state: State, number: int, now: int) -> int:
    """Let in what was pushed, at ``now``; the end of the next awaited burst if nothing more comes, or 0."""
    _rest(state, number, NOW, now)
    extend(state, number, now)
    _look_ahead(state, number)
    found = _serve(state, number, AHEAD, FOREVER, True)
    return int(state.servers[2 * number + AHEAD].free_at) if found else 0
