"""T3: the reduce-scatter is fused with the GEMM that produces its data, by track and trigger."""

from collections.abc import Sequence

from t3sim.lowering.work import CollectiveWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.phases import FusedPhase, Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome
from t3sim.schemes.sequential import kernel_phase


@register(KIND, "t3")
class T3:
    """Fused GEMM and reduce-scatter, plain arbitration at the memory controller; the all-gather stays a kernel."""

    label = "T3"
    role: Role = "scheme"
    order = 1
    name = "t3"

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Fuse every reduce-scatter with its producer, run the rest as kernels."""
        return lab.run(fused_phases(works), self.name)


def fused_phases(works: Sequence[Work]) -> list[Phase]:
    """Put each reduce-scatter into one phase with its producer."""
    pairs = fusable(works)
    fused = [pair.op for pair in pairs]
    phases: list[Phase] = []
    for work in works:
        if isinstance(work, CollectiveWork) and work in pairs:
            phases.append(FusedPhase(work))
        elif work not in pairs.values():
            phases.append(kernel_phase(work, alone=work.op in fused))
    return phases
