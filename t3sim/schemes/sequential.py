"""The baseline: what today's GPUs do without overlap."""

from collections.abc import Sequence

from t3sim.lowering.work import GemmWork, Work
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme


@register(KIND, "sequential")
class Sequential(Scheme):
    """GEMM, then reduce-scatter, then all-gather, each a kernel with the GPU to itself."""

    label = "Sequential"
    role: Role = "baseline"
    order = 0

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Run one kernel after the other."""
        return lab.run([kernel_phase(work) for work in works], "sequential")


def kernel_phase(work: Work, *, alone: bool = False) -> Phase:
    """Run ``work`` as a kernel on the CUs; ``alone``: launch even the second half of an all-reduce."""
    if isinstance(work, GemmWork):
        return GemmPhase(work)
    return CollectivePhase(work, launched=alone or not work.continues)
