"""In the switch: it sums what all ranks send to a home, and multiplies what a home sends to all.

Through one port of ``B`` bytes per second and direction to the switch, ``L`` from rank to rank: a reduce-scatter sends
``S`` and receives ``S/n``, an all-gather sends ``S/n`` and receives ``S``, each in ``S/B + L``. An all-reduce does both
at once, slice by slice: ``(1 + 1/n) S/B``, twice the latency, and the time of a slice. A ring moves ``2 (n-1)/n S``: a
switch saves nearly half of an all-reduce, and nothing of its halves.

Source: Klenk et al., "An in-network architecture for accelerating shared-memory multiprocessor collectives", ISCA 2020.
"""

from t3sim.collectives.moves import MoveList, in_halves
from t3sim.collectives.plan import Kind, Operation, Plan
from t3sim.collectives.planning import HALVES, KIND, NetworkFacts
from t3sim.errors import PlanError
from t3sim.registry import register

_NAME = "in-switch"


@register(KIND, _NAME)
class InSwitch:
    """A lane for each home, so that all ranks send the same slices of a chunk at the same time; one for the copies.

    As the instructions for it do, both take the home for one of all: it sends its own contribution to the switch too,
    and has its own copy back from there.
    """

    operations = HALVES

    def plan(self, operation: Operation, facts: NetworkFacts) -> Plan:
        """Plan over the network's own grid; PlanError if its switch does not do what the operation needs."""
        if operation is not Operation.ALL_GATHER and not facts.switch_reduces:
            raise PlanError(f"{_NAME} {operation.value} needs a switch that reduces")
        if operation is not Operation.REDUCE_SCATTER and not facts.switch_multicasts:
            raise PlanError(f"{_NAME} {operation.value} needs a switch that multicasts")
        everyone = range(facts.ranks)

        def scatter(moves: MoveList, sub: int) -> int:
            first, *_ = [moves.add(Kind.MERGE, sub, rank, 0, lane=rank) for rank in everyone]
            return first

        def gather(moves: MoveList, sub: int, after: tuple[int, ...]) -> None:
            moves.add(Kind.COPY, sub, 0, tuple(everyone), after=after, lane=facts.ranks)

        return in_halves(operation, _NAME, facts.shape, scatter, gather, ranks=facts.ranks, by_slice=True)
