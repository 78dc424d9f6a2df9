"""The LLC against a plain set-associative LRU cache, and the traffic that any cache must cause."""

from collections import OrderedDict
from dataclasses import replace
from itertools import count, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from t3sim.hardware.compute.llc import LlcReplay, LlcSpec, gemm_traffic
from t3sim.lowering.layout import Layout
from t3sim.lowering.tiling import Tiling
from t3sim.units import ceil_div

QUICK = settings(deadline=None, derandomize=True, max_examples=60)


class _Cache:
    """Sets of least-recently-used blocks, each with the dirty bytes it holds."""

    def __init__(self, sets, ways):
        self.sets = [OrderedDict() for _ in range(sets)]
        self.ways = ways

    def touch(self, block, dirty=0):
        """Give whether the block was there, and the dirty bytes that left for it."""
        mixed = (block * 0x9E3779B97F4A7C15) % 2**64 // 2**33
        chosen = self.sets[mixed % len(self.sets)]
        if block in chosen:
            chosen.move_to_end(block)
            return True, 0
        left = chosen.popitem(last=False)[1] if len(chosen) == self.ways else 0
        chosen[block] = dirty
        return False, left

    def dirty(self):
        """Give the dirty bytes still held."""
        return sum(sum(blocks.values()) for blocks in self.sets)


