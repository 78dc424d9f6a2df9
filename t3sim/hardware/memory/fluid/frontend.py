"""What stands before the fluid channel, compiled: lanes of bursts, arbitration and the DRAM queue.

Bursts wait in four *lanes*, first in, first out: (stream, read or write). Inside a stream reads pass writes, as in
controllers with a separate write queue. While the DRAM queue has room, the arbitration table names the stream whose
next request enters it. A request is one entry of the queue: one access on every channel at once (see ``channel``).

Everything that changes is there twice: side ``NOW`` is what is, side ``AHEAD`` a copy that runs ahead to the next
completion and is thrown away when something arrives earlier.
"""

from typing import NamedTuple

import numpy as np

from t3sim.compiled import IntArray, Records, compiled, copy_records, record_of, record_type
from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.memory.turns import NO_TURNS, TURNS, next_stream


class ServiceTimes(NamedTuple):
    """What serving takes; times in fs."""

    granule: int
    """Bytes of an entry of the DRAM queue."""
    access: int
    """Service of an entry of that many bytes."""
    update: int
    """The same, of a near-memory update."""
    turnaround: int
    """Added when the bus changes between reading and writing."""
    stream_switch: int
    """Added when the stream changes and the direction does not."""


BURST = record_type("nbytes", "cause", "is_update", "notify")
"""One burst as it was pushed."""
_BURSTS = 256
_LANE = record_type(
    "head",  # burst being admitted
    "head_left",  # and its bytes left
    "serving",  # burst being served
    "serving_left",  # and its bytes left
    "tail",  # end of the lane
)
_REQUEST = record_type("lane", "nbytes")
COMPLETED = record_type("lane", "number", "end")
COUNTERS = (
    "bus_turnarounds",  # changes of direction, also where an idle channel hides them
    "stream_switches",  # changes of stream without one
)
_SERVER = record_type(
    "free_at",  # when the channel has served all that it took up
    "clock",  # time of the last admission
    "first",  # first entry of the queue
    "count",  # requests in the queue
    "last_lane",  # lane served last, or -1
    "busy",  # time spent serving
    *COUNTERS,
    *TURNS,
)
NOW, AHEAD = range(2)


class State(NamedTuple):
    """What a front end and its channel hold; times in fs, sizes in bytes."""

    times: Records
    """(1,): with the fields of ``ServiceTimes``."""
    bursts: Records
    """(4, ring): by lane, burst n at n modulo ring."""
    completed: Records
    """(4 x ring,): takes the awaited bursts that a call completes."""
    served: IntArray
    """(2, MOST_CAUSES): bytes served, by side and cause; those of ``AHEAD`` mean nothing."""
    lanes: Records
    """(2, 4): by side."""
    queue: Records
    """(2, entries): by side, requests in a ring buffer."""
    server: Records
    """(2,): by side, the channel, and whose turn it was."""


def new_state(queue_entries: int, times: ServiceTimes) -> State:
    """Make an idle front end with an empty queue of ``queue_entries``."""
    server = np.zeros(2, _SERVER)
    server["last_lane"] = -1
    for name, value in zip(TURNS, NO_TURNS, strict=True):
        server[name] = value
    return State(
        times=record_of(times),
        bursts=np.zeros((LANES, _BURSTS), BURST),
        completed=np.zeros(LANES * _BURSTS, COMPLETED),
        served=np.zeros((2, MOST_CAUSES), np.int64),
        lanes=np.zeros((2, LANES), _LANE),
        queue=np.zeros((2, queue_entries), _REQUEST),
        server=server,
    )


@compiled
def look_ahead(state: State) -> None:
    """Make the side ``AHEAD`` what the side ``NOW`` is, the bytes served aside."""
    copy_records(state.lanes[NOW], state.lanes[AHEAD])
    copy_records(state.queue[NOW], state.queue[AHEAD])
    state.server[AHEAD] = state.server[NOW]


@compiled
def has_next(state: State, side: int, lane: int) -> bool:
    """Whether ``lane`` holds a burst that is not admitted in full."""
    return bool(state.lanes[side, lane].head < state.lanes[side, lane].tail)


@compiled
def admit(state: State, side: int, table: IntArray) -> None:
    """Fill the DRAM queue from the lanes for as long as it has room and the policy picks a stream."""
    server, granule = state.server[side], state.times[0].granule
    bursts, entries, ring = state.bursts, state.queue.shape[1], state.bursts.shape[1]
    while server.count < entries:
        compute = has_next(state, side, 0) or has_next(state, side, 1)
        communication = has_next(state, side, 2) or has_next(state, side, 3)
        if not (compute or communication):
            return
        stream = next_stream(table, server, server.count, compute, communication, communication)
        if stream < 0:
            return
        number = 2 * stream if has_next(state, side, 2 * stream) else 2 * stream + 1
        lane, request = state.lanes[side, number], state.queue[side, (server.first + server.count) % entries]
        request.lane = number
        request.nbytes = min(granule, lane.head_left)
        server.count += 1
        lane.head_left -= request.nbytes
        if lane.head_left == 0:
            lane.head += 1
            if has_next(state, side, number):
                lane.head_left = bursts[number, lane.head % ring].nbytes


@compiled
def extend_lanes(state: State, tails: IntArray, now: int) -> None:
    """Make bursts up to ``tails`` (one per lane) visible to arbitration at time ``now``."""
    bursts, ring = state.bursts, state.bursts.shape[1]
    state.server[NOW].clock = now
    for number in range(LANES):
        lane = state.lanes[NOW, number]
        old = lane.tail
        if tails[number] == old:
            continue
        if lane.head == old:
            lane.head_left = bursts[number, old % ring].nbytes
        if lane.serving == old:
            lane.serving_left = bursts[number, old % ring].nbytes
        lane.tail = tails[number]
