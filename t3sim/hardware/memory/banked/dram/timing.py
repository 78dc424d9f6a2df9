"""The timings of a channel: cycles from one command to the first that another may have, from JEDEC's parameters.

Each is stated once: name, formula, meaning. JEDEC counts from the last cycle of a command, and an ACT has
``act_cycles`` of them; here all count from a command's first cycle to the other's. ``_s`` holds everywhere, ``_l`` in a
bank group.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from t3sim.hardware.memory.banked.dram.spec import DramSpec


def _cycles(formula: Callable[[DramSpec], int]) -> Any:
    """Put a formula where a field of the table below has its value, as ``dataclasses.field`` does."""
    return formula


def _late(dram: DramSpec) -> int:
    """Cycles from the first to the last of an ACT."""
    return dram.act_cycles - 1


def _burst(dram: DramSpec) -> int:
    """Cycles between column commands whose data move back to back."""
    return max(dram.nBL, dram.nCCDS)


def _written(dram: DramSpec) -> int:
    """Cycles from a WR to the end of its data."""
    return dram.nCWL + dram.nBL


def _update_longer(dram: DramSpec) -> int:
    """Cycles that a near-memory update keeps its bank group for longer than a write."""
    return dram.nCCDWL - dram.nCCDL


class Timing(NamedTuple):
    """The table of formulas; made by ``timing_of``, the cycles of one DRAM, as compiled code takes them."""

    rd_to_data: int = _cycles(lambda d: d.nCL + d.nBL)
    """RD to the end of its data."""
    wr_to_data: int = _cycles(_written)
    """WR to the end of its data."""
    rd_to_rd_s: int = _cycles(_burst)
    """RD to RD anywhere."""
    rd_to_rd_l: int = _cycles(lambda d: d.nCCDL)
    """RD to RD in the bank group."""
    rd_to_wr: int = _cycles(lambda d: d.nRTW)
    """RD to WR anywhere."""
    wr_to_wr_s: int = _cycles(_burst)
    """WR to WR anywhere."""
    wr_to_wr_l: int = _cycles(lambda d: d.nCCDL)
    """WR to WR in the bank group."""
    update_to_wr_l: int = _cycles(lambda d: d.nCCDWL)
    """WR of an update to WR in the bank group."""
    wr_to_rd_s: int = _cycles(lambda d: _written(d) + d.nWTRS)
    """WR to RD anywhere."""
    wr_to_rd_l: int = _cycles(lambda d: _written(d) + d.nWTRL)
    """WR to RD in the bank group."""
    rd_to_pre: int = _cycles(lambda d: d.nRTP)
    """RD to PRE of the bank."""
    wr_to_pre: int = _cycles(lambda d: _written(d) + d.nWR)
    """WR to PRE of the bank."""
    update_to_pre: int = _cycles(lambda d: _written(d) + d.nWR + _update_longer(d))
    """WR of an update to PRE of the bank."""
    act_to_rd: int = _cycles(lambda d: d.nRCDRD + _late(d))
    """ACT to RD of the bank."""
    act_to_wr: int = _cycles(lambda d: d.nRCDWR + _late(d))
    """ACT to WR of the bank."""
    act_to_pre: int = _cycles(lambda d: d.nRAS + _late(d))
    """ACT to PRE of the bank."""
    act_to_act: int = _cycles(lambda d: d.nRC)
    """ACT to ACT of the bank."""
    act_to_act_s: int = _cycles(lambda d: d.nRRDS)
    """ACT to ACT anywhere."""
    act_to_act_l: int = _cycles(lambda d: d.nRRDL)
    """ACT to ACT in the bank group."""
    act_window: int = _cycles(lambda d: d.nFAW)
    """ACT to the fourth ACT after it."""
    act_bus: int = _cycles(lambda d: d.act_cycles)
    """ACT to any other row command."""
    act_to_ref: int = _cycles(lambda d: d.nRC + _late(d))
    """ACT to a refresh."""
    pre_to_act: int = _cycles(lambda d: d.nRP - _late(d))
    """PRE to ACT of the bank."""
    pre_to_ref: int = _cycles(lambda d: d.nRP)
    """PRE to a refresh."""
    ref_to_act: int = _cycles(lambda d: d.nRFC - _late(d))
    """Refresh to ACT."""
    ref_to_pre: int = _cycles(lambda d: d.nRFC)
    """Refresh to PRE of all banks."""
    ref_to_ref: int = _cycles(lambda d: d.nREFI)
    """Refresh to refresh."""


def timing_of(dram: DramSpec) -> Timing:
    """Work out the timings of a DRAM."""
    return Timing(**{name: formula(dram) for name, formula in Timing._field_defaults.items()})
