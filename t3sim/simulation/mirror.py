"""Whether one GPU may stand for all: only where the program, its plans and the network look the same from each.

Then one GPU is each of them, to the femtosecond. Where chunks differ, or the operands that GPUs read, GPUs fall out of
step: times of one that stands for all are then off by a percent or two for kernels one after the other, and for GEMMs
that share an in-order DRAM with communication by up to a half. So all are simulated, unless an approximation is asked
for: that leaves out what concerns sizes, and keeps what concerns the network and the plan.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from t3sim.collectives.plan import Plan
from t3sim.compiled import IntArray
from t3sim.execution.address_space import dispatch
from t3sim.hardware.network.wiring import Wiring
from t3sim.lowering.chunks import TileChunks
from t3sim.lowering.work import CollectiveWork, GemmWork
from t3sim.schemes.phases import Differing, Phase
from t3sim.simulation.system import SystemSpec


def mirror_shape(
    system: SystemSpec, wiring: Wiring, phases: Sequence[Phase], *, approximate: bool = False
) -> tuple[int, ...] | str:
    """Return the grid over which everything can be moved on by any rank without a change, or why there is none.

    ``approximate``: even where chunks or operands differ in size.
    """
    works = [work for phase in phases for work in phase.works]
    collectives = [work for work in works if isinstance(work, CollectiveWork)]
    moved = [work for work in collectives if work.plan.moves]
    if difference := system.conditions.difference or _difference(system, collectives, moved):
        return difference
    if not approximate and (difference := size_difference(phases)):
        return difference
    shapes = {work.plan.shape for work in moved}
    if len(shapes) > 1:
        return "its collectives are symmetric over different grids of ranks: " + " and ".join(map(str, sorted(shapes)))
    shape = shapes.pop() if shapes else wiring.shape
    if not wiring.over(shape).rotations:
        return f"the network does not look the same from every GPU of a grid of {' x '.join(map(str, shape))}"
    return shape


def size_difference(phases: Sequence[Phase]) -> str:
    """Say in which sizes the programs of GPUs differ that run ``phases``; empty where they do not."""
    for phase in phases:
        if isinstance(phase, Differing) and (difference := phase.difference):
            return difference
        for work in phase.works:
            if not isinstance(work, CollectiveWork) or not work.plan.moves:
                continue
            if len(set(work.chunks.chunk_bytes)) > 1:
                return f"chunks of the {work.operation} differ in size"
            if phase.by_tile and work.producer is not None:
                if len(set(work.producer.tiles.chunks.piece_bytes)) > 1:
                    return f"chunks of the {work.operation} are cut into different tiles"
                if not _same_operands(work, work.producer):
                    return f"chunks of the {work.operation} share rows or columns of tiles, so operands are read unlike"
    return ""


def size_spread(phases: Sequence[Phase]) -> float:
    """By how much the largest chunk of a collective of ``phases`` exceeds the smallest, as a share of that."""
    works = [work for phase in phases for work in phase.works if isinstance(work, CollectiveWork)]
    sizes = [work.chunks.chunk_bytes for work in works if work.plan.moves and all(work.chunks.chunk_bytes)]
    return max((max(each) / min(each) - 1 for each in sizes), default=0.0)


def _difference(
    system: SystemSpec, collectives: Sequence[CollectiveWork], moved: Sequence[CollectiveWork]
) -> str | None:
    """Say in what GPUs differ that run these collectives, of which some move data, whatever the sizes."""
    if not system.track_trigger.staggered and any(work.producer for work in collectives):
        return "without staggering each GPU runs another program"
    for work in moved:
        if not all(work.chunks.chunk_bytes):
            return f"{work.op.bytes} B leave some of {work.chunks.count} parts of the {work.operation} empty"
        if not work.plan.symmetric:
            return f"{work.plan.algorithm} gives every rank another part in the {work.operation}"
        if work.plan.merged and not _cut_alike(work):
            return f"the chunks of the {work.operation} differ, and a switch adds up pieces of one size only"
    return None


def _cut_alike(work: CollectiveWork) -> bool:
    """Whether every chunk is cut into the same pieces: what one GPU sends of its own is then what others send."""
    cuts = [work.chunks] if work.producer is None else [work.chunks, work.producer.tiles.chunks]
    return all(len(set(chunks.piece_bytes)) <= 1 for chunks in cuts)


@lru_cache(maxsize=64)
def _same_operands(work: CollectiveWork, producer: GemmWork) -> bool:
    """Whether the fused kernels of all GPUs touch tile rows and columns in the same pattern.

    The LLC numbers operand blocks by first touch, so the same pattern is the same misses.
    """
    return len({_pattern(producer.tiles, work.plan, rank) for rank in range(work.plan.ranks)}) == 1


def _pattern(tiles: TileChunks, plan: Plan, rank: int) -> bytes:
    """Describe which tile rows and columns a GPU's kernel takes in turn, numbered by first touch, and their sizes."""
    own = dispatch(plan, rank, tiles.counts, staggered=True)
    rows, columns = np.divmod(tiles.tiles_of(own.parts, own.pieces), tiles.tiling.grid_n)
    sizes = tiles.tiling.row_heights[rows], tiles.tiling.column_widths[columns]
    return b"".join(part.tobytes() for part in (_by_first_touch(rows), _by_first_touch(columns), *sizes))


def _by_first_touch(values: IntArray) -> IntArray:
    """Give each value the number of its first occurrence among those of all values."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    numbers: IntArray = np.argsort(np.argsort(first))[inverse]
    return numbers
