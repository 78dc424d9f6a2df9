"""Whose turn it is at the DRAM queue: the policy's table applied, and what it looks at kept; compiled."""

import numpy as np

from t3sim.hardware.memory.access import Stream
from t3sim.kernels import IntArray, kernel

_LAST_STREAM, _PASSED_OVER = range(2)


def new_turns() -> IntArray:
    """Make the record of turns, shape (2,): the last stream admitted, compute requests admitted past communication."""
    return np.array([Stream.COMMUNICATION, 0], np.int64)


@kernel
def next_stream(
    table: IntArray, turns: IntArray, occupancy: int, compute: bool, communication: bool, communication_waits: bool
) -> int:
    """Pick the stream whose next request enters the queue, and note it; negative to hold both.

    ``compute``, ``communication``: whether the stream offers a request that there is room for. What waits without room
    is not passed over, but keeps its count.
    """
    if not communication_waits:
        turns[_PASSED_OVER] = 0
    stream = table[int(compute), int(communication), occupancy, turns[_LAST_STREAM], turns[_PASSED_OVER]]
    if stream < 0:
        return int(stream)
    turns[_LAST_STREAM] = stream
    if stream:
        turns[_PASSED_OVER] = 0
    elif communication:
        turns[_PASSED_OVER] = min(turns[_PASSED_OVER] + 1, table.shape[4] - 1)
    return int(stream)
