"""Compute-first arbitration: strict priority, with no limit on what communication may put into the queue."""

from typing import Literal

from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.arbitration import KIND, ArbitrationPolicy, QueueView
from t3sim.registry import register


@register(KIND, "compute-first")
class ComputeFirst(ArbitrationPolicy):
    """Admit compute whenever it waits; admit communication only when no compute request waits."""

    policy: Literal["compute-first"] = "compute-first"

    def pick(self, view: QueueView) -> Stream | None:
        """Choose compute if it waits."""
        return Stream.COMPUTE if view.compute_waiting else Stream.COMMUNICATION