def slow_traffic(spec, tiling, order, bounds, *, write_allocate, strange=None):
    """Replay the GEMM tile by tile in plain Python: (reads, evicted, store evicted, flush).

    ``bounds`` of its stages; ``strange``: bytes of others that pass during each, evenly over its slabs.
    """
    strange = strange or [0] * (len(bounds) - 1)
    passed = count(2**62)
    cache = _Cache(spec.sets, spec.ways)
    slabs = [min(tiling.slab_k, tiling.K - at) for at in range(0, tiling.K, tiling.slab_k)]
    per_a = -(-tiling.tile_m * tiling.slab_k * tiling.element_bytes // spec.block)
    per_b = -(-tiling.tile_n * tiling.slab_k * tiling.element_bytes // spec.block)
    per_c = -(-tiling.tile_m * tiling.tile_n * tiling.element_bytes // spec.block)
    columns_in_grid = -(-tiling.N // tiling.tile_n)
    rows_in_grid = -(-tiling.M // tiling.tile_m)
    tiles = [divmod(int(tile), columns_in_grid) for tile in order]
    row_rank = {row: rank for rank, row in enumerate(dict.fromkeys(row for row, _ in tiles))}
    column_rank = {column: rank for rank, column in enumerate(dict.fromkeys(column for _, column in tiles))}
    after_a = rows_in_grid * len(slabs) * per_a
    after_b = after_a + columns_in_grid * len(slabs) * per_b

    def walk(first, nbytes, *, store=False):
        missed = left = 0
        for number, at in enumerate(range(0, nbytes, spec.block)):
            part = min(spec.block, nbytes - at)
            hit, dirty = cache.touch(first + number, part if store else 0)
            missed += 0 if hit else part
            left += dirty
        return np.array([missed, left])

    reads, evicted, stored = [], [], []
    for (first, last), others in zip(pairwise(bounds), strange, strict=True):
        stage = list(enumerate(tiles))[first:last]
        totals = []
        for number, depth in enumerate(slabs):
            total = np.array([0, 0])
            for _, (row, column) in stage:
                height = min(tiling.tile_m, tiling.M - row * tiling.tile_m)
                width = min(tiling.tile_n, tiling.N - column * tiling.tile_n)
                a_block = (row_rank[row] * len(slabs) + number) * per_a
                b_block = after_a + (column_rank[column] * len(slabs) + number) * per_b
                total += walk(a_block, height * depth * tiling.element_bytes)
                total += walk(b_block, width * depth * tiling.element_bytes)
            passing = others * (number + 1) // len(slabs) - others * number // len(slabs)
            for _ in range(ceil_div(passing, spec.block)):
                total[1] += cache.touch(next(passed))[1]
            totals.append(total)
        reads.append([int(missed) for missed, _ in totals])
        evicted.append([int(left) for _, left in totals])
        left = 0
        for workgroup, (row, column) in stage:
            if not write_allocate[workgroup]:
                continue
            height = min(tiling.tile_m, tiling.M - row * tiling.tile_m)
            width = min(tiling.tile_n, tiling.N - column * tiling.tile_n)
            c_bytes = height * width * tiling.element_bytes
            left += int(walk(after_b + workgroup * per_c, c_bytes, store=True)[1])
        stored.append(left)
    return reads, evicted, stored, cache.dirty()


@st.composite
def gemms(draw):
    """Draw (tiling, dispatch order, resident workgroups); edges are ragged more often than not."""
    tiling = Tiling(
        M=draw(st.integers(1, 50)),
        N=draw(st.integers(1, 50)),
        K=draw(st.integers(1, 30)),
        element_bytes=draw(st.sampled_from([1, 2, 4])),
        tile_m=draw(st.sampled_from([8, 16])),
        tile_n=draw(st.sampled_from([8, 12, 16])),
        slab_k=draw(st.sampled_from([4, 8])),
    )
    tiles = -(-tiling.M // tiling.tile_m) * -(-tiling.N // tiling.tile_n)
    order = np.array(draw(st.permutations(range(tiles))), np.int64)
    return tiling, order, draw(st.integers(1, tiles))


@st.composite
def caches(draw):
    """Draw a cache of 1 to 5 sets of 1 to 8 ways."""
    block, ways, sets = draw(st.sampled_from([16, 64, 100])), draw(st.integers(1, 8)), draw(st.integers(1, 5))
    return LlcSpec(capacity=block * ways * sets, ways=ways, block=block, hit_latency=0)


@QUICK
@given(gemms(), caches(), st.data())
def test_equals_a_plain_lru_cache(gemm, spec, data):
    """Misses and write-backs are those of a plain LRU cache, stage by stage and slab by slab."""
    tiling, order, resident = gemm
    write_allocate = np.array(data.draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order))))
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=write_allocate)
    bounds = [*range(0, len(order), resident), len(order)]
    reads, evicted, stored, flush = slow_traffic(spec, tiling, order, bounds, write_allocate=write_allocate)
    assert got.read_bytes.tolist() == reads
    assert got.evicted_bytes.tolist() == evicted
    assert got.store_evicted_bytes.tolist() == stored
    assert got.flush_bytes == flush


@QUICK
@given(gemms(), caches(), st.data())
def test_stages_of_any_size_beside_others_equal_a_plain_lru_cache(gemm, spec, data):
    """Replayed one by one, with workgroups as CUs come free, and with bytes of others between the slabs."""
    tiling, order, _ = gemm
    inner = data.draw(st.sets(st.integers(1, len(order)), max_size=4)) - {len(order)}
    bounds = [0, *sorted(inner), len(order)]
    strange = data.draw(st.lists(st.integers(0, 500), min_size=len(bounds) - 1, max_size=len(bounds) - 1))
    whole = slow_traffic(spec, tiling, order, bounds, write_allocate=[True] * len(order), strange=strange)
    replay = LlcReplay(spec, tiling, order, write_allocate=True)
    steps = [
        replay.go_on(np.array(bound), np.array([others]))
        for bound, others in zip(pairwise(bounds), strange, strict=True)
    ]
    assert [step.read_bytes[0].tolist() for step in steps] == whole[0]
    assert [step.evicted_bytes[0].tolist() for step in steps] == whole[1]
    assert [int(step.store_evicted_bytes[0]) for step in steps] == whole[2]
    assert steps[-1].flush_bytes == whole[3]


@QUICK
@given(gemms(), caches(), st.integers(1, 3))
def test_operands_asked_for_are_those_of_every_tile(gemm, spec, split_k):
    """Every tile column reads all of A once, and every tile row all of B; no cache asks for less than it misses."""
    tiling, order, resident = gemm
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=True, split_k=split_k)
    rows, columns = ceil_div(tiling.M, tiling.tile_m), ceil_div(tiling.N, tiling.tile_n)
    # Of K, ``tiling`` has the depth of one part.
    elements = (columns * tiling.M + rows * tiling.N) * tiling.K * split_k
    assert got.asked_bytes == elements * tiling.element_bytes
    assert got.read_bytes.sum() <= got.asked_bytes


@QUICK
@given(gemms(), caches())
def test_output_written_through_takes_the_same_room(gemm, spec):
    """Output that is in memory already displaces the same operands, and nothing is written back."""
    tiling, order, resident = gemm
    back = gemm_traffic(spec, tiling, order, resident, write_allocate=True)
    through = back.written_through()
    assert through.read_bytes.tolist() == back.read_bytes.tolist()
    assert (through.evicted_bytes.sum(), through.store_evicted_bytes.sum(), through.flush_bytes) == (0, 0, 0)


@QUICK
@given(gemms(), caches())
def test_output_is_written_back_once(gemm, spec):
    """With write-allocate every output byte is written back exactly once, by eviction or at the end."""
    tiling, order, resident = gemm
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=True)
    written = got.evicted_bytes.sum() + got.store_evicted_bytes.sum() + got.flush_bytes
    assert written == tiling.M * tiling.N * tiling.element_bytes


