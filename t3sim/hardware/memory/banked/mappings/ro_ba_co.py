"""Open page: whole rows lie in one piece."""

from typing import Literal

from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.mappings import KIND, AddressMapping, Slices, Widths
from t3sim.registry import register


@register(KIND, "ro-ba-co")
class RoBaCo(AddressMapping):
    """Open page: a row of consecutive accesses, then the next bank group, the next bank, the next row."""

    mapping: Literal["ro-ba-co"] = "ro-ba-co"

    def slices(self, dram: DramSpec) -> Slices:
        """From low to high: offset, column, bank group, bank, row."""
        width = Widths(dram)
        group = width.offset + width.column
        return Slices((group,), (group + width.group,), width.row)
