"""The fluid memory as a system describes it: the banked memory that it follows, without its banks.

Streams, paths, queues, watermarks and arbitration are those of the banked memory; behind them is one server, which
takes the mean time of an access of each kind, and longer where the bus turns or a refresh is due. These times are
derived from that memory (see ``costs``): there is no number to choose.
"""

import importlib
from typing import Literal, Self

from pydantic import model_validator

from t3sim.config import Spec
from t3sim.hardware.memory.banked.spec import BankedSpec
from t3sim.hardware.memory.fluid.tables import FOREVER, FrontEnd, Queues, ServiceTimes, new_front_end
from t3sim.hardware.memory.model import KIND
from t3sim.registry import register
from t3sim.units import FS_PER_S


@register(KIND, "fluid")
class FluidSpec(Spec):
    """DRAM of one GPU as one server behind the queues of a banked memory, whose costs are derived from it."""

    model: Literal["fluid"] = "fluid"
    memory: BankedSpec
    """The banked memory that it follows."""

    @model_validator(mode="after")
    def _is_compiled(self) -> "FluidSpec":
        # With its compiled functions: where no system has such a memory, none of them is to be compiled.
        importlib.import_module("t3sim.hardware.memory.fluid.engine")
        return self

    @property
    def queue_entries(self) -> int:
        """Requests in the read and the write queue of a channel."""
        return self.memory.queue_entries

    @property
    def read_latency(self) -> int:
        """From a read's last data on the DRAM's bus to the reader, fs."""
        return self.memory.read_latency

    @property
    def load_latency(self) -> int:
        """Of one read on an idle memory, from controller to reader, fs."""
        return self.memory.load_latency

    @property
    def peak_bytes_per_s(self) -> int:
        """Data bus rate of all channels."""
        return self.memory.peak_bytes_per_s

    @property
    def granule(self) -> int:
        """Bytes of one access on every channel."""
        return self.memory.granule

    @property
    def uses_places(self) -> bool:
        """Whether it asks where bytes lie."""
        return False

    @property
    def can_resume(self) -> bool:
        """Whether what it has served is told in few words: refreshes come at fixed times."""
        return False

    def service_times(self) -> ServiceTimes:
        """Derive in whole fs what serving takes."""
        # Only when a memory is built: it runs the banked one, with its compiled functions.
        costs = importlib.import_module("t3sim.hardware.memory.fluid.costs").costs_of(self.memory)
        cycle = FS_PER_S / self.memory.dram.clock
        return ServiceTimes(
            granule=self.granule,
            read=round(costs.read * cycle),
            write=round(costs.write * cycle),
            update=round(costs.update * cycle),
            to_read=round(costs.turn * cycle),
            to_write=round(costs.turn * cycle),
            read_after=round(costs.read_after * cycle),
            write_after=round(costs.write_after * cycle),
            refresh=round(costs.refresh * cycle),
            refresh_after=round(self.memory.dram.nREFI * cycle) if self.memory.refresh else FOREVER,
            late_reads=round(costs.late_reads),
            late_writes=round(costs.late_writes),
        )

    def queues(self) -> Queues:
        """Say what stands before the server."""
        control = self.memory.control()
        return Queues(
            in_order=0,
            read_entries=control.read_entries,
            write_entries=control.write_entries,
            path_entries=self.memory.path_entries,
            cycle=FS_PER_S // self.memory.dram.clock,
            drain_from=control.drain_from,
            drain_to=control.drain_to,
            least_reads=self.memory.least_reads,
        )

    def channel(self) -> FrontEnd:
        """Build what the data plane serves."""
        return new_front_end(self.queues(), self.service_times())

    def without_channels(self, lost: int) -> Self:
        """Give the same memory with addresses interleaved over the channels that are left."""
        return self.model_copy(update={"memory": self.memory.without_channels(lost)})
