"""Plans whose sums are steps of their own, for what moves bytes and cannot add."""

from dataclasses import replace
from functools import lru_cache

from t3sim.collectives.check import check
from t3sim.collectives.plan import Kind, Move, Plan


@lru_cache(maxsize=64)
def with_sums_apart(plan: Plan) -> Plan:
    """Let each rank write the sum of what it has and what has arrived before it sends it on.

    A ring's step is then a copy and a sum one after the other. Sums of a switch stay there.
    """
    moves: list[Move] = []
    number_of: dict[int, int] = {}
    for number, move in enumerate(plan.moves):
        after = tuple(number_of[before] for before in move.after)
        if move.kind is not Kind.LOCAL and any(plan.moves[before].kind is Kind.REDUCE for before in move.after):
            total = replace(move, kind=Kind.LOCAL, destinations=(move.source,), after=after, step=2 * move.step)
            after = (len(moves),)
            moves.append(total)
        number_of[number] = len(moves)
        moves.append(replace(move, after=after, step=2 * move.step + 1))
    changed = replace(plan, moves=tuple(moves))
    check(changed)
    return changed
