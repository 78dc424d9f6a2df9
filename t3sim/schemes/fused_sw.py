"""Fused in software: the GEMM's epilogue stores tiles where they belong, without any new hardware."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from t3sim.lowering.work import CollectiveWork, GemmWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.consumer import ConsumerPhase
from t3sim.schemes.consumer_order import soonest_by_engines
from t3sim.schemes.fused import SOFTWARE
from t3sim.schemes.host import issued
from t3sim.schemes.peer_plans import by_engines, direct
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.t3 import fused_phases


@register(KIND, "fused-sw")
class FusedSoftware(Scheme):
    """One kernel stores tiles in their owners' memory over the links, own tiles last; then CUs read all copies and sum.

    As Flux (arXiv 2406.06858), TileLink (arXiv 2503.20313) and Triton-distributed (arXiv 2504.19442) do. Where GPUs
    have no links to all others, tiles travel by the system's own plan: CUs that the GEMM leaves to them sum what
    arrives, and it is sent on. Where a GEMM reads what an all-gather brings, copy engines bring it, and workgroups
    wait for flags.
    """

    label = "Fused in software"
    role: Role = "rival"
    order = 23
    tunes: ClassVar[Mapping[str, tuple[int | str, ...]]] = {"overlap_cus": (8, 16, 24, 32)}

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Fuse every reduce-scatter with its producer, run the rest as kernels."""
        facts = lab.facts
        summing_cus = 0 if facts.direct else lab.sharing.collective_cus
        pairs = fusable(works)
        stored = [direct(work, facts) if work in pairs else work for work in works]

        def consumed(gather: CollectiveWork, gemm: GemmWork) -> Iterator[Phase]:
            cut = soonest_by_engines(by_engines(gather, facts), gemm, lab.speeds)
            yield ConsumerPhase(cut.gather, cut.gemm, by_engines=True, stage_workgroups=cut.stage_workgroups)

        phases = fused_phases(stored, SOFTWARE, summing_cus, consumed, in_software=True)
        return lab.run(issued(phases, works, lab.sharing), "fused-sw")
