"""Asynchronous tensor parallelism: what PyTorch's symmetric memory does with a GEMM and its reduce-scatter."""

from collections.abc import Sequence
from contextlib import suppress

from t3sim.collectives.planning import NetworkFacts
from t3sim.errors import InputError, SimulationError
from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.consumer import DecomposedConsumerPhase
from t3sim.schemes.decomposed import DecomposedPhase
from t3sim.schemes.halves import in_halves
from t3sim.schemes.host import issued
from t3sim.schemes.kernels import GemmPhase
from t3sim.schemes.peer_plans import by_engines
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.sequential import kernel_phase


@register(KIND, "async-tp")
class AsyncTp(Scheme):
    """The GEMM is decomposed by destination; copy engines bring each piece there; a last kernel reads all and sums.

    After PyTorch, torch/distributed/_symmetric_memory: a GEMM for each GPU's rows, those of the own rows last. Its
    twin has a GEMM for each GPU's rows of a gathered input, own rows first, as copy engines bring them.
    """

    label = "Async TP"
    role: Role = "rival"
    order = 22

    def misfit(self, facts: NetworkFacts) -> str:
        """Ask for links between all GPUs."""
        return "" if facts.direct else "needs a network on which every GPU reaches every other without passing a third"

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Decompose every GEMM whose output is reduce-scattered; run the rest as kernels."""
        if reason := self.misfit(lab.facts):
            raise SimulationError(f"async-tp {reason}")

        def produced(scatter: CollectiveWork, gemm: GemmWork) -> Sequence[Phase]:
            pieces = _pieces(lab, gemm, scatter.plan.ranks)
            if not pieces:
                return GemmPhase(gemm), kernel_phase(scatter)
            moved, overhead = by_engines(scatter, lab.facts), lab.sharing.scatter_overhead_fs
            return (DecomposedPhase(pieces, moved, GemmPhase(gemm), overhead),)

        def consumed(gather: CollectiveWork, gemm: GemmWork) -> Sequence[Phase]:
            pieces = _pieces(lab, gemm, gather.plan.ranks)
            if not pieces:
                return kernel_phase(gather), GemmPhase(gemm)
            moved, overhead = by_engines(gather, lab.facts), lab.sharing.gather_overhead_fs
            return (DecomposedConsumerPhase(moved, pieces, GemmPhase(gemm), overhead),)

        return lab.run(issued(in_halves(works, produced, consumed), works, lab.sharing), "async-tp")


def _pieces(lab: Lab, gemm: GemmWork, ranks: int) -> tuple[GemmWork, ...]:
    """Cut a GEMM into as many pieces of whole rows as GPUs; none where it has too few."""
    rows = gemm.op.M
    sizes = [rows * (rank + 1) // ranks - rows * rank // ranks for rank in range(ranks)]
    found: list[Work] = []
    with suppress(InputError):
        for number, size in enumerate(sizes):
            found += lab.lower([gemm.op.model_copy(update={"id": f"{gemm.op.id}.{number}", "M": size, "after": ()})])
    return tuple(work for work in found if isinstance(work, GemmWork)) if len(found) == ranks else ()
