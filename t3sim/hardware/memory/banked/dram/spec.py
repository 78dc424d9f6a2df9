"""What a DRAM channel is made of and how fast: organisation and JEDEC's parameters, in cycles of the command clock."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from t3sim.config import Loaded, PositiveBytes, PositiveHertz, Spec, load
from t3sim.data import drams_dir
from t3sim.units import FS_PER_S

DRAM_FORMAT = "t3sim-dram"
Cycles = Annotated[int, Field(gt=0, le=10**6)]
MOST_BANKS = 64  # a set of banks is the bits of one integer


class DramSpec(Spec):
    """One channel of a DRAM: bank groups and banks, rows, and timings named as JEDEC does (n: in cycles)."""

    name: str
    """Name of the organisation and speed."""
    clock: PositiveHertz
    """Command clock, 1 / tCK."""
    access: PositiveBytes
    """Bytes of one column access: bus width x burst length."""
    pseudo_channels: Annotated[int, Field(gt=0, le=4)] = 1
    """Parts with banks, timings and a data bus of their own that share the channel's queues and command buses."""
    page: PositiveBytes
    """Bytes of a row in one bank of the channel."""
    bank_groups: Annotated[int, Field(gt=0, le=MOST_BANKS)]
    """Bank groups of the channel, or of each pseudo channel."""
    banks_per_group: Annotated[int, Field(gt=0, le=MOST_BANKS)]
    """Banks of each."""
    act_cycles: Annotated[int, Field(gt=0, le=4)]
    """Cycles that an ACT takes on the row command bus; its timings count from the last of them."""
    nBL: Cycles
    """Data bus time of one access."""
    nCL: Cycles
    """RD to its first data."""
    nCWL: Cycles
    """WR to its first data."""
    nRCDRD: Cycles
    """ACT to RD of a bank."""
    nRCDWR: Cycles
    """ACT to WR of a bank."""
    nRP: Cycles
    """PRE to ACT of a bank."""
    nRAS: Cycles
    """ACT to PRE of a bank, at least."""
    nRC: Cycles
    """ACT to ACT of a bank."""
    nRRDS: Cycles
    """ACT to ACT of another bank group."""
    nRRDL: Cycles
    """ACT to ACT in a bank group."""
    nFAW: Cycles
    """Window that holds at most four ACTs."""
    nCCDS: Cycles
    """Column command to column command of another bank group."""
    nCCDL: Cycles
    """Column command to column command in a bank group."""
    nCCDWL: Cycles
    """Like nCCDL after a near-memory update, which keeps its bank group busy for longer than a write."""
    nRTW: Cycles
    """RD to WR."""
    nWR: Cycles
    """Last data written to PRE."""
    nWTRS: Cycles
    """Last data written to RD of another bank group."""
    nWTRL: Cycles
    """Last data written to RD in the bank group."""
    nRTP: Cycles
    """RD to PRE."""
    nRFC: Cycles
    """Refresh to the next command."""
    nREFI: Cycles
    """Refresh to refresh."""

    @model_validator(mode="after")
    def _consistent(self) -> "DramSpec":
        if self.banks > MOST_BANKS:
            raise ValueError(f"{self.groups} x {self.banks_per_group} banks are more than {MOST_BANKS}")
        if self.page % self.access:
            raise ValueError(f"page {self.page} B is no whole number of accesses of {self.access} B")
        if self.nCCDWL < self.nCCDL:
            raise ValueError(f"nCCDWL {self.nCCDWL} is below nCCDL {self.nCCDL}: an update is no faster than a write")
        if self.nREFI <= self.nRFC + self.nRC + self.nRP:
            raise ValueError(f"nREFI {self.nREFI} leaves no time beside a refresh of {self.nRFC}")
        return self

    @property
    def groups(self) -> int:
        """Bank groups of all pseudo channels together."""
        return self.pseudo_channels * self.bank_groups

    @property
    def banks(self) -> int:
        """Banks of the channel."""
        return self.groups * self.banks_per_group

    @property
    def row_miss_fs(self) -> int:
        """From ACT to the last data of a read, fs."""
        return (self.nRCDRD + self.nCL + self.nBL) * FS_PER_S // self.clock

    @property
    def peak_bytes_per_s(self) -> int:
        """Rate of the data buses: on each an access every nBL cycles (or nCCDS, if that is longer)."""
        return self.pseudo_channels * self.access * self.clock // max(self.nBL, self.nCCDS)


def load_dram(ref: str | Path) -> Loaded[DramSpec]:
    """Load a shipped DRAM by name (``hbm2``), or one from a file. Raises ``InputError`` with every mistake in it."""
    return load(DramSpec, ref, folder=drams_dir(), format_name=DRAM_FORMAT)
