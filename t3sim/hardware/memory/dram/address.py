"""Bank and row of an address inside a channel; compiled."""

from t3sim.hardware.memory.dram.mapping import (
    BANK_MASK,
    BANK_SHIFT,
    GROUP_MASK,
    GROUP_SHIFT,
    PER_GROUP,
    ROW_SHIFT,
)
from t3sim.kernels import IntArray, kernel


@kernel
def bank_of(mapping: IntArray, address: int) -> int:
    """Bank of an address inside a channel, counted over all bank groups."""
    group = ((address >> mapping[GROUP_SHIFT]) ^ (address >> mapping[GROUP_SHIFT + 1])) & mapping[GROUP_MASK]
    bank = ((address >> mapping[BANK_SHIFT]) ^ (address >> mapping[BANK_SHIFT + 1])) & mapping[BANK_MASK]
    return int(group * mapping[PER_GROUP] + bank)


@kernel
def row_of(mapping: IntArray, address: int) -> int:
    """Row of an address inside a channel."""
    return int(address >> mapping[ROW_SHIFT])
