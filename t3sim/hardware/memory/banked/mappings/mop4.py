"""Minimalist open page (Kaseridis et al., MICRO 2011)."""

from typing import Literal

from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.mappings import KIND, AddressMapping, Slices, Widths
from t3sim.registry import register


@register(KIND, "mop4")
class Mop4(AddressMapping):
    """Minimalist open page: 4 accesses of a row, then the next bank group, the next bank (Kaseridis et al., 2011)."""

    mapping: Literal["mop4"] = "mop4"

    def slices(self, dram: DramSpec) -> Slices:
        """From low to high: offset, 2 bits of the column, bank group, bank, rest of the column, row."""
        width = Widths(dram)
        group = width.offset + min(2, width.column)
        return Slices((group,), (group + width.group,), width.row)
