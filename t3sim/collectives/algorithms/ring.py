"""Ring: every chunk goes around once, from rank to next rank.

``n - 1`` steps, each of which needs the whole chunk of the step before. Reduce-scatter and all-gather take
``(n-1)/n S/B + (n-1) L`` each, an all-reduce the sum of both: the fewest bytes there are. A broadcast goes slice by
slice: ``S/B + (n-2) slice/B + (n-1) L``.

Source: Patarasu and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC 69 (2009).
"""

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts
from t3sim.registry import register

_NAME = "ring"


@register(KIND, _NAME)
class Ring:
    """A chunk starts at the rank after its home and gathers a contribution per hop; its copies start at its home."""

    operations = (*HALVES, Operation.BROADCAST)

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over all ranks in the order of their numbers."""
        ranks = facts.ranks
        if operation is Operation.BROADCAST:
            return _broadcast(ranks)

        def scatter(moves: MoveList, sub: int) -> int:
            return moves.add_sum(sub, 0, moves.add_path(Kind.REDUCE, sub, (*range(1, ranks), 0)))

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            moves.add_path(Kind.COPY, sub, range(ranks), after=after)

        return in_halves(operation, _NAME, (ranks,), scatter, gather, ranks=ranks)


def _broadcast(ranks: int) -> Plan:
    moves = MoveList()
    moves.add_path(Kind.COPY, 0, range(ranks))
    return Plan(
        operation=Operation.BROADCAST,
        algorithm=_NAME,
        ranks=ranks,
        shape=(ranks,),
        parts=1,
        moves=tuple(moves.moves),
        symmetric=False,
        by_slice=True,
    )
