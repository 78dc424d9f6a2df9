"""Whose turn it is at the DRAM queue: the policy's table applied, and what it looks at kept; compiled.

Shared by the memory models.
"""

from typing import Final

from t3sim.compiled import Record, part
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
