"""Stream overlap: what software does with two streams, without fusing anything."""

from collections.abc import Sequence
from contextlib import suppress

from t3sim.errors import InputError
from t3sim.lowering.work import CollectiveWork, GemmWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.sequential import kernel_phase
from t3sim.schemes.streams import Kernel, StreamsPhase
from t3sim.units import ceil_div
from t3sim.workload.operations import Collective, Gemm


@register(KIND, "stream-overlap")
class StreamOverlap(Scheme):
    """The GEMM is cut along M; the collectives of each piece run on some CUs beside the GEMM of the next."""

    label = "Stream overlap"
    role: Role = "rival"
    order = 20
    name = "stream-overlap"

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Cut each GEMM whose output a collective takes; run the rest as kernels."""
        pairs = fusable(works)
        phases: list[Phase] = []
        taken: list[Work] = list(pairs.values())
        for work in works:
            if isinstance(work, CollectiveWork) and work in pairs:
                followers = [other for other in works if isinstance(other, CollectiveWork) and other.follows(work)]
                taken += followers
                kernels = self._on_two_streams(_cut(lab, pairs[work], [work, *followers]), lab)
                phases.append(StreamsPhase(kernels, gemm_alone=GemmPhase(pairs[work])))
            elif work not in taken:
                phases.append(kernel_phase(work))
        return lab.run(phases, self.name)

    def _on_two_streams(self, pieces: Sequence[tuple[Work, ...]], lab: Lab) -> tuple[Kernel, ...]:
        """Put GEMMs on one stream and collectives on another, where each waits for the GEMM of its piece."""
        kernels: list[Kernel] = []
        last: dict[type[Work], int] = {}
        for number, works in enumerate(pieces):
            for work in works:
                awaited = (GemmWork,) if isinstance(work, GemmWork) else (GemmWork, CollectiveWork)
                after = tuple(last[stream] for stream in awaited if stream in last)
                last[type(work)] = len(kernels)
                # All CUs are the first GEMM's, and the last collectives'.
                if isinstance(work, GemmWork):
                    phase: Phase = GemmPhase(work, None if number == 0 else lab.sharing.gemm_cus)
                else:
                    cus = None if number == len(pieces) - 1 else lab.sharing.collective_cus
                    phase = self.collective(work, cus, lab)
                kernels.append(Kernel(phase, after))
        return tuple(kernels)

    def collective(self, work: CollectiveWork, cus: int | None, lab: Lab) -> Phase:
        """Run a piece's collective on ``cus`` CUs; ``None``: all that collectives have."""
        del lab
        return CollectivePhase(work, not work.continues, cus)


def _cut(lab: Lab, gemm: GemmWork, collectives: Sequence[CollectiveWork]) -> list[tuple[Work, ...]]:
    """Cut a GEMM into pieces of whole tile rows, each with its part of the collectives; as few as it has to be."""
    operations = list(dict.fromkeys(work.op for work in collectives))
    for count in range(lab.sharing.pieces, 1, -1):
        sizes = _rows(gemm.op.M, gemm.plain.tiling.tile_m, count)
        with suppress(InputError):  # too small for a chunk a GPU
            return [lab.lower(_piece(gemm.op, operations, number, rows)) for number, rows in enumerate(sizes)]
    return [(gemm, *collectives)]


def _piece(gemm: Gemm, collectives: Sequence[Collective], number: int, rows: int) -> list[Gemm | Collective]:
    ids = {name: f"{name}.{number}" for name in (gemm.id, *(op.id for op in collectives))}
    part = gemm.model_copy(update={"id": ids[gemm.id], "M": rows, "after": ()})
    return [
        part,
        *(
            op.model_copy(
                update={
                    "id": ids[op.id],
                    "bytes": op.bytes * rows // gemm.M,
                    "after": tuple(ids[name] for name in op.after),
                }
            )
            for op in collectives
        ),
    ]


def _rows(rows: int, tile: int, count: int) -> list[int]:
    """Cut ``rows`` into at most ``count`` pieces of whole tile rows, as equal as they can be."""
    grid = ceil_div(rows, tile)
    count = min(count, grid)
    ends = [min(rows, tile * (grid * (number + 1) // count)) for number in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
