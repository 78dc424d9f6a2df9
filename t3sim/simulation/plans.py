"""Which plan carries out a collective: by the algorithm that the system names, its library's, or one that suits."""

from functools import lru_cache

from t3sim.collectives.plan import Operation, Plan
from t3sim.collectives.planning import KIND as ALGORITHM
from t3sim.collectives.planning import NetworkFacts, default_algorithm, make_plan
from t3sim.errors import InputError, PlanError, Problem
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.topologies import Topology
from t3sim.hardware.network.wiring import Wiring
from t3sim.lowering.work import PlansOf, Work, lower
from t3sim.registry import get, names
from t3sim.simulation.cheapest import cheapest_algorithm, split_halves
from t3sim.simulation.system import SystemSpec
from t3sim.workload.operations import Sublayer


def network_settings(topology: object, algorithm: object) -> dict[str, object]:
    """Return the keys of a system that a topology's and an algorithm's name stand for; ``None``: as it is.

    The algorithm is for every collective that it can do.
    """
    settings: dict[str, object] = {} if topology is None else {"topology": {"kind": topology}}
    if algorithm is not None:
        known = names(ALGORITHM)
        if algorithm not in known:
            raise InputError(Problem(message="unknown name", key="algorithm", value=algorithm, known=known))
        done = get(ALGORITHM, str(algorithm)).operations
        settings["algorithms"] = {operation.value: algorithm for operation in done}
    return settings


def wiring_of(system: SystemSpec, gpus: int) -> Wiring:
    """Wire ``gpus`` GPUs as the system's topology says. Raises ``InputError`` where they do not fit it."""
    try:
        return _wired(system.topology, system.link, gpus)
    except ValueError as error:
        raise InputError(Problem(message=str(error), key="topology", value=system.topology.kind)) from None


@lru_cache(maxsize=32)
def _wired(topology: Topology, link: LinkSpec, gpus: int) -> Wiring:
    return topology.wire(link, gpus)


def facts_of(system: SystemSpec, gpus: int) -> NetworkFacts:
    """Collect what algorithms may know of the network of ``gpus`` GPUs. Raises ``InputError`` as ``wiring_of``."""
    wiring = wiring_of(system, gpus)
    switches = tuple(wiring.switches.values())
    return NetworkFacts(
        ranks=gpus,
        shape=wiring.shape,
        direct=wiring.direct,
        switch_reduces=bool(switches) and all(switch.reduces for switch in switches),
        switch_multicasts=bool(switches) and all(switch.multicasts for switch in switches),
    )


def plans_of(system: SystemSpec, gpus: int) -> PlansOf:
    """Return what chooses the plans of a collective on ``gpus`` GPUs of ``system``.

    It raises ``InputError`` where the algorithm that the system names does not work there.
    """
    facts = facts_of(system, gpus)
    cheapest = cheapest_algorithm(system.available_protocols(), facts, wiring_of(system, gpus))

    def plans(op: str, nbytes: int) -> tuple[Plan, ...]:
        operation = Operation(op)
        algorithm = system.algorithms.get(op) or cheapest(operation, nbytes)
        algorithm = algorithm or default_algorithm(operation, system.topology.suited)
        try:
            return split_halves(make_plan(operation, algorithm, facts), facts)
        except PlanError as error:
            raise InputError(Problem(message=str(error), key=f"algorithms.{op}")) from None

    return plans


def works_of(system: SystemSpec, sublayer: Sublayer) -> tuple[Work, ...]:
    """Lower ``sublayer`` for ``system``. Raises ``InputError`` where it does not fit."""
    plans = plans_of(system, sublayer.tp)
    return lower(sublayer, system.gemm, system.compute.collective_slice, plans, system.gemm_rates())
