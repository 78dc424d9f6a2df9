"""Address mappings: bank group, bank and row of an address inside a channel.

A field (bank group, bank) is one slice of the channel's own address, or the XOR of two: ``(address >> s1 ^ address >>
s2) & mask``; the row is what is left above. A new mapping is one small file in this folder, found by its registration.
"""

import importlib
import pkgutil
from abc import abstractmethod
from typing import NamedTuple

from t3sim.config import Spec
from t3sim.hardware.memory.banked.dram.spec import DramSpec

KIND = "address mapping"
MOST_SLICES = 2


class Slices(NamedTuple):
    """Where the fields of an address start, as shifts."""

    group: tuple[int, ...]
    """Slices whose XOR is the bank group, of all pseudo channels: its lowest bits name one of these."""
    bank: tuple[int, ...]
    """Slices whose XOR is the bank in it."""
    row: int
    """From here up is the row."""


class AddressMapping(Spec):
    """Base of the mappings inside a channel."""

    @abstractmethod
    def slices(self, dram: DramSpec) -> Slices:
        """Say where the fields are. Raises ``ValueError`` where the channel's parts are no powers of two."""


def slices_of(mapping: AddressMapping, dram: DramSpec) -> Slices:
    """Ask ``mapping`` for the slices. Raises ``ValueError`` where it cannot say or a field is of too many."""
    slices = mapping.slices(dram)
    for field in (slices.group, slices.bank):
        if not 0 < len(field) <= MOST_SLICES:
            raise ValueError(f"{mapping!r}: a field is the XOR of at most {MOST_SLICES} slices, not of {len(field)}")
    return slices


class Widths:
    """Widths of the address fields of a channel, in bits."""

    def __init__(self, dram: DramSpec) -> None:
        self.offset = _bits(dram.access, "access")
        self.group = _bits(dram.pseudo_channels, "pseudo_channels") + _bits(dram.bank_groups, "bank_groups")
        self.bank = _bits(dram.banks_per_group, "banks_per_group")
        self.column = _bits(dram.page // dram.access, "page / access")
        self.row = self.offset + self.group + self.bank + self.column


def _bits(count: int, what: str) -> int:
    """Bits of a field of ``count`` values; ``ValueError`` if that is no power of two."""
    if count & (count - 1):
        raise ValueError(f"{what} is {count}: address fields need powers of two")
    return count.bit_length() - 1


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
