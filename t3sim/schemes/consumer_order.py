"""In which order the tiles of a GEMM are made whose input arrives part by part, and when that could end.

A part is what has an arrival of its own: a rank's chunk, or a piece of it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import accumulate

import numpy as np

from t3sim.collectives.cut import in_pieces
from t3sim.collectives.plan import Plan, arrivals_of, part_of
from t3sim.compiled import IntArray
from t3sim.execution.address_space import own_chunks
from t3sim.lowering.chunks import cut_evenly
from t3sim.lowering.kernel_choice import stage_s
from t3sim.lowering.work import CollectiveWork, GemmWork, whole_row_kernels
from t3sim.schemes.scheme import Speeds
from t3sim.units import ceil_div


@dataclass(frozen=True, eq=False)
class ConsumerOrder:
    """The tiles of a GEMM as a GPU makes them whose input arrives part by part."""

    tiles: IntArray
    """Shape (tiles,), in dispatch order."""
    needed: IntArray
    """By workgroup, shape (tiles,): how many of ``parts`` are there when the last is that it needs."""
    parts: tuple[int, ...]
    """Of the gathered buffer, in the order in which they arrive: what the GPU has itself first."""
    own: int
    """How many of them it has itself."""
    of_rows: tuple[tuple[int, ...], ...]
    """By row of tiles: the parts that it needs."""
    columns: int
    """Tiles of a row."""

    def parts_of(self, first: int, last: int) -> tuple[int, ...]:
        """List the parts that workgroups ``first`` to ``last - 1`` need, as they arrive."""
        rows = np.unique(self.tiles[first:last] // self.columns)
        return tuple(sorted({part for row in rows for part in self.of_rows[row]}, key=self._place.__getitem__))

    @cached_property
    def _place(self) -> dict[int, int]:
        return {part: place for place, part in enumerate(self.parts)}


@lru_cache(maxsize=256)
def consumer_order(gather: CollectiveWork, work: GemmWork, rank: int, engines: int = 0) -> ConsumerOrder:
    """Order the tiles of ``work`` by when the rows of its input are there that they need.

    ``engines``: copy engines that bring them; 0: DMA, which sends to all at once.
    """
    tiling = work.fused.tiling
    parts, own = arriving_parts(gather, rank, engines)
    place_of = np.argsort(parts)
    row_bytes, ends = work.op.input_bytes // work.op.M, np.cumsum(gather.chunks.chunk_bytes)
    last_row = np.cumsum(tiling.row_heights)
    first = np.searchsorted(ends, (last_row - tiling.row_heights) * row_bytes, side="right")
    last = np.searchsorted(ends, last_row * row_bytes - 1, side="right")
    of_rows = tuple(tuple(range(low, high + 1)) for low, high in zip(first.tolist(), last.tolist(), strict=True))
    latest = np.array([place_of[list(needed)].max() + 1 for needed in of_rows])
    tiles = tiling.dispatch_order(_rows_together(work, len(parts)))
    needed = latest[tiles // tiling.grid_n]
    by_arrival = np.argsort(needed, kind="stable")
    return ConsumerOrder(tiles[by_arrival], needed[by_arrival], parts, own, of_rows, tiling.grid_n)


def arriving_parts(gather: CollectiveWork, rank: int, engines: int = 0) -> tuple[tuple[int, ...], int]:
    """List the parts of what is gathered in the order in which ``rank`` has them; of how many it has them itself."""
    plan, turns = gather.plan, _turns(gather.plan, engines)
    own = [part_of(plan, chunk) for chunk in sorted(own_chunks(plan, rank))]
    others = sorted(arrivals_of(plan, rank), key=lambda each: turns[each.move.number])
    return (*own, *(part_of(plan, each.chunk) for each in others)), len(own)


@lru_cache(maxsize=64)
def _turns(plan: Plan, engines: int) -> tuple[tuple[int, int, int], ...]:
    """Say of each move in which round of copies it is made, as the how-manieth of its lane, and in which lane.

    Engines that copy in shots take what each lane sends one lane after the other; else all lanes go on at once.
    """
    rounds = engines if engines and plan.in_shots else len(plan.moves)
    steps: dict[int, set[int]] = {}
    for move in plan.moves:
        steps.setdefault(move.lane, set()).add(move.step)
    places = {lane: {step: place for place, step in enumerate(sorted(found))} for lane, found in steps.items()}
    return tuple((move.lane // rounds, places[move.lane][move.step], move.lane) for move in plan.moves)


def arrival_s(gather: CollectiveWork, rank: int, speeds: Speeds, engines: int = 0) -> Sequence[float]:
    """Estimate when each of the arriving parts is there, in their order; 0 for what the GPU has itself."""
    plan, turns = gather.plan, _turns(gather.plan, engines)
    _, own = arriving_parts(gather, rank, engines)
    part_bytes = max(gather.chunks.chunk_bytes)
    lanes = Counter(number for number, _ in {(turn[0], turn[2]) for turn in turns})
    start_s = speeds.copy_start_s if engines else 0.0
    periods = [
        max(start_s + part_bytes / speeds.peer_bytes_per_s, lanes[number] * part_bytes / speeds.out_bytes_per_s)
        for number in sorted(lanes)
    ]
    steps = max((turn[1] for turn in turns), default=0) + 1
    begun = [0.0, *accumulate(steps * period for period in periods)]
    arriving = sorted(turns[arrival.move.number] for arrival in arrivals_of(plan, rank))
    return [0.0] * own + [begun[number] + (step + 1) * periods[number] for number, step, _ in arriving]


@dataclass(frozen=True)
class Cut:
    """How a GEMM that waits for its rows is run."""

    gather: CollectiveWork
    gemm: GemmWork
    stage_workgroups: int


def soonest(gather: CollectiveWork, gemm: GemmWork, speeds: Speeds) -> Cut:
    """Choose what is estimated to end first where DMA brings the rows: kernel, pieces of a part, size of a stage.

    Pieces are whole rows of tiles, of one size on all GPUs. Of equal ends the first: few pieces, large stages.
    """
    return _least(cut for found in _kernels(gather, gemm, speeds) for cut in _in_rows(gather, found, speeds))


def soonest_by_engines(gather: CollectiveWork, gemm: GemmWork, speeds: Speeds) -> Cut:
    """Choose kernel and size of a stage where copy engines bring the rows, in pieces of as many as the software copies.

    Where rows of tiles do not end where such pieces do, a part comes as a whole.
    """
    cuts: list[tuple[float, Cut]] = []
    for found in _kernels(gather, gemm, speeds):
        pieces = 1
        if speeds.gather_rows and speeds.gather_rows % found.fused.tiling.tile_m == 0:
            rows, left = divmod(gemm.op.M, gather.plan.parts * speeds.gather_rows)
            pieces = rows if not left and _even(gather) else 1
        cuts += _sized(in_parts(gather, pieces), found, speeds, speeds.engines)
    return _least(cuts)


def _least(cuts: Iterable[tuple[float, Cut]]) -> Cut:
    return min(cuts, key=lambda cut: cut[0])[1]


def _kernels(gather: CollectiveWork, gemm: GemmWork, speeds: Speeds) -> Iterator[GemmWork]:
    """List the fused kernel that is fastest alone, and those that start rows of tiles where parts start."""
    yield gemm
    yield from whole_row_kernels(gemm, speeds.kernel, gather.plan.parts)


def _in_rows(gather: CollectiveWork, gemm: GemmWork, speeds: Speeds) -> Iterator[tuple[float, Cut]]:
    """Give the ends with each number of pieces of whole rows of tiles that a part may be cut into."""
    rows, left = divmod(gemm.op.M, gather.plan.parts * gemm.fused.tiling.tile_m)
    most = 1 if left or not _even(gather) else rows
    for pieces in (count for count in range(1, most + 1) if most % count == 0):
        yield from _sized(in_parts(gather, pieces), gemm, speeds, 0)


def _even(gather: CollectiveWork) -> bool:
    return len(set(gather.chunks.chunk_bytes)) == 1


def in_parts(gather: CollectiveWork, pieces: int) -> CollectiveWork:
    """Let every part of what is gathered come in so many pieces."""
    if pieces == 1:
        return gather
    return replace(gather, plan=in_pieces(gather.plan, pieces), chunks=cut_evenly(gather.chunks, pieces))


def _sized(gather: CollectiveWork, gemm: GemmWork, speeds: Speeds, engines: int) -> Iterator[tuple[float, Cut]]:
    """Give the end of rank 0's GEMM by the size of its stages: as many workgroups as fit, or whole parts."""
    order, there = consumer_order(gather, gemm, 0, engines), arrival_s(gather, 0, speeds, engines)
    most = speeds.rates.cus * gemm.fused.workgroups_per_cu
    for size in stage_sizes(len(order.tiles), len(order.parts), most):
        rest = (len(order.tiles) - 1) % size + 1
        whole_s, last_s = (_stage_s(gemm, count, speeds) for count in (size, rest))
        yield end_s(order.needed, there, size, whole_s, last_s), Cut(gather, gemm, size)


