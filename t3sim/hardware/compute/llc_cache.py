"""The LLC as a set-associative LRU cache, replayed over the accesses of a GEMM's workgroups; compiled."""

from typing import Final, NamedTuple

import numpy as np

from t3sim.compiled import BoolArray, IntArray, compiled, part

# Rows of the cache array.
TAG: Final = 0
STAMP: Final = 1
DIRTY_BYTES: Final = 2
# Kinds of blocks on the trail.
MISSED: Final = 0
EVICTED: Final = 1
# What the clock counts.
TOUCHED: Final = 0
STRANGE: Final = 1
_FIRST_STRANGE: Final = 2**62
"""Number of the first block that is not the GEMM's; none comes back."""


class Trail(NamedTuple):
    """Which blocks moved, in order: those missed, and dirty ones evicted."""

    blocks: IntArray
    """(2, most): numbers of the missed and of the evicted blocks; nothing is noted where it has no columns."""
    first: IntArray
    """(2, stages, slabs + 1): where in ``blocks`` those of a slab begin; of a stage's stores, last."""
    noted: IntArray
    """(2,): blocks noted."""


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
        if cache[TAG, index, way] == block_id:
            cache[STAMP, index, way] = now
            return True, 0
        if cache[STAMP, index, way] < cache[STAMP, index, oldest]:
            oldest = way
    written_back = max(cache[DIRTY_BYTES, index, oldest], 0)
    if written_back:
        _note(trail, EVICTED, cache[TAG, index, oldest])
    cache[TAG, index, oldest] = block_id
    cache[STAMP, index, oldest] = now
    cache[DIRTY_BYTES, index, oldest] = dirty_bytes
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
                _note(trail, MISSED, first_block + at)
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
            total += max(cache[DIRTY_BYTES, index, way], 0)
    return total


@part
def _displace(cache: IntArray, nbytes: int, block: int, clock: IntArray, trail: Trail) -> int:
    """Let others' blocks, which are in memory already, take places; return what they drive out of dirty bytes."""
    written_back = 0
    for _ in range(-(-nbytes // block)):
        _, dirty = _access(cache, _FIRST_STRANGE + clock[STRANGE], clock[TOUCHED], 0, trail)
        written_back += dirty
        clock[TOUCHED] += 1
        clock[STRANGE] += 1
    return written_back


@compiled
def replay(
    cache: IntArray,
    clock: IntArray,
    block: int,
    places: IntArray,
    heights: IntArray,
    widths: IntArray,
    depths: IntArray,
    shape: tuple[int, int, int, int, int, int],
    bounds: IntArray,
    strange_bytes: IntArray,
    write_allocate: BoolArray,
    out: tuple[IntArray, IntArray, IntArray],
    trail: Trail,
) -> int:
    """Replay stages: slab by slab every workgroup reads A then B, and others' bytes pass; in the end it stores C.

    ``bounds``: of the stages, in workgroups, shape (stages + 1,). ``strange_bytes``: what passes during each stage,
    evenly, shape (stages,). Returns the dirty bytes that the cache is left with.
    """
    a_blocks, b_blocks, c_blocks, b_base, c_base, element = shape
    reads, evicted, store_evicted = out
    slabs = depths.shape[0]
    for stage in range(reads.shape[0]):
        first, last = bounds[stage], bounds[stage + 1]
        for slab in range(slabs):
            trail.first[MISSED, stage, slab] = trail.noted[MISSED]
            trail.first[EVICTED, stage, slab] = trail.noted[EVICTED]
            now = clock[TOUCHED]
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
            clock[TOUCHED] = now
            passing = strange_bytes[stage] * (slab + 1) // slabs - strange_bytes[stage] * slab // slabs
            evicted[stage, slab] += _displace(cache, passing, block, clock, trail)
        trail.first[MISSED, stage, slabs] = trail.noted[MISSED]
        trail.first[EVICTED, stage, slabs] = trail.noted[EVICTED]
        now = clock[TOUCHED]
        for wg in range(first, last):
            if write_allocate[wg]:
                c_block = c_base + wg * c_blocks
                _, dirty, now = _span(cache, c_block, heights[wg] * widths[wg] * element, block, now, True, trail)
                store_evicted[stage] += dirty
        clock[TOUCHED] = now
    return _dirty_bytes(cache)
