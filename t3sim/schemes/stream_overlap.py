"""Stream overlap: what software does with two streams, without fusing anything."""

from collections.abc import Iterator, Sequence

from t3sim.lowering.work import CollectiveWork, GemmWork, Work, fusable
from t3sim.registry import register
from t3sim.results.schemes import Role
from t3sim.schemes.phases import CollectivePhase, GemmPhase, Phase
from t3sim.schemes.scheme import KIND, Lab, Outcome, Scheme
from t3sim.schemes.sequential import kernel_phase
from t3sim.schemes.streams import Kernel, StreamsPhase
from t3sim.units import ceil_div
from t3sim.workload.operations import Collective, Gemm

PIECES = 4
CUS = 8


@register(KIND, "stream-overlap")
class StreamOverlap(Scheme):
    """The GEMM is cut along M; the collective of each piece runs on a few CUs beside the GEMM of the next."""

    label = "Stream overlap"
    role: Role = "scheme"
    order = 20

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Cut each GEMM whose output a collective takes; run the rest as kernels."""
        pairs = fusable(works)
        phases: list[Phase] = []
        skipped: list[Work] = list(pairs.values())
        for work in works:
            if isinstance(work, CollectiveWork) and work in pairs:
                followers = [other for other in works if isinstance(other, CollectiveWork) and follows(other, work)]
                skipped += followers
                phases.append(StreamsPhase(tuple(pieces(lab, pairs[work], [work, *followers], PIECES, CUS))))
            elif work not in skipped:
                phases.append(kernel_phase(work))
        return lab.run(phases, "stream-overlap")


def follows(other: CollectiveWork, work: CollectiveWork) -> bool:
    """Whether ``other`` takes what ``work`` leaves behind, and waits for nothing else."""
    return (other.continues and other.op is work.op) or other.op.after == (work.op.id,)


def pieces(
    lab: Lab, gemm: GemmWork, collectives: Sequence[CollectiveWork], count: int, cus: int
) -> Iterator[Kernel]:
    """Give the kernels of two streams: GEMMs of whole tile rows, and collectives of their output."""
    sizes = _rows(gemm.op.M, gemm.plain.tiling.tile_m, count)
    operations = list(dict.fromkeys(work.op.id for work in collectives))
    named = {work.op.id: work.op for work in collectives}
    place, last_gemm, last_collective = 0, None, None
    for number, rows in enumerate(sizes):
        part = gemm.op.model_copy(update={"id": f"{gemm.op.id}.{number}", "M": rows, "after": ()})
        (lowered,) = lab.lower([part])
        shared = number > 0
        after = () if last_gemm is None else (last_gemm,)
        assert isinstance(lowered, GemmWork)
        yield Kernel(GemmPhase(lowered, lab.cus - cus if shared else None), after)
        last_gemm, place = place, place + 1
        alone = number == len(sizes) - 1
        for name in operations:
            for work in lab.lower([_part(named[name], number, rows, gemm.op)]):
                assert isinstance(work, CollectiveWork)
                waits = (last_gemm,) if last_collective is None else (last_gemm, last_collective)
                yield Kernel(CollectivePhase(work, not work.continues, None if alone else cus), waits)
                last_collective, place = place, place + 1


def _part(op: Collective, number: int, rows: int, gemm: Gemm) -> Collective:
    nbytes = op.bytes * rows // gemm.M
    return op.model_copy(update={"id": f"{op.id}.{number}", "bytes": nbytes, "after": ()})


def _rows(rows: int, tile: int, count: int) -> list[int]:
    """Cut ``rows`` into at most ``count`` pieces of whole tile rows, as equal as they can be."""
    grid = ceil_div(rows, tile)
    count = min(count, grid)
    ends = [min(rows, tile * (grid * (number + 1) // count)) for number in range(count)]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
