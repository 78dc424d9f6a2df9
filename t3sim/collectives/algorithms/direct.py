"""Direct: every message goes straight from the rank that has the data to the rank that needs them.

Each rank talks to all others at once, in a lane for each. With a link to every other rank (``B`` bytes per second each)
that is one step: reduce-scatter, all-gather and all-to-all take ``S/(n B) + L``, an all-reduce (a reduce-scatter, then
an all-gather: "two-shot") twice that, a broadcast and a send ``S/B + L``. Through one port of ``B`` the bytes are those
of a ring: ``(n-1)/n S/B + L`` for the first three, and ``(n-1) S/B + L`` for a broadcast.

Source: the two-shot kernel of Nvidia's TensorRT-LLM (customAllReduceKernels.cu), which has a barrier between its shots.
"""

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts
from t3sim.registry import register

_NAME = "direct"


@register(KIND, _NAME)
class Direct:
    """One message from each rank to each other, to the nearest home before it first; homes add up what arrives."""

    operations = (*HALVES, Operation.ALL_TO_ALL, Operation.BROADCAST, Operation.SEND)

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over the network's own grid of ranks: any rotation of it is a symmetry of the plan."""
        others = range(1, facts.ranks)
        if operation not in HALVES:
            return _copies(operation, facts)

        def scatter(moves: MoveList, sub: int) -> int:
            arrivals = [moves.add(Kind.REDUCE, sub, other, 0, lane=other - 1) for other in others]
            return moves.add_sum(sub, 0, arrivals)

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            for other in others:
                moves.add(Kind.COPY, sub, 0, other, after=after, lane=other - 1)

        return in_halves(operation, _NAME, facts.shape, scatter, gather, ranks=facts.ranks, in_shots=True)


def _copies(operation: Operation, facts: NetworkFacts) -> Plan:
    """Plan what needs one copy from rank 0 to others: the same chunk, one for each, or one for the next."""
    personal, moves = operation is Operation.ALL_TO_ALL, MoveList()
    last = min(2, facts.ranks) if operation is Operation.SEND else facts.ranks
    for other in range(1, last):
        moves.add(Kind.COPY, other if personal else 0, 0, other, lane=other - 1)
    chunks = facts.ranks if personal else 1
    return Plan(
        operation=operation,
        algorithm=_NAME,
        ranks=facts.ranks,
        # The next rank is the one with the next number, whatever the grid.
        shape=(facts.ranks,) if operation is Operation.SEND else facts.shape,
        subs=chunks,
        parts=chunks,
        moves=tuple(moves.moves),
        symmetric=operation is not Operation.BROADCAST,
    )
