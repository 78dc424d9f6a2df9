"""T3: the reduce-scatter is fused with the GEMM that produces its data, by track and trigger."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from t3sim.collectives.plan import Operation
from t3sim.execution.address_space import in_turns
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.work import CollectiveWork, GemmWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.fused import FusedPhase
from t3sim.schemes.halves import Pairing, in_halves
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme


@register(KIND, "t3")
class T3(Scheme):
    """Fused GEMM and reduce-scatter, plain arbitration at the memory controller; the all-gather stays a kernel."""

    label = "T3"
    role: Role = "scheme"
    order = 1
    name = "t3"

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Fuse every reduce-scatter with its producer, run the rest as kernels."""
        return lab.run(fused_phases(works, lab.track_trigger, lab.sharing.collective_cus), self.name)


def fused_phases(
    works: Sequence[Work],
    spec: TrackTriggerSpec,
    summing_cus: int = 0,
    consumed: Pairing | None = None,
    *,
    in_software: bool = False,
) -> list[Phase]:
    """Put each collective that can be fused into a phase with its producer, and its all-gather if that is triggered.

    ``summing_cus``: CUs that sum beside the GEMM where memory does not add. ``consumed``: see ``in_halves``.
    """
    cus = 0 if spec.near_memory else summing_cus
    followers = {work: found for work in fusable(works) if spec.gathers and (found := _all_gather_of(work, works))}

    def produced(work: CollectiveWork, gemm: GemmWork) -> Iterator[Phase]:
        del gemm
        yield FusedPhase(made_in_turns(work) if spec.staggered else work, followers.get(work), in_software, cus)

    return in_halves(works, produced, consumed, list(followers.values()))


@lru_cache(maxsize=64)
def made_in_turns(work: CollectiveWork) -> CollectiveWork:
    """Give the same work with a kernel for as many parts as it makes in turns."""
    parts = len(in_turns(work.plan, 0))
    if work.producer is None or parts <= 1:
        return work
    return replace(work, producer=replace(work.producer, tiles=work.producer.tiles.in_turns(parts)))


def _all_gather_of(work: CollectiveWork, works: Sequence[Work]) -> CollectiveWork | None:
    """Find the all-gather of what ``work`` leaves: over the same chunks, and waiting for nothing else."""
    for other in works:
        if not isinstance(other, CollectiveWork) or other.plan.operation is not Operation.ALL_GATHER:
            continue
        if other.follows(work) and other.chunks.chunk_bytes == work.chunks.chunk_bytes:
            return other
    return None
