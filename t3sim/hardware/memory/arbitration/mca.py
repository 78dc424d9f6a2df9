"""MCA: T3's communication-aware memory-controller arbitration (ASPLOS 2024, section 4.5)."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from t3sim.config import Spec
from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.arbitration import KIND, ArbitrationPolicy, QueueView
from t3sim.registry import register


class Threshold(Spec):
    """One step of the threshold choice: from ``intensity`` on, communication is admitted below ``occupancy``."""

    intensity: Annotated[float, Field(ge=0, le=1)]
    """Share of the DRAM bandwidth that the kernel's first stage used."""
    occupancy: Annotated[int, Field(gt=0)] | None
    """Entries of the DRAM queue; none: no limit."""


@register(KIND, "mca")
class Mca(ArbitrationPolicy):
    """Compute first; communication enters only below an occupancy threshold; a starvation limit bounds its wait."""

    policy: Literal["mca"] = "mca"

    thresholds: tuple[Threshold, ...] = ()
    """Choices for ``tuned``, by falling intensity; the last one must apply from intensity 0."""
    starvation_limit: Annotated[int, Field(gt=0, le=256)] = 64
    """Compute requests that may pass waiting communication before one of its requests goes first."""
    occupancy: Annotated[int, Field(gt=0)] | None = None
    """Threshold in force; none: no limit. Until a kernel's first stage is measured, the strictest one."""

    @model_validator(mode="after")
    def _ordered(self) -> "Mca":
        steps = [step.intensity for step in self.thresholds]
        if steps and (steps != sorted(steps, reverse=True) or steps[-1] != 0.0):
            raise ValueError(f"thresholds must fall in intensity and end at 0, not {steps}")
        return self

    def passed_over_limit(self) -> int:
        """Count up to the starvation limit."""
        return self.starvation_limit

    def pick(self, view: QueueView) -> Stream | None:
        """Choose compute unless communication has starved; hold communication at or above the threshold."""
        if view.communication_waiting and view.passed_over >= self.starvation_limit:
            return Stream.COMMUNICATION
        if view.compute_waiting:
            return Stream.COMPUTE
        if self.occupancy is not None and view.occupancy >= self.occupancy:
            return None
        return Stream.COMMUNICATION

    def tuned(self, intensity: float) -> "Mca":
        """Take the threshold of the highest intensity step that ``intensity`` reaches."""
        for step in self.thresholds:
            if intensity >= step.intensity:
                return self.model_copy(update={"occupancy": step.occupancy})
        return self
