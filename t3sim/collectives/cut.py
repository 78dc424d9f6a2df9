"""Plans whose chunks travel in pieces, each with a move of its own, so that who waits for data waits for less."""

from dataclasses import replace
from functools import lru_cache

from t3sim.collectives.check import check
from t3sim.collectives.plan import Plan


@lru_cache(maxsize=64)
def in_pieces(plan: Plan, pieces: int) -> Plan:
    """Cut every chunk into ``pieces`` chunks that go the same way, one after the other.

    What waited for a chunk waits for the same piece of it, so a chunk is passed on piece by piece.
    """
    if pieces == 1:
        return plan
    moves = tuple(
        replace(
            move,
            chunk=move.chunk * pieces + piece,
            after=tuple(before * pieces + piece for before in move.after),
            step=move.step * pieces + piece,
        )
        for move in plan.moves
        for piece in range(pieces)
    )
    found = replace(plan, subs=plan.subs * pieces, parts=plan.parts * pieces, moves=moves)
    check(found)
    return found
