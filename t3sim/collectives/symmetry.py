"""Rotations of plans: the moves of all homes written out, and whether one rank may stand for all."""

import math
from collections import Counter
from dataclasses import replace

from t3sim.collectives.grid import rotated
from t3sim.collectives.plan import Move, Plan


def written_out(plan: Plan) -> Plan:
    """Write the moves of all homes of a symmetric plan out; those of home ``h`` follow those of ``h - 1``."""
    if not plan.symmetric:
        return plan
    moves = [
        replace(turned, after=tuple(home * len(plan.moves) + before for before in move.after))
        for home in range(plan.ranks)
        for move in plan.moves
        for turned in [_turned(plan, move, home)]
    ]
    return replace(plan, moves=tuple(moves), symmetric=False)


def rotation_of(plan: Plan, by: int) -> tuple[int, ...] | None:
    """Find which move, by number, each becomes when all ranks (and homes) are moved on by ``by`` over the plan's grid.

    ``None``: some move becomes one that the plan does not have.
    """
    if plan.symmetric:
        raise ValueError("the moves of a symmetric plan are those of home 0 alone: write them out first")
    places = _places(plan)
    images_at = {place: number for number, place in enumerate(places)}
    turned = [_turned(plan, move, by) for move in plan.moves]
    images = [images_at.get((move.source, *place[1:])) for move, place in zip(turned, places, strict=True)]
    found = tuple(image for image in images if image is not None)
    if len(found) < len(images):
        return None
    if not all(_same(plan, move, plan.moves[image], found) for move, image in zip(turned, found, strict=True)):
        return None
    return found


def is_rotation_symmetric(plan: Plan) -> bool:
    """Whether all ranks do the same, moved on over the plan's grid: then one may stand for all.

    True by construction of a symmetric plan. Of another each generator of the grid's rotations is tried.
    """
    if plan.symmetric:
        return True
    steps = [math.prod(plan.shape[axis + 1 :]) for axis, size in enumerate(plan.shape) if size > 1]
    return all(rotation_of(plan, step) is not None for step in steps)


def _places(plan: Plan) -> list[tuple[int, int, int]]:
    """List for each move its rank, its lane, and how many moves of that rank and lane start before it."""
    started: Counter[tuple[int, int]] = Counter()
    places = {}
    for number in sorted(range(len(plan.moves)), key=lambda number: plan.moves[number].step):
        move = plan.moves[number]
        places[number] = (move.source, move.lane, started[move.source, move.lane])
        started[move.source, move.lane] += 1
    return [places[number] for number in range(len(plan.moves))]


def _turned(plan: Plan, move: Move, by: int) -> Move:
    home, sub = divmod(move.chunk, plan.subs)
    return replace(
        move,
        chunk=rotated(home, by, plan.shape) * plan.subs + sub if plan.homes > 1 else move.chunk,
        source=rotated(move.source, by, plan.shape),
        destinations=tuple(rotated(rank, by, plan.shape) for rank in move.destinations),
    )


def _same(plan: Plan, turned: Move, other: Move, images: tuple[int, ...]) -> bool:
    """Whether ``other`` is the move ``turned``, whose ``after`` are still those before the rotation."""
    return (
        (turned.chunk, turned.kind, set(turned.destinations)) == (other.chunk, other.kind, set(other.destinations))
    ) and {_first(plan, images[before]) for before in turned.after} == set(other.after)


def _first(plan: Plan, number: int) -> int:
    """Name merged messages by the first of them, which another may be after a rotation."""
    return plan.merged.get(number, (number,))[0]
