"""Last-level cache: which of a GEMM's operand reads go to DRAM, and when its output is written back.

A set-associative LRU cache simulated at the grain of a *block* (one operand slab of a tile, by default) over the
exact order in which the stages' workgroups touch their operands. The order does not depend on time, so one pass
of a compiled kernel gives the DRAM traffic of a whole kernel, which the CU array then issues as it goes.

Output stores either allocate (and are written back when evicted, or when the kernel ends and its dirty lines are
made visible to peers) or bypass the cache, as near-memory updates do.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.kernels import IntArray, kernel
from t3sim.units import ceil_div
from t3sim.workload.tiling import Tiling

MOST_BLOCKS = 2**19


class LlcSpec(Spec):
    """The last-level cache (L2) of one GPU."""

    capacity: PositiveBytes
    ways: Annotated[int, Field(gt=0)]
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

    read_bytes: IntArray
    """Operand misses, shape (stages, slabs)."""
    evicted_bytes: IntArray
    """Dirty output evicted by operand reads, shape (stages, slabs)."""
    store_evicted_bytes: IntArray
    """Dirty output evicted when a stage's own stores allocate, shape (stages,)."""
    flush_bytes: int
    """Dirty output still held when the kernel ends."""


def gemm_traffic(
    spec: LlcSpec, tiling: Tiling, order: IntArray, stage_workgroups: int, *, write_allocate: bool, split_k: int = 1
) -> LlcTraffic:
    """Simulate the LLC over one GEMM, starting cold.

    ``order``: tiles in dispatch order, shape (tiles,); ``stage_workgroups``: workgroups resident at once.
    ``split_k`` workgroups follow each other on every tile, ``tiling`` being that of one part of K: a part reads other
    columns of A and rows of B than its neighbour, so to the cache it is a tile row and a tile column of its own.
    Operand blocks are numbered in the order the kernel first touches their row or column, as first-touch
    allocation places them, so the set mapping does not depend on the chunk a GPU starts with.
    """
    rows = _first_touch(order // tiling.grid_n, tiling.grid_m)
    columns = _first_touch(order % tiling.grid_n, tiling.grid_n)
    order = np.repeat(order, split_k)
    part = np.arange(len(order)) % split_k
    stages = ceil_div(len(order), stage_workgroups)
    reads, evicted = np.zeros((2, stages, tiling.slabs), np.int64)
    store_evicted = np.zeros(stages, np.int64)
    cache = np.full((3, spec.sets, spec.ways), -1, np.int64)
    flush = _replay(
        cache,
        spec.block,
        np.stack(
            [
                rows[order // tiling.grid_n] * split_k + part,
                columns[order % tiling.grid_n] * split_k + part,
            ],
            axis=1,
        ),
        tiling.row_heights[order // tiling.grid_n],
        tiling.column_widths[order % tiling.grid_n],
        tiling.slab_depths,
        (
            tiling.grid_m * split_k,
            tiling.grid_n * split_k,
            tiling.tile_m,
            tiling.tile_n,
            tiling.slab_k,
            tiling.element_bytes,
        ),
        stage_workgroups,
        write_allocate,
        (reads, evicted, store_evicted),
    )
    return LlcTraffic(
        read_bytes=reads, evicted_bytes=evicted, store_evicted_bytes=store_evicted, flush_bytes=int(flush)
    )


def _first_touch(touched: IntArray, count: int) -> IntArray:
    """Rank of each index by its first appearance in ``touched``, shape (count,)."""
    _, first = np.unique(touched, return_index=True)
    ranks = np.empty(count, np.int64)
    ranks[touched[np.sort(first)]] = np.arange(len(first))
    return ranks


# Rows of the cache array.
_TAG, _STAMP, _DIRTY_BYTES = 0, 1, 2


@kernel
def _access(cache: IntArray, block_id: int, now: int, dirty_bytes: int) -> tuple[bool, int]:
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
    cache[_TAG, index, oldest] = block_id
    cache[_STAMP, index, oldest] = now
    cache[_DIRTY_BYTES, index, oldest] = dirty_bytes
    return False, written_back


@kernel
def _span(cache: IntArray, first_block: int, nbytes: int, block: int, now: int, is_store: bool) -> tuple[int, int, int]:
    """Touch the blocks of one operand slab or output tile; return (bytes missed, bytes written back, clock)."""
    missed, written_back, at = 0, 0, 0
    while at * block < nbytes:
        part = min(block, nbytes - at * block)
        hit, dirty = _access(cache, first_block + at, now, part if is_store else 0)
        now += 1
        at += 1
        written_back += dirty
        if not hit:
            missed += part
    return missed, written_back, now


@kernel
def _dirty_bytes(cache: IntArray) -> int:
    """Dirty bytes that the cache holds."""
    total = 0
    for index in range(cache.shape[1]):
        for way in range(cache.shape[2]):
            total += max(cache[_DIRTY_BYTES, index, way], 0)
    return total


@kernel
def _replay(
    cache: IntArray,
    block: int,
    places: IntArray,
    heights: IntArray,
    widths: IntArray,
    depths: IntArray,
    shape: tuple[int, int, int, int, int, int],
    stage_workgroups: int,
    write_allocate: bool,
    out: tuple[IntArray, IntArray, IntArray],
) -> int:
    """Replay the kernel: per stage, slab by slab, every workgroup reads A then B; at the stage's end it stores C."""
    grid_m, grid_n, tile_m, tile_n, slab_k, element = shape
    reads, evicted, store_evicted = out
    slabs = depths.shape[0]
    a_blocks = -(-tile_m * slab_k * element // block)
    b_blocks = -(-tile_n * slab_k * element // block)
    c_blocks = -(-tile_m * tile_n * element // block)
    b_base = grid_m * slabs * a_blocks
    c_base = b_base + grid_n * slabs * b_blocks
    now = 0
    for stage in range(reads.shape[0]):
        first, last = stage * stage_workgroups, min((stage + 1) * stage_workgroups, places.shape[0])
        for slab in range(slabs):
            for wg in range(first, last):
                a_block = (places[wg, 0] * slabs + slab) * a_blocks
                missed, dirty, now = _span(cache, a_block, heights[wg] * depths[slab] * element, block, now, False)
                reads[stage, slab] += missed
                evicted[stage, slab] += dirty
                b_block = b_base + (places[wg, 1] * slabs + slab) * b_blocks
                missed, dirty, now = _span(cache, b_block, widths[wg] * depths[slab] * element, block, now, False)
                reads[stage, slab] += missed
                evicted[stage, slab] += dirty
        if write_allocate:
            for wg in range(first, last):
                c_block = c_base + wg * c_blocks
                _, dirty, now = _span(cache, c_block, heights[wg] * widths[wg] * element, block, now, True)
                store_evicted[stage] += dirty
    return _dirty_bytes(cache)
