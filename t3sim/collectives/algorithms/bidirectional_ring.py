"""Bidirectional ring: one half of every chunk goes around each way.

Both directions of every link are busy, so the bytes take half the time of a ring in one direction: reduce-scatter and
all-gather ``(n-1)/n S/(2B) + (n-1) L`` each, an all-reduce the sum of both. Two ranks have one link between them, which
both halves share: ``S/(2B) + L``.

Source: Chan, Heimlich, Purkayastha and van de Geijn, "Collective communication: theory, practice, and experience",
CCPE 19 (2007), bucket algorithms.
"""

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts
from t3sim.registry import register

_NAME = "bidirectional-ring"


@register(KIND, _NAME)
class BidirectionalRing:
    """Sub-chunk 0 goes from rank to next rank in lane 0, sub-chunk 1 the other way in lane 1."""

    operations = HALVES

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over all ranks in the order of their numbers."""
        ranks = facts.ranks
        ways = (range(1, ranks), range(ranks - 1, 0, -1))

        def scatter(moves: MoveList, sub: int) -> int:
            arrived = moves.add_path(Kind.REDUCE, sub, (*ways[sub], 0), lane=sub)
            return moves.add_sum(sub, 0, arrived, lane=sub)

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            moves.add_path(Kind.COPY, sub, (0, *ways[sub]), after=after, lane=sub)

        return in_halves(operation, _NAME, (ranks,), scatter, gather, ranks=ranks, subs=2)
