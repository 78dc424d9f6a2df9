"""Fused in software, with a switch that adds up: GEMM and all-reduce in one kernel, by multimem instructions."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from t3sim.collectives.planning import NetworkFacts
from t3sim.errors import SimulationError
from t3sim.lowering.work import Work
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.fused import SOFTWARE
from t3sim.schemes.host import issued
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.t3 import fused_phases
from t3sim.schemes.t3_switch import T3Switch, in_switch


@register(KIND, "fused-switch-sw")
class FusedSwitchSoftware(Scheme):
    """The epilogue stores tiles as contributions that the switch sums; their owners multicast what comes back.

    As Triton-distributed's GEMM + all-reduce does (NVLink SHARP). It moves what `t3-switch` moves; but the instructions
    that have the switch sum and multiply take CUs, which the GEMM lacks.
    """

    label = "Fused in software, in the switch"
    role: Role = "rival"
    order = 24
    tunes: ClassVar[Mapping[str, tuple[int | str, ...]]] = {"overlap_cus": (4, 8, 16, 32)}

    def misfit(self, facts: NetworkFacts) -> str:
        """Ask for a switch that reduces and multicasts."""
        return T3Switch().misfit(facts)

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Fuse by plans that use the switch. Raises ``SimulationError`` where it cannot."""
        if reason := self.misfit(lab.facts):
            raise SimulationError(f"fused-switch-sw {reason}")
        switched = [in_switch(work, lab.facts) for work in works]
        triggered = SOFTWARE.model_copy(update={"gathers": True})
        phases = fused_phases(switched, triggered, lab.sharing.collective_cus, in_software=True)
        return lab.run(issued(phases, works, lab.sharing), "fused-switch-sw")
