"""One-shot all-reduce: everyone sends its whole buffer to everyone, then each sums for itself.

One step with ``n`` times the bytes of a reduce-scatter, for small buffers: ``S/B + L`` with a link to every other rank
(``B`` bytes per second each), ``(n-1) S/B + L`` through one port of ``B``.

Source: the one-shot kernel of Nvidia's TensorRT-LLM (customAllReduceKernels.cu).
"""

from t3sim.collectives.grid import rotated
from t3sim.collectives.moves import MoveList
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import KIND, NetworkFacts
from t3sim.registry import register

_NAME = "one-shot"


@register(KIND, _NAME)
class OneShot:
    """The buffer is one chunk; each rank sends it to each other in a lane of its own, and sums what arrives."""

    operations = (Operation.ALL_REDUCE,)

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over the network's own grid of ranks: any rotation of it is a symmetry of the plan."""
        moves, ranks = MoveList(), range(facts.ranks)
        arrivals: list[list[int]] = [[] for _ in ranks]
        for other in ranks[1:]:
            for home in ranks:
                source = rotated(home, other, facts.shape)
                arrivals[home].append(moves.add(Kind.REDUCE, 0, source, home, lane=other - 1))
        for home in ranks if facts.ranks > 1 else ():
            moves.add_sum(0, home, arrivals[home])
        return Plan(
            operation=operation,
            algorithm=_NAME,
            ranks=facts.ranks,
            shape=facts.shape,
            parts=1,
            moves=tuple(moves.moves),
            symmetric=False,
            in_shots=True,
        )
