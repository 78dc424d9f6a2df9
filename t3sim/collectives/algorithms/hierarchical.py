"""Hierarchical: straight to each other inside a node, a ring across nodes for each local index.

With ``g`` nodes of ``p`` ranks, a reduce-scatter sums each chunk at the rank of every node with its home's local index,
then along the ring of these ranks. A rank sends ``(p-1)/p S`` inside its node, through a port of ``B`` bytes per
second, and ``(g-1)/(g p) S`` to the next node, at ``R`` with latency ``K``: that takes at most
``(p-1)/p S/B + L + (g-1)/(g p) S/R + (g-1) K``, less as far as some chunks are on the ring while others are not. An
all-gather goes the same way back and takes as long, an all-reduce the sum of both.

Source: Cho et al., "BlueConnect: Decomposing all-reduce for deep learning on heterogeneous network hierarchy", MLSys
2019.
"""

from itertools import pairwise

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts, nodes_of
from t3sim.registry import register

_NAME = "hierarchical"


@register(KIND, _NAME)
class Hierarchical:
    """A lane for each other rank of the node, and one for the ring across nodes."""

    operations = HALVES

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over a grid of nodes and ranks of a node; PlanError if the network has no such grid."""
        nodes, locals_ = nodes_of(_NAME, facts)

        def scatter(moves: MoveList, sub: int) -> int:
            return _scatter(moves, sub, nodes, locals_)

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            _gather(moves, sub, nodes, locals_, after)

        return in_halves(operation, _NAME, facts.shape, scatter, gather, ranks=facts.ranks)


def _scatter(moves: MoveList, sub: int, nodes: int, locals_: int) -> int:
    # In the order in which the ring takes them up: it ends at the home.
    heads = [node * locals_ for node in (*range(1, nodes), 0)]
    in_node = {
        head: [moves.add(Kind.REDUCE, sub, head + local, head, lane=local - 1) for local in range(1, locals_)]
        for head in heads
    }
    ring = locals_ - 1
    arrived: tuple[int, ...] = ()
    for head, following in pairwise(heads):
        arrived = (moves.add(Kind.REDUCE, sub, head, following, after=(*in_node[head], *arrived), lane=ring),)
    return moves.add_sum(sub, 0, (*in_node[0], *arrived), lane=ring)


def _gather(moves: MoveList, sub: int, nodes: int, locals_: int, after: tuple[int, ...]) -> None:
    ring = locals_ - 1
    for node in range(nodes):
        head = node * locals_
        if node:
            after = (moves.add(Kind.COPY, sub, head - locals_, head, after=after, lane=ring),)
        for local in range(1, locals_):
            moves.add(Kind.COPY, sub, head, head + local, after=after, lane=local - 1)
