"""The fluid channel and what stands before it, compiled: lanes of bursts, arbitration, queues and one server.

Bursts wait in four *lanes*, first in, first out: (stream, read or write). From there requests enter the channel by one
of two disciplines: one queue in order (``in_order``), or reads and writes in queues of their own (``two_queues``). A
request is one access on every channel at once. The channel is one server; what it is to take is in ``spec``.

``number``: of the controller; ``side``: what is, or what may come (see ``tables``).
"""

from typing import Final

import numpy as np

from t3sim.compiled import part
from t3sim.hardware.memory.fluid import in_order, two_queues
from t3sim.hardware.memory.fluid.lanes import burst_at, extend, place_of
from t3sim.hardware.memory.fluid.tables import AHEAD, NOW
from t3sim.hardware.plane.state import State

_FOREVER: Final = int(np.iinfo(np.int64).max)


@part
def _look_ahead(state: State, number: int) -> None:
    """Make the side ``AHEAD`` what the side ``NOW`` is, the bytes served aside."""
    for lane in range(4):
        state.queue_lanes[place_of(number, AHEAD, lane)] = state.queue_lanes[place_of(number, NOW, lane)]
    if state.service[number].in_order:
        in_order.look_ahead(state, number, AHEAD, NOW)
    else:
        two_queues.look_ahead(state, number, AHEAD, NOW)
    state.servers[2 * number + AHEAD] = state.servers[2 * number + NOW]


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
def _serve_in_order(state: State, number: int, side: int, until: int, only_first: bool) -> int:
    server, count = state.servers[2 * number + side], 0
    while server.count > 0:
        start = max(server.free_at, server.clock)
        if start >= until:
            break
        lane = in_order.serve_one(state, number, side, start)
        if lane >= 0:
            count = _complete(state, number, side, lane, count)
            if only_first and count:
                break
    return count


@part
def _serve_two_queues(state: State, number: int, side: int, until: int, only_first: bool) -> int:
    server, times, count = state.servers[2 * number + side], state.service[number], 0
    while True:
        start = max(server.free_at, server.clock)
        if start >= until:
            return count
        if two_queues.refresh(state, number, side, start):
            continue
        if not two_queues.ready(state, number, side, start):
            if not two_queues.waits(state, number, side):
                return count
            server.clock = max(start, server.entry)
            continue
        queue = two_queues.serve_one(state, number, side, start)
        late = two_queues.next_done(state, number, side, queue)
        while late >= 0:
            done = state.completed[4 * number * state.clock[0].ring + count]
            state.completed[4 * number * state.clock[0].ring + count] = state.late[late]
            done.end = server.free_at + (times.write_after if queue else times.read_after)
            count += 1
            late = two_queues.next_done(state, number, side, queue)
        if only_first and count:
            return count


@part
def serve(state: State, number: int, side: int, until: int, only_first: bool) -> int:
    """Serve the requests that start before ``until``; return how many awaited bursts completed.

    ``only_first``: stop at the first of them. Nothing that arrives later can change what starts before ``until``.
    """
    if state.service[number].in_order:
        return _serve_in_order(state, number, side, until, only_first)
    return _serve_two_queues(state, number, side, until, only_first)


@part
def admit_and_predict(state: State, number: int, now: int) -> int:
    """Let in what was pushed, at ``now``; the end of the next awaited burst if nothing more comes, or 0."""
    if not state.service[number].in_order:
        two_queues.rest(state, number, NOW, now)
    extend(state, number, now)
    if state.service[number].in_order:
        in_order.admit(state, number, NOW)
    _look_ahead(state, number)
    found = serve(state, number, AHEAD, _FOREVER, True)
    return int(state.servers[2 * number + AHEAD].free_at) if found else 0
