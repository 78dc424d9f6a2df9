"""What a switch can do beside passing messages on."""

from typing import Annotated

from pydantic import Field, model_validator

from t3sim.config import PositiveBytesPerSecond, Spec


class SwitchSpec(Spec):
    """A switch; by default it only passes on what comes."""

    reduces: bool = False
    """Whether it adds up messages on their way."""
    multicasts: bool = False
    """Whether it multiplies messages with several destinations."""
    adder_rate: PositiveBytesPerSecond | None = None
    """Bytes of contributions that each output's adder takes in a second; for a switch that reduces."""
    entries: Annotated[int, Field(gt=0)] | None = None
    """Sums that each output can have under way; for a switch that reduces."""

    @model_validator(mode="after")
    def _adder_is_complete(self) -> "SwitchSpec":
        if self.reduces and (self.adder_rate is None or self.entries is None):
            raise ValueError("a switch that reduces needs adder_rate and entries")
        return self
