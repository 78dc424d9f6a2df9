"""Fused in software: the GEMM's epilogue stores tiles where they belong, without any new hardware."""

from collections.abc import Sequence
from dataclasses import replace

from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.lowering.work import CollectiveWork, Work
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.fused import SOFTWARE
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.t3 import fused_phases


@register(KIND, "fused-sw")
class FusedSoftware(Scheme):
    """One kernel stores tiles in their owners' memory over the links, own tiles last; then CUs read all copies and sum.

    As Flux (arXiv 2406.06858), TileLink (arXiv 2503.20313) and Triton-distributed (arXiv 2504.19442) do. Where GPUs
    have no links to all others, tiles travel by the system's own plan: CUs that the GEMM leaves to them sum what
    arrives, and it is sent on.
    """

    label = "Fused in software"
    role: Role = "rival"
    order = 23

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Fuse every reduce-scatter with its producer, run the rest as kernels."""
        facts = lab.facts
        summing_cus = 0 if facts.direct else lab.sharing.collective_cus
        direct = [_direct(work, facts) if facts.direct else work for work in works]
        return lab.run(fused_phases(direct, SOFTWARE, summing_cus, in_software=True), "fused-sw")


def _direct(work: Work, facts: NetworkFacts) -> Work:
    """Send each part of a reduce-scatter straight to its owner, where that cuts the buffer into the same parts."""
    if not isinstance(work, CollectiveWork) or work.plan.operation is not Operation.REDUCE_SCATTER:
        return work
    plan = make_plan(Operation.REDUCE_SCATTER, "direct", facts)
    return replace(work, plan=plan) if plan.parts == work.plan.parts else work
