"""Which algorithm a library would run: the one that its own cost table takes for the fastest."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from operator import itemgetter

from t3sim.collectives.plan import Operation, Plan
from t3sim.collectives.planning import NetworkFacts, algorithms_for, make_plan
from t3sim.errors import PlanError
from t3sim.hardware.network.wiring import Wiring
from t3sim.lowering.load import load_of
from t3sim.lowering.protocol import ProtocolSpec, chosen, usable


def cheapest_algorithm(
    protocols: Mapping[str, ProtocolSpec], facts: NetworkFacts, wiring: Wiring
) -> Callable[[Operation, int], str | None]:
    """Return what names the algorithm for an operation on a buffer of some bytes; ``None`` where no protocol does it.

    Of equals it is the one whose protocol stands first.
    """

    @cache
    def choose(operation: Operation, nbytes: int) -> str | None:
        known = algorithms_for(operation)
        costs: list[tuple[int, str]] = []
        for algorithm in dict.fromkeys(protocol.algorithm for protocol in protocols.values()):
            found = usable(protocols, algorithm, operation.value, nbytes, facts.ranks)
            cost = _cost_fs(operation, algorithm, nbytes, found) if found and algorithm in known else None
            if cost is not None:
                costs.append((cost, algorithm))
        return min(costs, key=itemgetter(0))[1] if costs else None

    def _cost_fs(operation: Operation, algorithm: str, nbytes: int, found: Mapping[str, ProtocolSpec]) -> int | None:
        """Give the cost to rank 0; ``None`` where the algorithm does not work."""
        try:
            plans = split_halves(make_plan(operation, algorithm, facts), facts)
        except PlanError:
            return None
        # What rank 0 receives along a ring comes from another node, if there are several.
        load = load_of(plans, nbytes, 0, partial(wiring.bytes_per_s, 0))
        return chosen(found, load).expected_fs(load)

    return choose


def split_halves(plan: Plan, facts: NetworkFacts) -> tuple[Plan, ...]:
    """Return an all-reduce as a reduce-scatter and an all-gather, where its algorithm does both.

    Not where the halves go on at the same time, slice by slice: one after the other they would take longer.
    """
    halves = (Operation.REDUCE_SCATTER, Operation.ALL_GATHER)
    if plan.operation is not Operation.ALL_REDUCE or plan.by_slice:
        return (plan,)
    if not all(plan.algorithm in algorithms_for(half) for half in halves):
        return (plan,)
    return tuple(make_plan(half, plan.algorithm, facts) for half in halves)
