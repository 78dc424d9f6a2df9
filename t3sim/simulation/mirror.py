"""Whether one GPU may stand for all: only where the program, its plans and the network look the same from each."""

from collections.abc import Sequence

from t3sim.hardware.network.wiring import Wiring
from t3sim.lowering.work import CollectiveWork, Work
from t3sim.simulation.system import SystemSpec


def mirror_shape(system: SystemSpec, wiring: Wiring, works: Sequence[Work]) -> tuple[int, ...] | str:
    """Return the grid over which everything can be moved on by any rank without a change, or why there is none."""
    collectives = [work for work in works if isinstance(work, CollectiveWork)]
    moved = [work for work in collectives if work.plan.moves]
    if difference := system.conditions.difference or _difference(system, collectives, moved):
        return difference
    shapes = {work.plan.shape for work in moved}
    if len(shapes) > 1:
        return "its collectives are symmetric over different grids of ranks: " + " and ".join(map(str, sorted(shapes)))
    shape = shapes.pop() if shapes else wiring.shape
    if not wiring.over(shape).rotations:
        return f"the network does not look the same from every GPU of a grid of {' x '.join(map(str, shape))}"
    return shape


def _difference(
    system: SystemSpec, collectives: Sequence[CollectiveWork], moved: Sequence[CollectiveWork]
) -> str | None:
    """Say in what GPUs differ that run these collectives, of which some move data."""
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
