"""The in-order memory as a system describes it: one server with a rate, a latency, an update cost and a turnaround.

All channels share the load evenly (addresses interleave), so one representative channel stands for all: an entry of
its queue is one access on each channel, ``channels x access`` bytes of traffic. It is served in

    bytes / (bandwidth x efficiency) x (update_cost for an update, else 1)
    + turnaround where the bus changes between reading and writing,
    + stream_switch where the stream changes without that (other rows).

Requests leave the queue in the order they entered. Reads reach the GPU ``read_latency`` after they are served.
"""

import importlib
import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.hardware.clock import HORIZON_FS
from t3sim.hardware.memory.fluid.tables import FrontEnd, Queues, ServiceTimes, new_front_end
from t3sim.hardware.memory.model import KIND
from t3sim.registry import register
from t3sim.units import FS_PER_S

LEAST_EFFICIENCY = 0.001
MIN_RATE = 10**6  # B/s; far below any hardware, and keeps times within 64 bits


@register(KIND, "in-order")
class InOrderSpec(Spec):
    """DRAM of one GPU as one server behind one queue, in order, with numbers of its own."""

    model: Literal["in-order"] = "in-order"
    bandwidth: Annotated[PositiveBytesPerSecond, Field(ge=MIN_RATE)]
    """Peak of all channels together."""
    efficiency: Annotated[float, Field(ge=LEAST_EFFICIENCY, le=1)]
    """Share of the peak that long runs of one access type reach (refresh, row changes)."""
    channels: Annotated[int, Field(gt=0)]
    """Channels of the GPU; one stands for all."""
    access: PositiveBytes
    """Bytes of one DRAM access on one channel."""
    queue_entries: Annotated[int, Field(gt=0, le=1024)]
    """Requests in the DRAM queue of a channel."""
    read_latency: Femtoseconds
    """From a read's service in the DRAM to its data at the reader."""
    update_cost: Annotated[float, Field(ge=1, le=64)]
    """Service time of a near-memory update relative to a plain access."""
    turnaround: Femtoseconds
    """Added, per access, when the bus changes between reading and writing."""
    stream_switch: Femtoseconds
    """Added, per access, when the stream changes and the direction does not."""

    @model_validator(mode="after")
    def _times_fit_64_bits(self) -> "InOrderSpec":
        slowest = self.granule * FS_PER_S * self.update_cost / (self.bandwidth * self.efficiency)
        if slowest * self.granule > HORIZON_FS:
            raise ValueError(f"channels x access = {self.granule} B is too coarse to be served at {self.bandwidth} B/s")
        # With its compiled functions: where no system has such a memory, none of them is to be compiled.
        importlib.import_module("t3sim.hardware.memory.fluid.in_order_engine")
        return self

    @property
    def granule(self) -> int:
        """Bytes of traffic that one queue entry stands for."""
        return self.channels * self.access

    @property
    def peak_bytes_per_s(self) -> int:
        """Peak bandwidth."""
        return self.bandwidth

    @property
    def load_latency(self) -> int:
        """Of one read on an idle memory, but for its service, fs."""
        return self.read_latency

    @property
    def uses_places(self) -> bool:
        """Whether it asks where bytes lie."""
        return False

    @property
    def can_resume(self) -> bool:
        """Whether what it has served is told in few words."""
        return True

    def service_times(self) -> ServiceTimes:
        """Say in whole fs what serving takes, rounded up: never faster than specified."""
        access = math.ceil(self.granule * FS_PER_S / (self.bandwidth * self.efficiency))
        return ServiceTimes(
            granule=self.granule,
            read=access,
            write=access,
            update=math.ceil(access * self.update_cost),
            to_read=self.turnaround,
            to_write=self.turnaround,
            stream_switch=self.stream_switch,
        )

    def channel(self) -> FrontEnd:
        """Build what the data plane serves."""
        return new_front_end(Queues(in_order=1, read_entries=self.queue_entries), self.service_times())

    def without_channels(self, lost: int) -> Self:
        """Give the same memory with a rate and granule of the channels that are left."""
        left = self.channels - lost
        if left < 1:
            raise ValueError(f"none of {self.channels} channels is left")
        return self.model_copy(update={"channels": left, "bandwidth": self.bandwidth * left // self.channels})
