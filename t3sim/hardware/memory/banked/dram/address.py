"""Bank and row of an address inside a channel; compiled."""

from typing import NamedTuple

from t3sim.compiled import part
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.mappings import MOST_SLICES, AddressMapping, slices_of

_NOTHING_LEFT = 63
"""Shift after which no bit of an address is left."""


class AddressBits(NamedTuple):
    """A mapping, as compiled code takes it: a field is the XOR of two slices, the second of no bits where one does."""

    group_shift: int
    group_shift_2: int
    group_mask: int
    bank_shift: int
    bank_shift_2: int
    bank_mask: int
    row_shift: int
    banks_per_group: int


def address_bits(mapping: AddressMapping, dram: DramSpec) -> AddressBits:
    """Work out where ``mapping`` has the fields of a channel. Raises ``ValueError`` as ``slices_of`` does."""
    slices = slices_of(mapping, dram)
    (group, group_2), (bank, bank_2) = (
        (*shifts, _NOTHING_LEFT)[:MOST_SLICES] for shifts in (slices.group, slices.bank)
    )
    return AddressBits(
        group_shift=group,
        group_shift_2=group_2,
        group_mask=dram.groups - 1,
        bank_shift=bank,
        bank_shift_2=bank_2,
        bank_mask=dram.banks_per_group - 1,
        row_shift=slices.row,
        banks_per_group=dram.banks_per_group,
    )


@part
def bank_of(bits: AddressBits, address: int) -> int:
    """Bank of an address inside a channel, counted over all bank groups.

    Neighbouring groups are of different pseudo channels: the lowest bits of the group name that.
    """
    group = ((address >> bits.group_shift) ^ (address >> bits.group_shift_2)) & bits.group_mask
    bank = ((address >> bits.bank_shift) ^ (address >> bits.bank_shift_2)) & bits.bank_mask
    return int(group * bits.banks_per_group + bank)


@part
def row_of(bits: AddressBits, address: int) -> int:
    """Row of an address inside a channel."""
    return int(address >> bits.row_shift)
