"""What stands before the fluid channel, compiled: lanes of bursts, arbitration and the DRAM queue.

Bursts wait in four *lanes*, first in, first out: (stream, read or write). Inside a stream reads pass writes, as in
controllers with a separate write queue. While the DRAM queue has room, the arbitration table names the stream whose
next request enters it. A request is one entry of the queue: one access on every channel at once (see ``channel``).

State lives in a few small arrays so that the channel can copy it, run ahead to its next completion, and throw the copy
away when something arrives earlier.
"""

from typing import NamedTuple

import numpy as np

from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.memory.turns import NO_TURNS, TURNS, next_stream
from t3sim.kernels import IntArray, Records, copy_records, kernel, record_type


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
    *ServiceTimes._fields,
)


class State(NamedTuple):
    """All that changes as the memory serves requests, and what it was given; times in fs, sizes in bytes."""

    bursts: Records
    """(4, ring): by lane, burst n at n modulo ring."""
    completed: Records
    """(4 x ring,): takes the awaited bursts that a call completes."""
    lanes: Records
    """(4,)"""
    queue: Records
    """(entries,): requests, a ring buffer."""
    server: Records
    """(1,): the channel, with how fast it is and whose turn it was."""
    served: IntArray
    """(MOST_CAUSES,): bytes served by cause; what runs ahead does not need it."""


def new_state(queue_entries: int, times: ServiceTimes) -> State:
    """Make an idle front end with an empty queue of ``queue_entries``."""
    server = np.zeros(1, _SERVER)
    server["last_lane"] = -1
    for name, value in zip((*TURNS, *times._fields), (*NO_TURNS, *times), strict=True):
        server[name] = value
    return State(
        bursts=np.zeros((LANES, _BURSTS), BURST),
        completed=np.zeros(LANES * _BURSTS, COMPLETED),
        lanes=np.zeros(LANES, _LANE),
        queue=np.zeros(queue_entries, _REQUEST),
        server=server,
        served=np.zeros(MOST_CAUSES, np.int64),
    )


@kernel
def copy_state(source: State, target: State) -> None:
    """Copy all that changes and decides what comes next into ``target``: not the bytes served."""
    copy_records(source.lanes, target.lanes)
    copy_records(source.queue, target.queue)
    copy_records(source.server, target.server)


@kernel
def has_next(state: State, lane: int) -> bool:
    """Whether ``lane`` holds a burst that is not admitted in full."""
    return bool(state.lanes[lane].head < state.lanes[lane].tail)


@kernel
def admit(state: State, table: IntArray) -> None:
    """Fill the DRAM queue from the lanes for as long as it has room and the policy picks a stream."""
    server = state.server[0]
    bursts, entries, ring = state.bursts, state.queue.shape[0], state.bursts.shape[1]
    while server.count < entries:
        compute = has_next(state, 0) or has_next(state, 1)
        communication = has_next(state, 2) or has_next(state, 3)
        if not (compute or communication):
            return
        stream = next_stream(table, server, server.count, compute, communication, communication)
        if stream < 0:
            return
        number = 2 * stream if has_next(state, 2 * stream) else 2 * stream + 1
        lane, request = state.lanes[number], state.queue[(server.first + server.count) % entries]
        request.lane = number
        request.nbytes = min(server.granule, lane.head_left)
        server.count += 1
        lane.head_left -= request.nbytes
        if lane.head_left == 0:
            lane.head += 1
            if has_next(state, number):
                lane.head_left = bursts[number, lane.head % ring].nbytes


@kernel
def extend_lanes(state: State, tails: IntArray, now: int) -> None:
    """Make bursts up to ``tails`` (one per lane) visible to arbitration at time ``now``."""
    bursts, ring = state.bursts, state.bursts.shape[1]
    state.server[0].clock = now
    for number in range(LANES):
        lane = state.lanes[number]
        old = lane.tail
        if tails[number] == old:
            continue
        if lane.head == old:
            lane.head_left = bursts[number, old % ring].nbytes
        if lane.serving == old:
            lane.serving_left = bursts[number, old % ring].nbytes
        lane.tail = tails[number]
