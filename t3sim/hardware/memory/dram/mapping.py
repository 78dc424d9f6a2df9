"""Address mapping inside a channel, and of addresses to channels.

A field (bank group, bank) is the XOR of slices of the channel's own address: ``(address >> s1 ^ address >> s2 ...) &
mask``; the row is what is left above. A new mapping is one more class here or in any file that registers it.
"""

from abc import abstractmethod
from typing import Literal

import numpy as np

from t3sim.config import Spec
from t3sim.hardware.memory.dram.timing import DramSpec
from t3sim.kernels import IntArray
from t3sim.registry import register

KIND = "address mapping"


class AddressMapping(Spec):
    """Base of the mappings inside a channel."""

    @abstractmethod
    def slices(self, dram: DramSpec) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """Shifts whose XOR is the bank group, shifts whose XOR is the bank in it, and the shift of the row."""


def _bits(count: int, what: str) -> int:
    """Bits of a field of ``count`` values; ``ValueError`` if that is no power of two."""
    if count & (count - 1):
        raise ValueError(f"{what} is {count}: address fields need powers of two")
    return count.bit_length() - 1


class _Fields:
    """Widths of the address fields of a channel, in bits."""

    def __init__(self, dram: DramSpec) -> None:
        self.offset = _bits(dram.access, "access")
        self.group = _bits(dram.bank_groups, "bank_groups")
        self.bank = _bits(dram.banks_per_group, "banks_per_group")
        self.column = _bits(dram.page // dram.access, "page / access")
        self.row = self.offset + self.group + self.bank + self.column


@register(KIND, "mop4")
class Mop4(AddressMapping):
    """Minimalist open page: 4 accesses of a row, then the next bank group, the next bank (Kaseridis et al., 2011)."""

    mapping: Literal["mop4"] = "mop4"

    def slices(self, dram: DramSpec) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """From low to high: offset, 2 bits of the column, bank group, bank, rest of the column, row."""
        fields = _Fields(dram)
        group = fields.offset + min(2, fields.column)
        return (group,), (group + fields.group,), fields.row


@register(KIND, "mop4-xor")
class Mop4Xor(AddressMapping):
    """Like mop4, bank group and bank hashed with row bits, so that rows at a stride spread over the banks."""

    mapping: Literal["mop4-xor"] = "mop4-xor"

    def slices(self, dram: DramSpec) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """As mop4, XOR the low row bits (group) and those above them (bank)."""
        (group,), (bank,), row = Mop4().slices(dram)
        fields = _Fields(dram)
        return (group, row), (bank, row + fields.group), row


@register(KIND, "ro-ba-co")
class RoBaCo(AddressMapping):
    """Open page: a row of consecutive accesses, then the next bank group, the next bank, the next row."""

    mapping: Literal["ro-ba-co"] = "ro-ba-co"

    def slices(self, dram: DramSpec) -> tuple[tuple[int, ...], tuple[int, ...], int]:
        """From low to high: offset, column, bank group, bank, row."""
        fields = _Fields(dram)
        group = fields.offset + fields.column
        return (group,), (group + fields.group,), fields.row


# Entries of the mapping array; the shifts of a field come in pairs, the second 63 where there is none.
GROUP_SHIFT, BANK_SHIFT, ROW_SHIFT, GROUP_MASK, BANK_MASK, PER_GROUP = 0, 2, 4, 5, 6, 7
_NO_SHIFT = 63


def mapping_array(mapping: AddressMapping, dram: DramSpec) -> IntArray:
    """Tabulate ``mapping`` for the compiled channel. Raises ``ValueError`` where the fields are no powers of two."""
    group, bank, row = mapping.slices(dram)
    pairs = [*(*group, _NO_SHIFT)[:2], *(*bank, _NO_SHIFT)[:2]]
    return np.array([*pairs, row, dram.bank_groups - 1, dram.banks_per_group - 1, dram.banks_per_group], np.int64)
