"""Ideal overlap with a reduce-scatter that near-memory compute makes faster."""

from collections.abc import Sequence

from t3sim.lowering.work import Work
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.fused import NearMemoryPhase
from t3sim.schemes.ideal_overlap import overlapped
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme


@register(KIND, "ideal-overlap-nmc")
class IdealOverlapNmc(Scheme):
    """max(GEMM, reduce-scatter by DMA and near-memory updates) + all-gather, each alone."""

    label = "Ideal-RS+NMC"
    role: Role = "ideal"
    order = 4

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Time every part alone, the reduce-scatters by near-memory compute."""
        return overlapped(lab, works, NearMemoryPhase)
