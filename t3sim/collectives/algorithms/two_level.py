"""Two-level all-to-all: inside the node to the rank with the destination's local index, then along its rail.

Each rank talks across nodes only to those of its own local index, so every message stays on one rail of the network.
With ``g`` nodes of ``p`` ranks, each rank sends ``(p-1)/p S`` inside its node and ``(g-1)/g S`` along its rail. With
``B`` bytes per second of its port inside the node, ``R`` of that to the rail, and latency ``K`` there, it takes at most
``(p-1)/p S/B + L + (g-1)/g S/R + K``: less as far as chunks already travel the rail while others are still in the node.

Source: Hwang et al., "Tutel: Adaptive mixture-of-experts at scale", MLSys 2023, two-dimensional hierarchical; NCCL 2.12
calls it PXN.
"""

from t3sim.collectives.moves import MoveList
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import KIND, NetworkFacts, nodes_of
from t3sim.registry import register

_NAME = "two-level"


@register(KIND, _NAME)
class TwoLevel:
    """A lane for each other rank of the node, then one for each other node."""

    operations = (Operation.ALL_TO_ALL,)

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over a grid of nodes and ranks of a node; PlanError if the network has no such grid."""
        nodes, locals_ = nodes_of(_NAME, facts)
        moves, arrived = MoveList(), {}
        for local in range(1, locals_):
            # What stays in the node last: it has no rail to travel.
            for node in (*range(1, nodes), 0):
                chunk = node * locals_ + local
                arrived[chunk] = moves.add(Kind.COPY, chunk, 0, local, lane=local - 1)
        for node in range(1, nodes):
            for local in range(locals_):
                chunk = node * locals_ + local
                after = (arrived[chunk],) if local else ()
                moves.add(Kind.COPY, chunk, local, chunk, after=after, lane=locals_ - 1 + node - 1)
        return Plan(
            operation=operation,
            algorithm=_NAME,
            ranks=facts.ranks,
            shape=facts.shape,
            subs=facts.ranks,
            parts=facts.ranks,
            moves=tuple(moves.moves),
            symmetric=True,
        )
