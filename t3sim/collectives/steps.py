"""The vocabulary of step graphs: what a GPU does with each chunk position, and what it waits for."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

KIND = "collective"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One chunk handled by a collective kernel. Steps run in order; edges to the predecessor GPU are arrivals.

    What a GPU sends at position ``p`` arrives at its successor's position ``p + 1`` (modulo the ring).
    """

    position: int
    after_arrival: bool
    """Wait until the predecessor's data for this position are in memory."""
    reads: int
    """Copies of the chunk read from DRAM: 1 its own or the received one, 2 both, to reduce them; 0: only wait."""
    sends: bool
    """Send the (reduced) chunk to the successor."""
    writes: bool
    """Write the reduced chunk to local memory."""


class ChunkMapping(Enum):
    """What the address-space configuration makes of a chunk of the producer's output (T3, section 4.2)."""

    REMOTE = "remote_map"
    """Stores go to the successor's memory as updates; nothing is written locally."""
    FORWARD = "dma_map"
    """Stores are local updates; when the tile is complete, its DMA sends it to the successor as an update."""
    KEEP = "dma_map, no send"
    """Stores are local updates; the complete tile is this GPU's share of the result."""


class CollectiveAlgorithm(Protocol):
    """A collective over ``count`` GPUs."""

    def steps(self, count: int) -> tuple[Step, ...]:
        """List the steps of one GPU, by position."""
