"""Last-level cache: which of a GEMM's operand reads go to DRAM, and when its output is written back.

A set-associative LRU cache simulated at the grain of a *block* (one operand slab of a tile, by default) over the
exact order in which the stages' workgroups touch their operands. The order does not depend on time, so one pass
of a compiled function gives the DRAM traffic of a whole kernel, which the CU array then issues as it goes.

Output stores either allocate (and are written back when evicted, or when the kernel ends and its dirty lines are
made visible to peers) or bypass the cache, as near-memory updates do.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from t3sim.compiled import BoolArray, IntArray, compiled, part
from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.lowering.layout import Layout, Region, part_of_region
from t3sim.lowering.tiling import Tiling
from t3sim.units import ceil_div

MOST_BLOCKS = 2**19


class LlcSpec(Spec):
    """The last-level cache (L2) of one GPU."""

    capacity: PositiveBytes
    """Bytes it holds."""
    ways: Annotated[int, Field(gt=0)]
    """Blocks of a set."""
    block: PositiveBytes
    """Grain of the simulation; an operand slab takes as many blocks as it needs."""
    hit_latency: Femtoseconds
    """From a CU's load to its data, when the LLC holds it."""
    bandwidth: PositiveBytesPerSecond | None = None
    """Bytes that move between the LLC and all CUs; none: as many as they ask for."""

    @model_validator(mode="after")
    def _whole_sets(self) -> "LlcSpec":
        if self.capacity < self.block * self.ways:
            raise ValueError(
                f"capacity {self.capacity} B holds less than one set of {self.ways} blocks of {self.block} B"
            )
        if self.capacity // self.block > MOST_BLOCKS:
            raise ValueError(f"blocks of {self.block} B make more than {MOST_BLOCKS} blocks to simulate")
        return self

    @property
    def sets(self) -> int:
        """Sets of the simulated cache."""
        return self.capacity // (self.block * self.ways)


@dataclass(frozen=True, kw_only=True)
class LlcTraffic:
    """DRAM bytes that one GEMM causes through the LLC, at the place in the kernel where they arise."""

    asked_bytes: int
    """Operand bytes that all workgroups read, from the LLC or through it."""
    read_bytes: IntArray
    """Operand misses, shape (stages, slabs)."""
    evicted_bytes: IntArray
    """Dirty output evicted by operand reads, shape (stages, slabs)."""
    store_evicted_bytes: IntArray
    """Dirty output evicted when a stage's own stores allocate, shape (stages,)."""
    flush_bytes: int
    """Dirty output still held when the kernel ends."""
    places: "LlcPlaces | None" = None
    """Where these bytes lie; none where it was not asked for."""

    def written_through(self) -> "LlcTraffic":
        """Return the same traffic for output that is in memory already when the LLC evicts it."""
        return replace(
            self,
            evicted_bytes=np.zeros_like(self.evicted_bytes),
            store_evicted_bytes=np.zeros_like(self.store_evicted_bytes),
            flush_bytes=0,
        )

    def of_stage(self, stage: int) -> tuple[tuple[Region, IntArray], tuple[Region, IntArray]]:
        """Where the operands lie that are read for the slabs of a stage, and the output that is written back for them.

        Each in the order of the slabs, with the number of each one's blocks, shape (slabs,).
        """
        return self._located.of_stage(stage)

    @property
    def most_blocks(self) -> int:
        """Most blocks that the slabs of a stage read and write back."""
        return self._located.most_blocks

    def store_evicted(self, stage: int) -> Region:
        """Where the output lies that is written back for the output of one stage."""
        return self._located.store_evicted(stage)

    def flushed(self) -> Region:
        """Where the output lies that is written back when the kernel ends."""
        return self._located.flushed()

    @property
    def _located(self) -> "LlcPlaces":
        assert self.places is not None, "the traffic was made without places"
        return self.places


