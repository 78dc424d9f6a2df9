"""Round-robin arbitration: what T3 does without a communication-aware memory controller."""

from typing import Literal

from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.arbitration import KIND, ArbitrationPolicy, QueueView
from t3sim.registry import register


@register(KIND, "round-robin")
class RoundRobin(ArbitrationPolicy):
    """Alternate between the streams; fall back to the other one when it is a stream's turn and it is empty."""

    policy: Literal["round-robin"] = "round-robin"

    def pick(self, view: QueueView) -> Stream | None:
        """Choose the stream that was not admitted last, if it waits."""
        turn = Stream(1 - view.last)
        return turn if view.waiting(turn) else view.last
