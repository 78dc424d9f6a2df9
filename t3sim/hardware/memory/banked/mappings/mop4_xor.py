"""Minimalist open page with the banks hashed."""

from typing import Literal

from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.mappings import KIND, AddressMapping, Slices, Widths
from t3sim.hardware.memory.banked.mappings.mop4 import Mop4
from t3sim.registry import register


@register(KIND, "mop4-xor")
class Mop4Xor(AddressMapping):
    """Like mop4, bank group and bank hashed with row bits, so that rows at a stride spread over the banks."""

    mapping: Literal["mop4-xor"] = "mop4-xor"

    def slices(self, dram: DramSpec) -> Slices:
        """As mop4, XOR the low row bits (group) and those above them (bank)."""
        (group,), (bank,), row = Mop4().slices(dram)
        return Slices((group, row), (bank, row + Widths(dram).group), row)
