"""Whose turn it is at the DRAM queue: the policy's table applied, and what it looks at kept; compiled.

Shared by the memory models: each asks here which stream's next request enters.
"""

from typing import Final

from t3sim.compiled import IntArray, Record, part
from t3sim.hardware.memory.access import Stream

TURNS: Final = (
    "last_stream",  # admitted last
    "passed_over",  # compute requests admitted past waiting communication, as far as the policy counts
)
"""Fields of the record in which a model keeps what the policy looks at."""
NO_TURNS: Final = (int(Stream.COMMUNICATION), 0)
"""Their values before anything was admitted."""


@part
def note_turn(turn: Record, stream: int, communication: bool, limit: int) -> int:
    """Note whose turn it is, and how often compute went before communication, up to ``limit``; return the stream."""
    if stream < 0:
        return int(stream)
    turn.last_stream = stream
    if stream:
        turn.passed_over = 0
    elif communication:
        turn.passed_over = min(turn.passed_over + 1, limit)
    return int(stream)


@part
def next_stream(
    table: IntArray, turn: Record, occupancy: int, compute: bool, communication: bool, communication_waits: bool
) -> int:
    """Pick the stream whose next request enters the queue, and note it in ``turn``; negative to hold both.

    ``compute``, ``communication``: whether the stream offers a request that there is room for. What waits without room
    is not passed over, but keeps its count.
    """
    if not communication_waits:
        turn.passed_over = 0
    stream = table[int(compute), int(communication), occupancy, turn.last_stream, turn.passed_over]
    return note_turn(turn, stream, communication, table.shape[4] - 1)
