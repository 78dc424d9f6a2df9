"""Stream overlap: what software does with two streams, without fusing anything."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import ClassVar

from t3sim.errors import InputError
from t3sim.lowering.work import CollectiveWork, GemmWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.gemm_runs import Beside
from t3sim.schemes.halves import in_halves
from t3sim.schemes.host import issued
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
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
    copies_on_cus: ClassVar[bool] = True
    """Whether collectives use loads and stores of CUs."""
    tunes: ClassVar[Mapping[str, tuple[int | str, ...]]] = {
        "overlap_pieces": (1, 2, 4, 8),
        "overlap_cus": (8, 16, 24, 32),
        "cu_sharing": ("fixed", "collective-first"),
    }

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Cut each GEMM whose output a collective takes, or whose input one brings; run the rest as kernels."""
        followers = {
            work: [other for other in works if isinstance(other, CollectiveWork) and other.follows(work)]
            for work in fusable(works)
        }

        def produced(work: CollectiveWork, gemm: GemmWork) -> Iterator[Phase]:
            yield self._streams(lab, gemm, (gemm, work, *followers[work]))

        def consumed(work: CollectiveWork, gemm: GemmWork) -> Iterator[Phase]:
            yield self._streams(lab, gemm, (work, gemm))

        taken = [work for some in followers.values() for work in some]
        return lab.run(issued(in_halves(works, produced, consumed, taken), works, lab.sharing), self.name)

    def _streams(self, lab: Lab, gemm: GemmWork, works: Sequence[Work]) -> StreamsPhase:
        """Put GEMMs on one stream and collectives on another; what comes second in ``works`` waits for the first."""
        pieces, gemm_first, sharing = _cut(lab, gemm, works), works[0] is gemm, lab.sharing
        takes_cus = any(self.takes_cus(work) for work in works if isinstance(work, CollectiveWork))
        kernels: list[Kernel] = []
        last: dict[type[Work], int] = {}
        for number, piece in enumerate(pieces):
            for work in piece:
                is_first = isinstance(work, GemmWork) == gemm_first
                after = (last[type(work)],) if type(work) in last else ()
                events = () if is_first else tuple(last[stream] for stream in last if stream is not type(work))
                last[type(work)] = len(kernels)
                # Nothing runs beside the first of those that come first, and the last of the others.
                alone = number == (0 if is_first else len(pieces) - 1) or not takes_cus
                kernels.append(Kernel(self._phase(lab, work, alone=alone), after, events))
        return StreamsPhase(tuple(kernels), gemm_alone=GemmPhase(gemm), event_fs=sharing.event_fs)

    def _phase(self, lab: Lab, work: Work, *, alone: bool) -> Phase:
        sharing, fixed = lab.sharing, lab.sharing.gemm_first is None
        if isinstance(work, CollectiveWork):
            beside = None if fixed else Beside(priority=int(bool(sharing.gemm_first)))
            return self.collective(work, None if alone else sharing.collective_cus, beside, lab)
        displaced = sharing.displaces and self.copies_on_cus
        if fixed and (alone or not displaced):
            return GemmPhase(work, None if alone else sharing.gemm_cus)
        beside = Beside(priority=int(not sharing.gemm_first), is_displaced=displaced)
        return GemmPhase(work, sharing.gemm_cus if fixed else None, beside=beside)

    def takes_cus(self, work: CollectiveWork) -> bool:
        """Whether a collective takes CUs from the GEMM that it runs beside."""
        del work
        return True

    def collective(self, work: CollectiveWork, cus: int | None, beside: Beside | None, lab: Lab) -> Phase:
        """Run a piece's collective on ``cus`` CUs; ``None``: all that collectives have."""
        del lab
        return CollectivePhase(work, not work.continues, cus, beside=beside)


def _cut(lab: Lab, gemm: GemmWork, works: Sequence[Work]) -> list[tuple[Work, ...]]:
    """Cut a GEMM into pieces of whole tile rows, each with its part of the collectives; as few as it has to be."""
    operations = list(dict.fromkeys(work.op for work in works))
    for count in range(lab.sharing.pieces, 1, -1):
        sizes = _rows(gemm.op.M, gemm.plain.tiling.tile_m, count)
        with suppress(InputError):  # too small for a chunk a GPU
            return [lab.lower(_piece(operations, number, rows, gemm.op.M)) for number, rows in enumerate(sizes)]
    return [tuple(works)]


def _piece(operations: Sequence[Gemm | Collective], number: int, rows: int, whole: int) -> list[Gemm | Collective]:
    """Give the part of ``operations`` that is ``rows`` of ``whole`` rows."""
    ids = {op.id: f"{op.id}.{number}" for op in operations}
    pieces: list[Gemm | Collective] = []
    for op in operations:
        named = {"id": ids[op.id], "after": tuple(ids[name] for name in op.after if name in ids)}
        size = {"M": rows} if isinstance(op, Gemm) else {"bytes": op.bytes * rows // whole}
        pieces.append(op.model_copy(update=named | size))
    return pieces


def _rows(rows: int, tile: int, count: int) -> list[int]:
    """Cut ``rows`` into at most ``count`` pieces of whole tile rows, as equal as they can be."""
    grid = ceil_div(rows, tile)
    count = min(count, grid)
    ends = [min(rows, tile * (grid * (number + 1) // count)) for number in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
