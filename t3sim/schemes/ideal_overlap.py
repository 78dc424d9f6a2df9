"""Ideal overlap: GEMM and reduce-scatter side by side without any contention, from their times alone."""

from collections.abc import Callable, Sequence

from t3sim.lowering.work import CollectiveWork, Work, consumers, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.kernels import CollectivePhase
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme, in_sequence
from t3sim.schemes.sequential import kernel_phase


@register(KIND, "ideal-overlap")
class IdealOverlap(Scheme):
    """max(GEMM, reduce-scatter) + all-gather, each timed with the machine to itself."""

    label = "Ideal-GEMM-RS-Overlap"
    role: Role = "ideal"
    order = 3

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Time every part alone and let producers and their reduce-scatters overlap in full."""
        return overlapped(lab, works, CollectivePhase)


def overlapped(lab: Lab, works: Sequence[Work], reduce_scatter: Callable[[CollectiveWork], Phase]) -> Outcome:
    """Run all parts alone; of a pair that can overlap the longer counts, the other is saved.

    Such a pair is a reduce-scatter and its producer, or an all-gather and its consumer.
    """
    producers = fusable(works)
    readers = {work: gemm for work, gemm in consumers(works).items() if gemm not in producers.values()}
    parts, saved = [], 0
    for work in works:
        if isinstance(work, CollectiveWork) and work in producers:
            part = lab.alone(reduce_scatter(work))
        else:
            part = lab.alone(kernel_phase(work))
        if isinstance(work, CollectiveWork) and (gemm := producers.get(work) or readers.get(work)) is not None:
            saved += min(part.own_fs, lab.alone(kernel_phase(gemm)).own_fs)
        parts.append(part)
    return in_sequence(parts, saved_fs=saved)
