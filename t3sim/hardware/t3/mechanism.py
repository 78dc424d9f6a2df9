"""Which parts of T3's mechanism a system has."""

from typing import Annotated

from pydantic import Field

from t3sim.config import Spec

MOST_TILES = 2**16


class TrackTriggerSpec(Spec):
    """The parts of T3's mechanism that can be taken away or made coarser, one by one; all there by default."""

    near_memory: bool = True
    """Whether the memory adds updates to what it holds; if not, CUs sum stored copies."""
    updates_bypass_llc: bool = True
    """Whether local updates leave the LLC alone; if not, they allocate in it and are written through."""
    staggered: bool = True
    """Whether each GPU starts with its own chunk; if not, all produce the same one first."""
    gathers: bool = False
    """Whether an all-gather that follows is triggered, too: each tile goes on as soon as its sum is in memory."""
    tiles_per_command: Annotated[int, Field(gt=0, le=MOST_TILES)] = 1
    """Tiles that one DMA command moves, when all of them are complete."""
