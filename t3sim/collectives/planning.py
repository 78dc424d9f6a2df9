"""From the name of an algorithm to a proven plan."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from t3sim.collectives.check import check
from t3sim.collectives.plan import Operation, Plan
from t3sim.errors import PlanError
from t3sim.registry import get, names

KIND = "algorithm"
HALVES = (Operation.REDUCE_SCATTER, Operation.ALL_GATHER, Operation.ALL_REDUCE)
"""What most algorithms do: a reduce-scatter, an all-gather, or one after the other."""


@dataclass(frozen=True, kw_only=True)
class NetworkFacts:
    """What an algorithm may know of the network that its plan is for."""

    ranks: int
    shape: tuple[int, ...]
    """Grid of the ranks, row-major: ``(N,)``, a torus ``(4, 4)``, or ``(nodes, ranks of a node)``."""
    direct: bool = False
    """Whether every GPU reaches every other without passing a third."""
    switch_reduces: bool = False
    switch_multicasts: bool = False

    def __post_init__(self) -> None:
        if self.ranks < 1 or min(self.shape, default=0) < 1 or math.prod(self.shape) != self.ranks:
            raise PlanError(f"a grid of {self.shape} does not hold {self.ranks} ranks")


class Algorithm(Protocol):
    """A way to do collectives; one file each, found by registration."""

    operations: tuple[Operation, ...]
    """What it can do."""

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan one of its operations; PlanError says why it does not work on such a network."""


def nodes_of(algorithm: str, facts: NetworkFacts) -> tuple[int, int]:
    """(nodes, ranks of a node) of a network; PlanError if its grid has not these two dimensions."""
    match facts.shape:
        case (nodes, per_node):
            return nodes, per_node
    raise PlanError(f"{algorithm} needs a grid of nodes and ranks of a node, not {facts.shape}")


@lru_cache(maxsize=256)
def make_plan(operation: Operation, algorithm: str, facts: NetworkFacts) -> Plan:
    """Plan ``operation`` by the algorithm of that name, and prove the plan.

    Raises UnknownNameError for a name that is not registered, and PlanError where the algorithm does not do the
    operation or does not work on such a network.
    """
    maker: Algorithm = get(KIND, algorithm)()
    if operation not in maker.operations:
        known = ", ".join(algorithms_for(operation))
        raise PlanError(f"{algorithm} has no {operation.value} (known: {known})")
    plan = maker.plan(operation, facts)
    check(plan)
    return plan


def algorithms_for(operation: Operation) -> tuple[str, ...]:
    """Names of the algorithms that do ``operation``, sorted."""
    return tuple(name for name in names(KIND) if operation in get(KIND, name).operations)


def default_algorithm(operation: Operation, suited: Sequence[str] = ()) -> str:
    """Name the first of the algorithms ``suited`` to a network that does ``operation``, or one that does on any."""
    for algorithm in suited:
        if operation in get(KIND, algorithm).operations:
            return algorithm
    return "direct" if operation in (Operation.ALL_TO_ALL, Operation.SEND) else "ring"
