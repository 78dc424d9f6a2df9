"""The banked memory as a system describes it: channels in detail (see ``dram``) behind the arbitration of two streams.

Each simulated channel gets the accesses that fall to it, from the addresses that bursts really touch. Addresses
interleave, so all channels see the same load, and by default one of them stands for all: a burst is done when its
accesses on the simulated channels are. A stream's reads pass its writes; writes are drained as ``dram.next_command``
says.
"""

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from t3sim.config import Femtoseconds, PositiveBytes, one_of
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.mappings import KIND as MAPPING
from t3sim.hardware.memory.banked.mappings import AddressMapping, slices_of
from t3sim.hardware.memory.model import KIND, ServedMemory
from t3sim.registry import register

if TYPE_CHECKING:
    MappingSpec = AddressMapping
else:
    MappingSpec = one_of(MAPPING, "mapping")

MOST_CHANNELS = 1024


@register(KIND, "banked")
class BankedSpec(ControlSpec):
    """DRAM of one GPU, bank by bank."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "bandwidth": "it is channels x dram.access x dram.clock / dram.nCCDS",
        "efficiency": "it follows from the timings in dram",
        "turnaround": "it follows from dram.nRTW and dram.nWTRS",
        "update_cost": "it is dram.nCCDWL / dram.nCCDL",
        "queue_entries": "these are read_entries and write_entries",
    }

    model: Literal["banked"] = "banked"
    dram: DramSpec
    """One channel."""
    channels: Annotated[int, Field(gt=0, le=MOST_CHANNELS)]
    """Channels of the GPU."""
    simulated_channels: Annotated[int, Field(gt=0, le=MOST_CHANNELS)]
    """How many are simulated; the rest behaves like them."""
    interleave: PositiveBytes
    """Consecutive bytes on one channel."""
    channel_hash: bool
    """Whether higher address bits rotate the channels."""
    path_entries: Annotated[int, Field(gt=0, le=1024)]
    """Requests of a stream on their way from the LLC and the network to a channel, reads and writes in order."""
    least_reads: Annotated[int, Field(ge=0, le=1024)]
    """Reads that a turn serves, if as many wait, before writes may fill their queue to ``drain_from``."""
    address_mapping: MappingSpec
    """Bank group, bank and row of an address inside a channel."""
    read_latency: Femtoseconds
    """From a read's last data on the DRAM's bus to the reader, and from the reader to the controller."""

    @model_validator(mode="after")
    def _fits_together(self) -> "BankedSpec":
        if self.simulated_channels > self.channels:
            raise ValueError(f"simulated_channels {self.simulated_channels} of {self.channels} channels")
        if self.interleave % self.dram.access:
            raise ValueError(f"interleave {self.interleave} B is no whole number of accesses of {self.dram.access} B")
        slices_of(self.address_mapping, self.dram)
        _implementation()
        return self

    @property
    def queue_entries(self) -> int:
        """Requests in the read and the write queue of a channel."""
        return self.read_entries + self.write_entries

    @property
    def load_latency(self) -> int:
        """Of one read on an idle memory that has to open a row, from controller to reader, fs."""
        return self.read_latency + self.dram.row_miss_fs

    @property
    def peak_bytes_per_s(self) -> int:
        """Data bus rate of all channels."""
        return self.channels * self.dram.peak_bytes_per_s

    @property
    def granule(self) -> int:
        """Bytes of one access on every channel."""
        return self.channels * self.dram.access

    @property
    def uses_places(self) -> bool:
        """Whether it asks where bytes lie."""
        return True

    @property
    def can_resume(self) -> bool:
        """Whether what it has served is told in few words: open rows, and refreshes at fixed times, are not."""
        return False

    def channel(self) -> ServedMemory:
        """Build the channels."""
        channels: ServedMemory = _implementation().BankedMemory(
            self.dram,
            self,
            self.address_mapping,
            channels=self.channels,
            simulated_channels=self.simulated_channels,
            interleave=self.interleave,
            channel_hash=self.channel_hash,
            path_entries=self.path_entries,
            least_reads=self.least_reads,
        )
        return channels

    def without_channels(self, lost: int) -> Self:
        """Give the same memory with addresses interleaved over the channels that are left."""
        left = self.channels - lost
        if left < 1:
            raise ValueError(f"none of {self.channels} channels is left")
        return self.model_copy(update={"channels": left, "simulated_channels": min(self.simulated_channels, left)})


def _implementation() -> ModuleType:
    """Import what serves, with its compiled functions: where no system is banked, none of them is to be compiled."""
    return importlib.import_module("t3sim.hardware.memory.banked.memory")
