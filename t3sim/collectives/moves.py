"""Lists of moves in the making: what algorithms put their plans together with."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from t3sim.collectives.plan import Kind, Move, Operation, Plan


class MoveList:
    """Moves in the order in which they are added, which is that of the steps of each lane."""

    def __init__(self) -> None:
        self.moves: list[Move] = []
        self._steps: Counter[int] = Counter()

    def add(
        self,
        kind: Kind,
        chunk: int,
        source: int,
        destinations: int | tuple[int, ...],
        *,
        after: Sequence[int] = (),
        lane: int = 0,
    ) -> int:
        """Add a move as the last of its lane; returns its number."""
        self.moves.append(
            Move(
                chunk=chunk,
                source=source,
                destinations=(destinations,) if isinstance(destinations, int) else destinations,
                kind=kind,
                after=tuple(after),
                step=self._steps[lane],
                lane=lane,
            )
        )
        self._steps[lane] += 1
        return len(self.moves) - 1

    def add_sum(self, chunk: int, rank: int, after: Sequence[int], lane: int = 0) -> int:
        """Let ``rank`` sum what has arrived; returns the number of the move."""
        return self.add(Kind.LOCAL, chunk, rank, rank, after=after, lane=lane)

    def add_path(
        self, kind: Kind, chunk: int, path: Sequence[int], *, after: Sequence[int] = (), lane: int = 0
    ) -> tuple[int, ...]:
        """Move a chunk along ``path``, each hop after the one before; returns what the last rank has to wait for."""
        for source, destination in pairwise(path):
            after = (self.add(kind, chunk, source, destination, after=after, lane=lane),)
        return tuple(after)


Scatter = Callable[[MoveList, int], int]
"""Adds the moves that bring the sum of home 0's chunk of that ``sub`` to rank 0; returns the number of the last."""
Gather = Callable[[MoveList, int, tuple[int, ...]], None]
"""Adds the moves that bring home 0's chunk of that ``sub`` from rank 0 to all, after the moves named."""


def in_halves(
    operation: Operation,
    algorithm: str,
    shape: tuple[int, ...],
    scatter: Scatter,
    gather: Gather,
    *,
    ranks: int,
    subs: int = 1,
    by_slice: bool = False,
    in_shots: bool = False,
) -> Plan:
    """Plan a reduce-scatter, an all-gather, or an all-reduce made of both, that looks the same from every home."""
    moves = MoveList()
    for sub in range(subs if ranks > 1 else 0):
        total = () if operation is Operation.ALL_GATHER else (scatter(moves, sub),)
        if operation is not Operation.REDUCE_SCATTER:
            gather(moves, sub, total)
    return Plan(
        operation=operation,
        algorithm=algorithm,
        ranks=ranks,
        shape=shape,
        subs=subs,
        parts=ranks * subs,
        moves=tuple(moves.moves),
        symmetric=True,
        by_slice=by_slice,
        in_shots=in_shots,
    )
