"""DMA overlap: two streams whose collectives copy engines carry out."""

from typing import ClassVar

from t3sim.lowering.work import CollectiveWork
from t3sim.registry import register
from t3sim.schemes.gemm_runs import Beside
from t3sim.schemes.kernels import CollectivePhase
from t3sim.schemes.peer_plans import by_engines
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab
from t3sim.schemes.stream_overlap import StreamOverlap


@register(KIND, "dma-overlap")
class DmaOverlap(StreamOverlap):
    """As stream-overlap, but copy engines copy (ConCCL, arXiv 2412.14335): CUs are taken for sums alone."""

    label = "DMA overlap"
    order = 21
    name = "dma-overlap"
    copies_on_cus: ClassVar[bool] = False

    def takes_cus(self, work: CollectiveWork) -> bool:
        """Take CUs where something is summed: an all-gather is copies alone."""
        return work.plan.sums

    def collective(self, work: CollectiveWork, cus: int | None, beside: Beside | None, lab: Lab) -> Phase:
        """Have a piece's collective copied by engines, and summed on ``cus`` CUs."""
        return CollectivePhase(by_engines(work, lab.facts), not work.continues, cus, by_engines=True, beside=beside)
