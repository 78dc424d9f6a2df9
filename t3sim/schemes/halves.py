"""How schemes put the two halves of tensor parallelism together: GEMMs that produce, and GEMMs that consume."""

from collections.abc import Callable, Collection, Iterable, Sequence

from t3sim.lowering.work import CollectiveWork, GemmWork, Work, consumers, fusable
from t3sim.schemes.phases import Phase
from t3sim.schemes.sequential import kernel_phase

Pairing = Callable[[CollectiveWork, GemmWork], Iterable[Phase]]
"""Makes the phases of a collective and the GEMM that goes with it."""


def in_halves(
    works: Sequence[Work], produced: Pairing, consumed: Pairing | None = None, taken: Collection[Work] = ()
) -> list[Phase]:
    """Put ``works`` into phases: a collective and the GEMM that produces its data, or consumes them, into one.

    The rest runs as kernels. ``consumed``: of an all-gather whose GEMM no collective follows; ``None``: kernels as
    well. ``taken``: what those phases carry out beside their pairs.
    """
    producers = fusable(works)
    readers = {gather: gemm for gather, gemm in consumers(works).items() if consumed and gemm not in producers.values()}
    in_pairs = [*producers.values(), *readers.values(), *taken]
    fused = [work.op for work in producers]
    phases: list[Phase] = []
    for work in works:
        if isinstance(work, CollectiveWork) and work in producers:
            phases += produced(work, producers[work])
        elif isinstance(work, CollectiveWork) and work in readers and consumed is not None:
            phases += consumed(work, readers[work])
        elif work not in in_pairs:
            phases.append(kernel_phase(work, alone=work.op in fused))
    return phases