@QUICK
@given(gemms(), caches())
def test_bypass_writes_nothing_back(gemm, spec):
    """When the output bypasses the cache there is nothing dirty in it."""
    tiling, order, resident = gemm
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=False)
    assert (got.evicted_bytes.sum(), got.store_evicted_bytes.sum(), got.flush_bytes) == (0, 0, 0)


@QUICK
@given(gemms(), st.booleans())
def test_all_that_fits_is_read_once(gemm, write_allocate):
    """A cache that holds everything reads each operand once from DRAM and keeps the output to the end."""
    tiling, order, resident = gemm
    spec = LlcSpec(capacity=16 * 4096, ways=4096, block=16, hit_latency=0)
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=write_allocate)
    assert got.read_bytes.sum() == (tiling.M + tiling.N) * tiling.K * tiling.element_bytes
    output = tiling.M * tiling.N * tiling.element_bytes
    assert got.flush_bytes == (output if write_allocate else 0)


# One tile row, two tile columns, two slabs, one workgroup a stage; every operand slab is one block of 64 B:
# A0 B0 A1 B1 | A0 B2 A1 B3.
REUSE = Tiling(M=8, N=16, K=16, element_bytes=1, tile_m=8, tile_n=8, slab_k=8)


@pytest.mark.parametrize(
    ("ways", "reads"),
    [(4, [[128, 128], [64, 64]]), (3, [[128, 128], [128, 128]])],
    ids=["working set fits", "one block short"],
)
def test_reuse_distance_is_exact(ways, reads):
    """An operand used again after four blocks hits with four ways, and misses with three."""
    spec = LlcSpec(capacity=64 * ways, ways=ways, block=64, hit_latency=0)
    got = gemm_traffic(spec, REUSE, np.array([0, 1]), 1, write_allocate=False)
    assert got.read_bytes.tolist() == reads


def test_stores_that_allocate_evict_operands():
    """The first tile's store takes the place of A0 and chain reactions follow: the output leaves as dirty bytes."""
    spec = LlcSpec(capacity=64 * 4, ways=4, block=64, hit_latency=0)
    got = gemm_traffic(spec, REUSE, np.array([0, 1]), 1, write_allocate=True)
    # A0 B0 A1 B1, C0 evicts A0; A0 evicts B0, B2 evicts A1, A1 evicts B1, B3 evicts C0; C1 evicts A0.
    assert got.read_bytes.tolist() == [[128, 128], [128, 128]]
    assert got.evicted_bytes.tolist() == [[0, 0], [0, 64]]
    assert got.store_evicted_bytes.tolist() == [0, 0]
    assert got.flush_bytes == 64


def test_start_of_the_order_does_not_matter_for_equal_chunks():
    """Two GPUs that start with different tile rows of the same shape have the same traffic."""
    tiling = Tiling(M=32, N=16, K=16, element_bytes=2, tile_m=8, tile_n=8, slab_k=8)
    spec = LlcSpec(capacity=64 * 12, ways=2, block=64, hit_latency=0)
    first = gemm_traffic(spec, tiling, np.arange(8), 2, write_allocate=True)
    second = gemm_traffic(spec, tiling, np.roll(np.arange(8), 4), 2, write_allocate=True)
    assert first.read_bytes.tolist() == second.read_bytes.tolist()
    assert first.evicted_bytes.tolist() == second.evicted_bytes.tolist()


def test_capacity_must_hold_a_set():
    """A cache of exactly one set is accepted; one byte less is refused."""
    assert LlcSpec(capacity=256, ways=4, block=64, hit_latency=0).sets == 1
    with pytest.raises(ValidationError, match="capacity 255 B holds less than one set of 4 blocks of 64 B"):
        LlcSpec(capacity=255, ways=4, block=64, hit_latency=0)


def test_parts_of_k_share_no_operands():
    """With split-K every part reads its own columns of A and rows of B: in all exactly the operands, once."""
    part = Tiling(M=32, N=16, K=16, element_bytes=2, tile_m=8, tile_n=8, slab_k=8)
    spec = LlcSpec(capacity=2**16, ways=4, block=128, hit_latency=0)
    got = gemm_traffic(spec, part, np.arange(8), 4, write_allocate=False, split_k=4)
    assert got.read_bytes.shape == (8, 2)
    assert got.read_bytes.sum() == (32 + 16) * 4 * 16 * 2
    # The parts of one tile follow each other: a stage of four workgroups is one tile, which shares nothing with itself.
    assert got.read_bytes[0].sum() == (8 + 8) * 4 * 16 * 2


