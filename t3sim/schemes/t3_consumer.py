"""T3 on both sides: the tracker also counts what an all-gather brings, and releases workgroups that wait for it."""

from collections.abc import Iterator, Sequence

from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.consumer import ConsumerPhase
from t3sim.schemes.consumer_order import soonest
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome
from t3sim.schemes.t3 import fused_phases
from t3sim.schemes.t3_mca import T3Mca


@register(KIND, "t3-consumer")
class T3Consumer(T3Mca):
    """T3-MCA; and where a GEMM reads what an all-gather brings, DMA brings it while workgroups start as rows arrive.

    T3 proposes this for consumers in its section 7; the tracker counts arriving rows as it counts updates.
    """

    label = "T3-Consumer"
    role: Role = "extension"
    order = 6
    name = "t3-consumer"

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Fuse reduce-scatters with their producers and all-gathers with their consumers."""

        def consumed(gather: CollectiveWork, gemm: GemmWork) -> Iterator[Phase]:
            cut = soonest(gather, gemm, lab.speeds)
            yield ConsumerPhase(cut.gather, cut.gemm, by_engines=False, stage_workgroups=cut.stage_workgroups)

        phases = fused_phases(works, lab.track_trigger, lab.sharing.collective_cus, consumed)
        return lab.run(phases, T3Mca.name)