def gemm_traffic(
    spec: LlcSpec,
    tiling: Tiling,
    order: IntArray,
    stage_workgroups: int,
    *,
    write_allocate: bool | BoolArray,
    split_k: int = 1,
    with_places: bool = False,
) -> LlcTraffic:
    """Simulate the LLC over one GEMM, starting cold.

    ``order``: tiles in dispatch order, shape (tiles,); ``stage_workgroups``: workgroups resident at once.
    ``write_allocate``: whether output allocates, of all workgroups or of each in dispatch order.
    ``split_k`` workgroups follow each other on every tile, ``tiling`` being that of one part of K: a part reads other
    columns of A and rows of B than its neighbour, so to the cache it is a tile row and a tile column of its own.
    Operand blocks are numbered in the order the kernel first touches their row or column, as first-touch
    allocation places them, so the set mapping does not depend on the chunk a GPU starts with. ``with_places``: note
    which blocks moved.
    """
    rows = _first_touch(order // tiling.grid_n, tiling.grid_m)
    columns = _first_touch(order % tiling.grid_n, tiling.grid_n)
    workgroups = np.repeat(order, split_k)
    part = np.arange(len(workgroups)) % split_k
    stages = ceil_div(len(workgroups), stage_workgroups)
    reads, evicted = np.zeros((2, stages, tiling.slabs), np.int64)
    store_evicted = np.zeros(stages, np.int64)
    cache = np.full((3, spec.sets, spec.ways), -1, np.int64)
    blocks = _Blocks(spec.block, tiling, split_k)
    trail = Trail(
        np.empty((2, len(workgroups) * blocks.touched if with_places else 0), np.int64),
        np.zeros((2, stages, tiling.slabs + 1), np.int64),
        np.zeros(2, np.int64),
    )
    flush = _replay(
        cache,
        spec.block,
        np.stack(
            [rows[workgroups // tiling.grid_n] * split_k + part, columns[workgroups % tiling.grid_n] * split_k + part],
            axis=1,
        ),
        tiling.row_heights[workgroups // tiling.grid_n],
        tiling.column_widths[workgroups % tiling.grid_n],
        tiling.slab_depths,
        (blocks.a, blocks.b, blocks.c, blocks.b_base, blocks.c_base, tiling.element_bytes),
        stage_workgroups,
        np.broadcast_to(write_allocate, len(workgroups)).copy(),
        (reads, evicted, store_evicted),
        trail,
    )
    places = None
    if with_places:
        flushed = cache[_TAG][cache[_DIRTY_BYTES] > 0]
        places = LlcPlaces(blocks, np.argsort(rows), np.argsort(columns), workgroups, trail, flushed)
    # Its own rows of A and columns of B, once along K: what a workgroup reads does not depend on the cache.
    lines = tiling.row_heights[workgroups // tiling.grid_n] + tiling.column_widths[workgroups % tiling.grid_n]
    return LlcTraffic(
        asked_bytes=int(lines.sum() * tiling.slab_depths.sum()) * tiling.element_bytes,
        read_bytes=reads,
        evicted_bytes=evicted,
        store_evicted_bytes=store_evicted,
        flush_bytes=int(flush),
        places=places,
    )


class Trail(NamedTuple):
    """Which blocks moved, in order: those missed, and dirty ones evicted."""

    blocks: IntArray
    """(2, most): numbers of the missed and of the evicted blocks; nothing is noted where it has no columns."""
    first: IntArray
    """(2, stages, slabs + 1): where in ``blocks`` those of a slab begin; of a stage's stores, last."""
    noted: IntArray
    """(2,): blocks noted."""


class _Blocks:
    """How blocks are numbered: slabs of A by tile row, of B by tile column, then the output by workgroup."""

    def __init__(self, block: int, tiling: Tiling, split_k: int) -> None:
        self.block = block
        self.tiling = tiling
        self.split_k = split_k
        self.a = ceil_div(tiling.tile_m * tiling.slab_k * tiling.element_bytes, block)
        self.b = ceil_div(tiling.tile_n * tiling.slab_k * tiling.element_bytes, block)
        self.c = ceil_div(tiling.tile_elements * tiling.element_bytes, block)
        self.b_base = tiling.grid_m * split_k * tiling.slabs * self.a
        self.c_base = self.b_base + tiling.grid_n * split_k * tiling.slabs * self.b
        self.touched = tiling.slabs * (self.a + self.b) + self.c
        """Blocks that one workgroup touches."""


class LlcPlaces:
    """Where the bytes of a GEMM's LLC traffic lie, as regions."""

    def __init__(
        self, blocks: _Blocks, rows: IntArray, columns: IntArray, workgroups: IntArray, trail: Trail, flushed: IntArray
    ) -> None:
        """``rows``, ``columns``: tile row and column by rank of first touch; ``workgroups``: their tiles in order."""
        self._blocks = blocks
        self._rows, self._columns, self._tiles = rows, columns, workgroups
        self._numbers = [trail.blocks[kind, : trail.noted[kind]].copy() for kind in range(2)]
        self._bounds = [np.append(trail.first[kind].reshape(-1), trail.noted[kind]) for kind in range(2)]
        self._flushed = flushed
        self._slots = blocks.tiling.slabs + 1
        self._layout = Layout(tiling=blocks.tiling, split_k=blocks.split_k)

    @property
    def most_blocks(self) -> int:
        """Most blocks that the slabs of a stage read and write back."""
        firsts = [bounds[:-1].reshape(-1, self._slots) for bounds in self._bounds]
        return int(sum(first[:, -1] - first[:, 0] for first in firsts).max())

    def of_stage(self, stage: int) -> tuple[tuple[Region, IntArray], tuple[Region, IntArray]]:
        """Operands read for the slabs of a stage, and output written back for them: regions, blocks of each slab."""
        missed, evicted = (self._of_slabs(kind, stage) for kind in (_MISSED, _EVICTED))
        return missed, evicted

    def store_evicted(self, stage: int) -> Region:
        """Output written back for the output of one stage."""
        low, high = self._bounds[_EVICTED][(stage + 1) * self._slots - 1 :][:2]
        return self._regions[_EVICTED][low:high]

    def flushed(self) -> Region:
        """Output written back when the kernel ends: what is in the cache, or all of it for sums of parts."""
        return self._region(self._flushed) if self._blocks.split_k == 1 else self._layout.output()

    def _of_slabs(self, kind: int, stage: int) -> tuple[Region, IntArray]:
        bounds = self._bounds[kind][stage * self._slots : (stage + 1) * self._slots]
        return self._regions[kind][bounds[0] : bounds[-1]], np.diff(bounds)

    @cached_property
    def _regions(self) -> list[Region]:
        """Those of the missed and of the evicted blocks: worked out at once, which takes a tenth of stage by stage."""
        return [self._region(numbers) for numbers in self._numbers]

    def _region(self, numbers: IntArray) -> Region:
        blocks, slabs, split = self._blocks, self._blocks.tiling.slabs, self._blocks.split_k
        region = np.empty((len(numbers), 4), np.int64)
        at = np.empty(len(numbers), np.int64)
        is_a, is_c = numbers < blocks.b_base, numbers >= blocks.c_base
        is_b = ~(is_a | is_c)
        piece, at[is_a] = np.divmod(numbers[is_a], blocks.a)
        rank, slab = np.divmod(piece, slabs)
        region[is_a] = self._layout.slabs_of_a(self._rows[rank // split], rank % split, slab)
        piece, at[is_b] = np.divmod(numbers[is_b] - blocks.b_base, blocks.b)
        rank, slab = np.divmod(piece, slabs)
        region[is_b] = self._layout.slabs_of_b(self._columns[rank // split], rank % split, slab)
        piece, at[is_c] = np.divmod(numbers[is_c] - blocks.c_base, blocks.c)
        region[is_c] = self._layout.tiles(self._tiles[piece])
        return part_of_region(region, at, blocks.block)


def _first_touch(touched: IntArray, count: int) -> IntArray:
    """Rank of each index by its first appearance in ``touched``, shape (count,)."""
    _, first = np.unique(touched, return_index=True)
    ranks = np.empty(count, np.int64)
    ranks[touched[np.sort(first)]] = np.arange(len(first))
    return ranks


# Rows of the cache array.
_TAG, _STAMP, _DIRTY_BYTES = 0, 1, 2
# Kinds of blocks on the trail.
_MISSED, _EVICTED = 0, 1


@part
def _note(trail: Trail, kind: int, block_id: int) -> None:
    if trail.blocks.shape[1]:
        trail.blocks[kind, trail.noted[kind]] = block_id
        trail.noted[kind] += 1


@part
def _access(cache: IntArray, block_id: int, now: int, dirty_bytes: int, trail: Trail) -> tuple[bool, int]:
    """Touch one block; return (hit, dirty bytes written back by the eviction this caused)."""
    sets, ways = cache.shape[1], cache.shape[2]
    # Multiplicative hash of the block number: consecutive and strided blocks spread over the sets.
    index = ((np.uint64(block_id) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(33)) % np.uint64(sets)
    oldest = 0
    for way in range(ways):
        if cache[_TAG, index, way] == block_id:
            cache[_STAMP, index, way] = now
            return True, 0
        if cache[_STAMP, index, way] < cache[_STAMP, index, oldest]:
            oldest = way
    written_back = max(cache[_DIRTY_BYTES, index, oldest], 0)
    if written_back:
        _note(trail, _EVICTED, cache[_TAG, index, oldest])
    cache[_TAG, index, oldest] = block_id
    cache[_STAMP, index, oldest] = now
    cache[_DIRTY_BYTES, index, oldest] = dirty_bytes
    return False, written_back


@part
def _span(
    cache: IntArray, first_block: int, nbytes: int, block: int, now: int, is_store: bool, trail: Trail
) -> tuple[int, int, int]:
    """Touch the blocks of one operand slab or output tile; return (bytes missed, bytes written back, clock)."""
    missed, written_back, at = 0, 0, 0
    while at * block < nbytes:
        part = min(block, nbytes - at * block)
        hit, dirty = _access(cache, first_block + at, now, part if is_store else 0, trail)
        if not hit:
            missed += part
            if not is_store:
                _note(trail, _MISSED, first_block + at)
        now += 1
        at += 1
        written_back += dirty
    return missed, written_back, now


@part
def _dirty_bytes(cache: IntArray) -> int:
    """Dirty bytes that the cache holds."""
    total = 0
    for index in range(cache.shape[1]):
        for way in range(cache.shape[2]):
            total += max(cache[_DIRTY_BYTES, index, way], 0)
    return total


@compiled
def _replay(
    cache: IntArray,
    block: int,
    places: IntArray,
    heights: IntArray,
    widths: IntArray,
    depths: IntArray,
    shape: tuple[int, int, int, int, int, int],
    stage_workgroups: int,
    write_allocate: BoolArray,
    out: tuple[IntArray, IntArray, IntArray],
    trail: Trail,
) -> int:
    """Replay the kernel: per stage, slab by slab, every workgroup reads A then B; at the stage's end it stores C."""
    a_blocks, b_blocks, c_blocks, b_base, c_base, element = shape
    reads, evicted, store_evicted = out
    slabs = depths.shape[0]
    now = 0
    for stage in range(reads.shape[0]):
        first, last = stage * stage_workgroups, min((stage + 1) * stage_workgroups, places.shape[0])
        for slab in range(slabs):
            trail.first[_MISSED, stage, slab] = trail.noted[_MISSED]
            trail.first[_EVICTED, stage, slab] = trail.noted[_EVICTED]
            for wg in range(first, last):
                a_block = (places[wg, 0] * slabs + slab) * a_blocks
                missed, dirty, now = _span(
                    cache, a_block, heights[wg] * depths[slab] * element, block, now, False, trail
                )
                reads[stage, slab] += missed
                evicted[stage, slab] += dirty
                b_block = b_base + (places[wg, 1] * slabs + slab) * b_blocks
                missed, dirty, now = _span(
                    cache, b_block, widths[wg] * depths[slab] * element, block, now, False, trail
                )
                reads[stage, slab] += missed
                evicted[stage, slab] += dirty
        trail.first[_MISSED, stage, slabs] = trail.noted[_MISSED]
        trail.first[_EVICTED, stage, slabs] = trail.noted[_EVICTED]
        for wg in range(first, last):
            if write_allocate[wg]:
                c_block = c_base + wg * c_blocks
                _, dirty, now = _span(cache, c_block, heights[wg] * widths[wg] * element, block, now, True, trail)
                store_evicted[stage] += dirty
    return _dirty_bytes(cache)
