"""Asynchronous tensor parallelism: what PyTorch's symmetric memory does with a GEMM and its reduce-scatter."""

from collections.abc import Sequence
from contextlib import suppress

from t3sim.collectives.planning import NetworkFacts
from t3sim.errors import InputError, SimulationError
from t3sim.lowering.work import CollectiveWork, GemmWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.decomposed import DecomposedPhase
from t3sim.schemes.kernels import GemmPhase
from t3sim.schemes.peer_plans import by_engines
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.sequential import kernel_phase


@register(KIND, "async-tp")
class AsyncTp(Scheme):
    """The GEMM is decomposed by destination; copy engines bring each piece there; a last kernel reads all and sums.

    After PyTorch, torch/distributed/_symmetric_memory: a GEMM for each GPU's rows, those of the own rows last.
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
        pairs = fusable(works)
        phases: list[Phase] = []
        for work in works:
            if isinstance(work, CollectiveWork) and work in pairs:
                phases += _decomposed(lab, pairs[work], work)
            elif work not in pairs.values():
                phases.append(kernel_phase(work, alone=work.op in [pair.op for pair in pairs]))
        return lab.run(phases, "async-tp")


def _decomposed(lab: Lab, gemm: GemmWork, scatter: CollectiveWork) -> list[Phase]:
    """Cut a GEMM into as many pieces as GPUs; one with too few rows stays whole."""
    ranks, rows = scatter.plan.ranks, gemm.op.M
    sizes = [rows * (rank + 1) // ranks - rows * rank // ranks for rank in range(ranks)]
    with suppress(InputError):
        pieces = [
            lab.lower([gemm.op.model_copy(update={"id": f"{gemm.op.id}.{number}", "M": size, "after": ()})])
            for number, size in enumerate(sizes)
        ]
        gemms = tuple(work for piece in pieces for work in piece if isinstance(work, GemmWork))
        moved = by_engines(scatter, lab.facts)
        return [DecomposedPhase(gemms, moved, GemmPhase(gemm), lab.sharing.piece_overhead_fs)]
    return [GemmPhase(gemm), kernel_phase(scatter)]
