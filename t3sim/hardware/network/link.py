"""A link as a system describes it: its rate each way, its latency and its buffers."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.units import FS_PER_S, ceil_div


class BandwidthCounts(StrEnum):
    """What a quoted link bandwidth counts."""

    PER_DIRECTION = "per_direction"
    BIDIRECTIONAL = "bidirectional"


class LinkSpec(Spec):
    """A connection from one node to another."""

    bandwidth: Annotated[PositiveBytesPerSecond, Field(ge=2 * 10**6)]
    """As quoted; ``direction`` says what it counts."""
    direction: Annotated[BandwidthCounts, Field(strict=False)]
    """``per_direction``: each way; ``bidirectional``: both ways together, so half of it each way."""
    efficiency: Annotated[float, Field(ge=0.01, le=1)] = 1.0
    """Share of the quoted bandwidth that payload reaches: packet headers and flow control take the rest."""
    latency: Femtoseconds
    """From a packet's last byte sent to its arrival."""
    send_buffer: PositiveBytes
    """Bytes accepted that are not on the wire in full."""
    receive_buffer: PositiveBytes
    """Bytes sent that the receiver has not consumed; at least a round trip at full rate."""

    @model_validator(mode="after")
    def _covers_round_trip(self) -> "LinkSpec":
        needed = ceil_div(2 * self.latency * self.bytes_per_s, FS_PER_S)
        if self.receive_buffer < needed:
            raise ValueError(
                f"receive_buffer {self.receive_buffer} B is less than a round trip at full rate ({needed} B): "
                "the link could never reach its bandwidth"
            )
        return self

    @property
    def bytes_per_s(self) -> int:
        """Payload bandwidth of one direction."""
        quoted = self.bandwidth // 2 if self.direction is BandwidthCounts.BIDIRECTIONAL else self.bandwidth
        return int(quoted * self.efficiency)