def _stage_s(gemm: GemmWork, workgroups: int, speeds: Speeds) -> float:
    """Estimate the time of a stage whose operands are in no cache, since they have just arrived.

    A slab's load goes on while those prefetched compute: slabs follow one another no sooner than that allows.
    """
    loads_s = gemm.fused.tiling.slabs * speeds.rates.load_latency_s / max(1, speeds.kernel.prefetch_slabs)
    return max(stage_s(gemm.fused, workgroups, gemm.op.dtype, speeds.rates), loads_s)


def stage_sizes(tiles: int, parts: int, most: int) -> list[int]:
    """List how many workgroups may make a stage: as many as fit, then whole parts, or equal shares of one."""
    of_part = max(1, tiles // parts)
    if of_part > most:
        return [most, ceil_div(of_part, ceil_div(of_part, most))]
    return [most, *range(of_part * (most // of_part), 0, -of_part)]


def end_s(needed: IntArray, there: Sequence[float], size: int, whole_s: float, last_s: float) -> float:
    """Estimate when the last stage ends, each of which starts when its parts are there and the one before has ended.

    ``there``: by part, when it has arrived; ``whole_s``, ``last_s``: time of a stage, and of the last.
    """
    now = 0.0
    for latest in np.maximum.reduceat(needed, np.arange(0, len(needed), size)).tolist():
        now = max(now, there[latest - 1]) + whole_s
    return now - whole_s + last_s


def _rows_together(work: GemmWork, parts: int) -> int:
    """Rows of tiles that are dispatched together: the fused kernel's, or what of them divides a part of whole rows.

    Groups that reach into another part would be cut differently on each GPU, by what it has itself.
    """
    tiling = work.fused.tiling
    usual = max(1, int(np.argmax(work.tiles.order % tiling.grid_n > 0)))
    rows, left = divmod(tiling.grid_m, parts)
    if left or not rows:
        return usual
    return max(number for number in range(1, min(rows, usual) + 1) if rows % number == 0)