def bytes_of(region):
    """Bytes that a region touches."""
    return int((region[:, 1] * region[:, 2]).sum())


def whole_rows(tiling):
    """Give the block that holds whole rows of every operand: the rows of A, B and C times each other."""
    return tiling.slab_k * tiling.tile_n * tiling.element_bytes


@QUICK
@given(gemms(), st.integers(1, 8), st.integers(1, 5), st.booleans(), st.integers(1, 3))
def test_places_have_the_bytes_of_the_traffic(gemm, ways, sets, write_allocate, split_k):
    """Per stage and slab, the regions of missed and written-back blocks have the bytes of the traffic."""
    tiling, order, resident = gemm
    tiling = replace(tiling, M=16 * ceil_div(tiling.M, 16), N=48 * ceil_div(tiling.N, 48), K=8 * ceil_div(tiling.K, 8))
    order = np.arange(tiling.tiles)[:: 1 if len(order) % 2 else -1]
    block = whole_rows(tiling)
    spec = LlcSpec(capacity=block * ways * sets, ways=ways, block=block, hit_latency=0)
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=write_allocate, split_k=split_k, with_places=True)
    stages, slabs = got.read_bytes.shape
    for stage in range(stages):
        missed, evicted = by_slab(got, stage)
        assert sum(map(len, missed + evicted)) <= got.most_blocks
        for slab in range(slabs):
            assert bytes_of(missed[slab]) == got.read_bytes[stage, slab]
            assert bytes_of(evicted[slab]) == got.evicted_bytes[stage, slab]
        assert bytes_of(got.store_evicted(stage)) == got.store_evicted_bytes[stage]
    if split_k == 1:
        assert bytes_of(got.flushed()) == got.flush_bytes


@QUICK
@given(gemms(), caches())
def test_places_of_written_output_are_the_output(gemm, spec):
    """With any block and ragged edges, what is written back is every byte of C, once."""
    tiling, order, resident = gemm
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=True, with_places=True)
    stages = len(got.read_bytes)
    regions = [region for stage in range(stages) for region in by_slab(got, stage)[1]]
    regions += [*(got.store_evicted(stage) for stage in range(stages)), got.flushed()]
    written = [touched_bytes(region) for region in regions]
    whole = touched_bytes(Layout(tiling=tiling).output())
    assert sorted(np.concatenate(written).tolist()) == whole.tolist()


@QUICK
@given(gemms(), st.integers(1, 3))
def test_places_of_reads_into_a_large_cache_are_the_operands(gemm, split_k):
    """Where everything fits, what is read is every byte of A and B, once, in all parts of K."""
    tiling, order, resident = gemm
    spec = LlcSpec(capacity=16 * 4096, ways=4096, block=16, hit_latency=0)
    got = gemm_traffic(spec, tiling, order, resident, write_allocate=False, split_k=split_k, with_places=True)
    read = [touched_bytes(region) for stage in range(len(got.read_bytes)) for region in by_slab(got, stage)[0]]
    layout, depth = Layout(tiling=tiling, split_k=split_k), tiling.K * split_k * tiling.element_bytes
    operands = [*range(tiling.M * depth), *range(layout.b_address, layout.b_address + depth * tiling.N)]
    assert sorted(np.concatenate(read).tolist()) == operands


def by_slab(got, stage):
    """Give the regions of what each slab of a stage misses, and of what it drives out."""
    return [np.split(region, np.cumsum(counts)[:-1]) for region, counts in got.of_stage(stage)]


def touched_bytes(region):
    """List the bytes that a region touches, each as often as it does."""
    rows = [
        np.arange(width) + address + row * stride for address, count, width, stride in region for row in range(count)
    ]
    return np.concatenate([np.zeros(0, np.int64), *rows])


@QUICK
@given(gemms(), caches(), st.booleans(), st.integers(1, 3))
def test_noting_places_changes_no_traffic(gemm, spec, write_allocate, split_k):
    """Traffic with places is that without, which has none to give."""
    tiling, order, resident = gemm
    noted, plain = (
        gemm_traffic(
            spec, tiling, order, resident, write_allocate=write_allocate, split_k=split_k, with_places=with_places
        )
        for with_places in (True, False)
    )
    assert noted.read_bytes.tolist() == plain.read_bytes.tolist()
    assert noted.evicted_bytes.tolist() == plain.evicted_bytes.tolist()
    assert noted.store_evicted_bytes.tolist() == plain.store_evicted_bytes.tolist()
    assert noted.flush_bytes == plain.flush_bytes
    with pytest.raises(AssertionError, match="without places"):
        plain.of_stage(0)
