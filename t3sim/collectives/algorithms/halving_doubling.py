"""Recursive halving and doubling: ``log2 n`` steps, between ranks whose numbers differ in one bit.

A reduce-scatter exchanges half of the buffer with the rank ``n/2`` away, then a quarter with the one ``n/4`` away, and
so on; an all-gather goes the same way back. With the same bandwidth between any two ranks each takes
``(n-1)/n S/B + log2(n) L``, an all-reduce the sum of both: the bytes of a ring in fewer steps. ``n`` is a power of two.

A rank's number is a list of bits, and adding numbers bit by bit without carry moves every rank on alike: rotation over
a grid of ``log2 n`` sides of 2. So the plan is symmetric, over that grid.

Source: Thakur, Rabenseifner and Gropp, "Optimization of collective communication operations in MPICH", IJHPCA 19
(2005).
"""

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts
from t3sim.errors import PlanError
from t3sim.registry import register

_NAME = "halving-doubling"


@register(KIND, _NAME)
class HalvingDoubling:
    """Chunks stay whole: what goes to a partner in one step are the chunks of all homes on its side."""

    operations = HALVES

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over all ranks; PlanError if they are not a power of two."""
        ranks = facts.ranks
        if ranks & (ranks - 1):
            raise PlanError(f"{_NAME} needs a power of two of ranks, not {ranks}")
        shape = (2,) * (ranks.bit_length() - 1) or (1,)

        def scatter(moves: MoveList, sub: int) -> int:
            return _halve(moves, sub, ranks)

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            _double(moves, sub, ranks, after)

        return in_halves(operation, _NAME, shape, scatter, gather, ranks=ranks)


def _halve(moves: MoveList, sub: int, ranks: int) -> int:
    sums: dict[int, int] = {}
    distance = ranks
    while distance > 1:
        distance //= 2
        sent = {}
        for rank in range(distance):
            source = rank + distance
            before = (sums[source],) if source in sums else ()
            sent[rank] = moves.add(Kind.REDUCE, sub, source, rank, after=before)
        # Sums come after all that is sent in this step: then the next step starts when this one is over.
        for rank, number in sent.items():
            before = (sums[rank],) if rank in sums else ()
            sums[rank] = moves.add_sum(sub, rank, (*before, number))
    return sums[0]


def _double(moves: MoveList, sub: int, ranks: int, after: tuple[int, ...]) -> None:
    arrived = {0: after}
    first = 0
    for distance in (1 << bit for bit in range(ranks.bit_length() - 1)):
        # A step starts with the chunk that came last in the one before: so it starts when that one is over.
        order = [first ^ place for place in range(distance)]
        for source in order:
            number = moves.add(Kind.COPY, sub, source, source + distance, after=arrived[source])
            arrived[source + distance] = (number,)
        first = order[-1] + distance
