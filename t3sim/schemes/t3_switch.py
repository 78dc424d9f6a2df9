"""T3 in the switch: the GEMM's stores leave as contributions that the switch sums on their way to their owners."""

from collections.abc import Sequence
from dataclasses import replace

from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.errors import SimulationError
from t3sim.lowering.work import CollectiveWork, Work
from t3sim.registry import register
from t3sim.schemes.scheme import KIND, Lab, Outcome
from t3sim.schemes.t3 import fused_phases
from t3sim.schemes.t3_mca import T3Mca

_ALGORITHM = "in-switch"
_SWITCHED = (Operation.REDUCE_SCATTER, Operation.ALL_GATHER)


@register(KIND, "t3-switch")
class T3Switch(T3Mca):
    """T3-MCA whose reduce-scatter is summed by the switch, and whose all-gather is triggered and multiplied by it.

    All output leaves the GPU, that for its own chunk included (multimem reductions); what comes back is the sum of the
    own chunk. The tracker sees its tiles arrive, and each goes out to all others at once. A GPU sends ``S + S/N`` and
    receives as much; a ring's ``2 (N-1)/N S`` is nearly twice that, but its halves alone are no more than the switch's:
    what the switch saves is in doing both at once.
    """

    label = "T3-Switch"
    order = 5
    name = "t3-switch"

    def misfit(self, facts: NetworkFacts) -> str:
        """Ask for a switch that reduces and multicasts."""
        if facts.switch_reduces and facts.switch_multicasts:
            return ""
        return "needs a topology whose switches reduce and multicast"

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Run as T3 does, by plans that use the switch. Raises ``SimulationError`` where it cannot."""
        if reason := self.misfit(lab.facts):
            raise SimulationError(f"{self.name} {reason}")
        triggered = lab.track_trigger.model_copy(update={"gathers": True})
        switched = [in_switch(work, lab.facts) for work in works]
        return lab.run(fused_phases(switched, triggered, lab.sharing.collective_cus), T3Mca.name)


def in_switch(work: Work, facts: NetworkFacts) -> Work:
    """Give the same collective by the plan of the switch, where it has one over the same parts."""
    if not isinstance(work, CollectiveWork) or work.plan.operation not in _SWITCHED:
        return work
    plan = make_plan(work.plan.operation, _ALGORITHM, facts)
    return replace(work, plan=plan) if plan.parts == work.plan.parts else work
