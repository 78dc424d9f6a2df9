"""Memory controller front end, compiled: input lanes, arbitration and the DRAM queue, shared by all channel models.

Bursts wait in four *lanes*, first in, first out: (stream, read or write). Inside a stream reads pass writes, as in
controllers with a separate write queue. While the DRAM queue has room, the arbitration table names the stream whose
next request enters it. A request is one entry of the queue: one access on every channel at once (see ``fluid``).

State lives in a few small arrays so that a channel model can copy it, run ahead to its next completion, and throw
the copy away when something arrives earlier.
"""

from typing import NamedTuple

import numpy as np

from t3sim.hardware.memory.access import MOST_CAUSES
from t3sim.hardware.memory.turns import new_turns, next_stream
from t3sim.kernels import IntArray, copy_items, kernel

LANES = 4
# Columns of State.lanes.
HEAD, HEAD_LEFT, SERVING, SERVING_LEFT, TAIL = range(5)
# Columns of State.queue.
LANE, BYTES = range(2)
# Entries of State.scalars.
FREE_AT, CLOCK, FIRST, COUNT, LAST_LANE, BUSY = range(6)
# Columns of the burst rings.
SIZE, CAUSE, IS_UPDATE, NOTIFY = range(4)


class State(NamedTuple):
    """All that changes as the memory serves requests; times in fs, sizes in bytes."""

    lanes: IntArray
    """(4, 5): burst being admitted and its bytes left, burst being served and its bytes left, end of the lane."""
    queue: IntArray
    """(entries, 2): lane and bytes of each request, a ring buffer."""
    scalars: IntArray
    """Channel free at, time of the last admission, first entry and count of the queue, last lane, busy time."""
    turns: IntArray
    """See ``turns``."""
    served: IntArray
    """Bytes served by cause."""


def new_state(queue_entries: int) -> State:
    """Make an idle front end with an empty queue of ``queue_entries``."""
    scalars = np.zeros(6, np.int64)
    scalars[LAST_LANE] = -1
    return State(
        np.zeros((LANES, 5), np.int64),
        np.zeros((queue_entries, 2), np.int64),
        scalars,
        new_turns(),
        np.zeros(MOST_CAUSES, np.int64),
    )


@kernel
def copy_state(source: State, target: State) -> None:
    """Copy ``source`` into ``target``."""
    copy_items(source.lanes, target.lanes)
    copy_items(source.queue, target.queue)
    copy_items(source.scalars, target.scalars)
    copy_items(source.turns, target.turns)
    copy_items(source.served, target.served)


@kernel
def has_next(state: State, lane: int) -> bool:
    """Whether ``lane`` holds a burst that is not admitted in full."""
    return bool(state.lanes[lane, HEAD] < state.lanes[lane, TAIL])


@kernel
def admit(state: State, bursts: IntArray, table: IntArray, granule: int) -> None:
    """Fill the DRAM queue from the lanes for as long as it has room and the policy picks a stream."""
    lanes, queue, scalars = state.lanes, state.queue, state.scalars
    entries, ring = queue.shape[0], bursts.shape[1]
    while scalars[COUNT] < entries:
        compute = has_next(state, 0) or has_next(state, 1)
        communication = has_next(state, 2) or has_next(state, 3)
        if not (compute or communication):
            return
        stream = next_stream(table, state.turns, scalars[COUNT], compute, communication, communication)
        if stream < 0:
            return
        lane = 2 * stream if has_next(state, 2 * stream) else 2 * stream + 1
        size = min(granule, lanes[lane, HEAD_LEFT])
        slot = (scalars[FIRST] + scalars[COUNT]) % entries
        queue[slot, LANE] = lane
        queue[slot, BYTES] = size
        scalars[COUNT] += 1
        lanes[lane, HEAD_LEFT] -= size
        if lanes[lane, HEAD_LEFT] == 0:
            lanes[lane, HEAD] += 1
            if has_next(state, lane):
                lanes[lane, HEAD_LEFT] = bursts[lane, lanes[lane, HEAD] % ring, SIZE]


@kernel
def extend_lanes(state: State, bursts: IntArray, tails: IntArray, now: int) -> None:
    """Make bursts up to ``tails`` (one per lane) visible to arbitration at time ``now``."""
    lanes, ring = state.lanes, bursts.shape[1]
    state.scalars[CLOCK] = now
    for lane in range(lanes.shape[0]):
        old = lanes[lane, TAIL]
        if tails[lane] == old:
            continue
        if lanes[lane, HEAD] == old:
            lanes[lane, HEAD_LEFT] = bursts[lane, old % ring, SIZE]
        if lanes[lane, SERVING] == old:
            lanes[lane, SERVING_LEFT] = bursts[lane, old % ring, SIZE]
        lanes[lane, TAIL] = tails[lane]
