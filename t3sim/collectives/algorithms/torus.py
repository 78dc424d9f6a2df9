"""Torus: a ring along each dimension in turn, and all dimensions at once.

Each chunk is cut into one sub-chunk per dimension, and each of these starts along another dimension, so that the links
of all are busy. On ``D`` equal sides of ``d`` ranks (``n = d^D``), with ``B`` bytes per second to the next rank along
each side, a reduce-scatter or an all-gather takes at most ``(n-1)/n S/(D B) + D (d-1) L``, an all-reduce the sum of
both. A step along a side moves many chunks, and the next one starts with the first of them that arrives: so it takes
less where the latency is short beside the bytes. Unequal sides are not busy to the end, and it takes longer.

Source: Jain and Sabharwal, "Optimal bucket algorithms for large MPI collectives on torus interconnects", ICS 2010.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts
from t3sim.errors import PlanError
from t3sim.registry import register

_NAME = "torus"


@register(KIND, _NAME)
class Torus:
    """Sub-chunk ``k`` takes the dimensions from the ``k``-th on, in lane ``k``; an all-gather goes the way back."""

    operations = HALVES

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over the network's grid; PlanError if it has one dimension only."""
        shape = facts.shape
        dimensions = len(shape)
        if dimensions == 1:
            raise PlanError(f"{_NAME} needs a grid of at least two dimensions, not {shape}")

        def scatter(moves: MoveList, sub: int) -> int:
            arrived: dict[int, list[int]] = defaultdict(list)
            for phase in _phases(shape, sub):
                for hop in phase.inward():
                    number = moves.add(Kind.REDUCE, sub, *hop, after=arrived[hop[0]], lane=sub)
                    arrived[hop[1]].append(number)
            return moves.add_sum(sub, 0, arrived[0], lane=sub)

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            arrived = {0: after}
            for phase in reversed(_phases(shape, sub)):
                for source, destination in phase.outward():
                    number = moves.add(Kind.COPY, sub, source, destination, after=arrived[source], lane=sub)
                    arrived[destination] = (number,)

        return in_halves(operation, _NAME, shape, scatter, gather, ranks=facts.ranks, subs=dimensions)


@dataclass(frozen=True)
class _Phase:
    """All lines of ranks along one dimension that a chunk of home 0 travels at the same time."""

    size: int
    """Ranks of a line."""
    stride: int
    """From one rank of a line to the next."""
    starts: tuple[int, ...]
    """The rank of each line that has the home's coordinate."""

    def inward(self) -> Iterator[tuple[int, int]]:
        """Give the hops that end at the starts: from the rank after each, around the line."""
        for place in range(1, self.size):
            for start in self.starts:
                yield start + place * self.stride, start + (place + 1) % self.size * self.stride

    def outward(self) -> Iterator[tuple[int, int]]:
        """Give the hops that begin at the starts."""
        for place in range(self.size - 1):
            for start in self.starts:
                yield start + place * self.stride, start + (place + 1) * self.stride


def _phases(shape: tuple[int, ...], first: int) -> list[_Phase]:
    """List the phases of a reduce-scatter that starts along dimension ``first``; after each, fewer ranks are left."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    turns = [(first + place) % len(shape) for place in range(len(shape))]
    phases = []
    for place, axis in enumerate(turns):
        later = [range(0, shape[other] * strides[other], strides[other]) for other in turns[place + 1 :]]
        phases.append(_Phase(shape[axis], strides[axis], tuple(sum(offsets) for offsets in product(*later))))
    return phases
