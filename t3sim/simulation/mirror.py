"""Whether one GPU may stand for all: only where the program, its plans and the network look the same from each."""

from collections.abc import Sequence

from t3sim.hardware.network.wiring import Wiring
from t3sim.lowering.work import CollectiveWork, Work
from t3sim.simulation.system import SystemSpec


def mirror_shape(system: SystemSpec, wiring: Wiring, works: Sequence[Work]) -> tuple[int, ...] | str:
    """Return the grid over which everything can be moved on by any rank without a change, or why there is none."""
    if system.conditions.difference:
        return system.conditions.difference
    plans = [work.plan for work in works if isinstance(work, CollectiveWork) and work.plan.moves]
    if not system.track_trigger.staggered and any(work.producer for work in works if isinstance(work, CollectiveWork)):
        return "without staggering each GPU runs another program"
    for plan in plans:
        if not plan.symmetric:
            return f"{plan.algorithm} gives every rank another part in the {plan.operation.value}"
    for work in works:
        if isinstance(work, CollectiveWork) and work.plan.merged and not _pieces_alike(work):
            return f"a switch sums pieces, and in the {work.operation} those of one chunk are not those of another"
    shapes = {plan.shape for plan in plans}
    if len(shapes) > 1:
        return "its collectives are symmetric over different grids of ranks: " + " and ".join(map(str, sorted(shapes)))
    shape = shapes.pop() if shapes else wiring.shape
    if not wiring.over(shape).rotations:
        return f"the network does not look the same from every GPU of a grid of {' x '.join(map(str, shape))}"
    return shape


def _pieces_alike(work: CollectiveWork) -> bool:
    """Whether all chunks are cut into pieces of the same sizes, by kernels and by a GEMM's tiles."""
    ways = [work.chunks, *([work.producer.tiles.chunks] if work.producer is not None else [])]
    return all(len(set(chunks.piece_bytes)) == 1 for chunks in ways)
