"""What the hardware did in a run: its counters by DRAM command, operation and link, and the columns made of them."""

from dataclasses import asdict, dataclass
from typing import Any

from t3sim.results.columns import COLUMN_NAMES, Row

RUN = ("point_id", "model", "phase", "sublayer", "tp", "scheme")
"""Columns that say which run the counters are of."""
_COMMAND = "dram_"
_GEMM = "gemm"
ACTIVITY_COLUMNS = COLUMN_NAMES[COLUMN_NAMES.index("dram_activates") : COLUMN_NAMES.index("wire_bytes") + 1]
"""Columns of results that are made of these counters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkActivity:
    """What one link did."""

    sent_bytes: int
    """Data that it carried, without the flags of a protocol and without what was sent again."""
    busy_us: float
    """Time it was sending, both of these included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Counters of a run: of one GPU, the mean where GPUs are simulated one by one; links are all there are."""

    dram_bytes: dict[str, dict[str, int]]
    """By operation: bytes served for its reads and its writes."""
    dram_commands: dict[str, int]
    """Commands and accesses of all channels, by the memory model's names; empty where it has no rows."""
    llc_hit_bytes: int
    llc_missed_bytes: int
    cu_busy_us: dict[str, float]
    """By operation: time that its workgroups held a CU, added up over the CUs."""
    wire_bytes: int
    """Bytes that all links carried, by GPU."""
    links: dict[str, LinkActivity]
    """By name; where one GPU stands for all, its links do for theirs."""

    def columns(self) -> Row:
        """Give the columns of results that are made of these counters."""
        commands = {f"{_COMMAND}{name}": count for name, count in self.dram_commands.items()}
        collectives = [busy for operation, busy in self.cu_busy_us.items() if operation != _GEMM]
        return {
            **{name: count for name, count in commands.items() if name in ACTIVITY_COLUMNS},
            "llc_hit_bytes": self.llc_hit_bytes,
            "llc_missed_bytes": self.llc_missed_bytes,
            "cu_busy_gemm_us": self.cu_busy_us.get(_GEMM, 0.0),
            "cu_busy_collective_us": sum(collectives, 0.0),
            "wire_bytes": self.wire_bytes,
        }

    def document(self) -> dict[str, Any]:
        """Everything as plain data."""
        return asdict(self)
