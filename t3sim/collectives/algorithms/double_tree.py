"""Double binary tree all-reduce: two trees, each for one half of the buffer, in which nobody is an inner node twice.

Slices go up a tree, summed at every inner node, and down again. About half of the ranks are leaves of the one tree and
inner nodes of the other, the rest the other way round, so no rank sends or receives more than ``2 S``. Where ports
never wait it takes ``2 S/B`` and, for the first slice, the way up and down: ``2 floor(log2 n)`` hops, each of ``L`` and
a slice's time. With a link for each pair it takes at most that, through one port of ``B`` at least: there lanes take
turns, and what leaves send up delays what comes down (docs/validation.md: by 17-31%).

Source: Sanders, Speck and Träff, "Two-tree algorithms for full bandwidth broadcast, reduction and scan", Parallel
Computing 35 (2009); the parents in terms of bits: NCCL (src/graph/trees.cc).
"""

from collections import defaultdict

from t3sim.collectives.moves import MoveList
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import KIND, NetworkFacts
from t3sim.registry import register

_NAME = "double-tree"
_LANES = 3
"""Of each tree: up, and down to either child."""


@register(KIND, _NAME)
class DoubleTree:
    """Chunk 0 takes the one tree, chunk 1 the other."""

    operations = (Operation.ALL_REDUCE,)

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over all ranks in the order of their numbers."""
        ranks, moves = facts.ranks, MoveList()
        for tree in range(2 if ranks > 1 else 0):
            _up_and_down(moves, tree, _parents(ranks, tree))
        return Plan(
            operation=operation,
            algorithm=_NAME,
            ranks=ranks,
            shape=(ranks,),
            subs=2,
            parts=2,
            moves=tuple(moves.moves),
            symmetric=False,
            by_slice=True,
        )


def _parents(ranks: int, tree: int) -> dict[int, int | None]:
    """Give each rank's parent in a tree (``None``: the root), children before parents.

    The ranks stand in a row, at places 1 to ``n``; those at odd places are leaves. A place's lowest set bit is its
    height. In the second tree's row all have moved on by one: who was at an even place is at an odd one.
    """
    row = {place: (place - 1 + tree) % ranks for place in range(1, ranks + 1)}
    parents: dict[int, int | None] = {}
    for place in sorted(row, key=lambda place: place & -place):
        lowest = place & -place
        above = (place ^ lowest) | lowest << 1
        if above > ranks:
            above = place ^ lowest
        parents[row[place]] = row.get(above)
    return parents


def _up_and_down(moves: MoveList, tree: int, parents: dict[int, int | None]) -> None:
    lane, children, arrived = _LANES * tree, defaultdict[int, list[int]](list), defaultdict[int, list[int]](list)
    for rank, parent in parents.items():
        if parent is None:
            arrived[rank] = [moves.add_sum(tree, rank, arrived[rank], lane=lane)]
        else:
            children[parent].append(rank)
            arrived[parent].append(moves.add(Kind.REDUCE, tree, rank, parent, after=arrived[rank], lane=lane))
    for rank in reversed(parents):
        for which, child in enumerate(children[rank]):
            number = moves.add(Kind.COPY, tree, rank, child, after=arrived[rank], lane=lane + 1 + which)
            arrived[child] = [number]
