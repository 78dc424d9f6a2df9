"""The choice among GEMM kernels: wave quantisation, operand traffic and split-K, with expectations in closed form."""

import math

import pytest

from t3sim.lowering.kernel_choice import GemmRates, estimate_s, fastest, fastest_split, tiled
from t3sim.lowering.tiling import GemmKernelSpec
from t3sim.workload.operations import Gemm

BIG, SMALL = (64, 32), (32, 32)
FLOPS_PER_S = 1e9


def gemm(rows, columns, depth):
    return Gemm(id="g", phase="forward", sublayer="op", M=rows, N=columns, K_local=depth, dtype="fp16")


def kernel(*tiles, most_split_k=1, per_cu=1):
    (tile_m, tile_n), *others = tiles
    return GemmKernelSpec(
        tile_m=tile_m,
        tile_n=tile_n,
        slab_k=16,
        group_rows=1,
        workgroups_per_cu=per_cu,
        wavefronts=4,
        prefetch_slabs=1,
        other_tiles=tuple((rows, columns, per_cu) for rows, columns in others),
        most_split_k=most_split_k,
    )


def rates(**changes):
    """Four CUs of 1 GFLOP/s; loads, stores and launches are free unless changed."""
    free = {"llc_bytes_per_s": math.inf, "llc_bytes": 2**30, "dram_bytes_per_s": math.inf}
    fields = {"cus": 4, "flops_per_s": {"fp16": FLOPS_PER_S}, "load_latency_s": 0.0, "stage_overhead_s": 0.0}
    return GemmRates(**{**free, **fields, **changes})


def tile_s(tile, depth):
    """Time of one tile on one CU."""
    return 2 * tile[0] * tile[1] * depth / FLOPS_PER_S


def chosen(op, spec, gpu):
    tiling = fastest(op, spec, spec.macro_tiles, gpu).tiling
    return tiling.tile_m, tiling.tile_n


@pytest.mark.parametrize(("tiles", "stages"), [(1, 1), (4, 1), (5, 2), (8, 2), (9, 3)])
def test_a_partial_wave_takes_as_long_as_a_full_one(tiles, stages):
    """On four CUs five tiles take twice as long as four."""
    op, spec = gemm(64 * tiles, 32, 160), kernel(BIG)
    choice = tiled(op, spec, spec.macro_tiles[0])
    assert estimate_s(choice, "fp16", rates()) == pytest.approx(stages * tile_s(BIG, 160))


def test_workgroups_that_share_cus_quantise_more_finely():
    """Five workgroups, two a CU, take turns on the four CUs: as long as two, not as four."""
    op, spec = gemm(64 * 9, 32, 160), kernel(BIG, per_cu=2)
    choice = tiled(op, spec, spec.macro_tiles[0])
    assert estimate_s(choice, "fp16", rates()) == pytest.approx(3 * tile_s(BIG, 160))


def test_tiles_that_fill_the_last_wave_win():
    """Five big tiles take two waves of 2; ten half as large take three waves of 1."""
    assert chosen(gemm(64 * 5, 32, 160), kernel(BIG, SMALL), rates()) == SMALL


def test_equal_estimates_choose_the_first_of_the_list():
    """Four big tiles or eight half as large take the same; the order of the list decides."""
    op = gemm(64 * 4, 32, 160)
    assert chosen(op, kernel(BIG, SMALL), rates()) == BIG
    assert chosen(op, kernel(SMALL, BIG), rates()) == SMALL


def test_overhead_of_stages_favours_large_tiles():
    """Each stage costs its latency and overhead: three waves lose against two once that is a tile's time or more."""
    op, spec = gemm(64 * 5, 32, 160), kernel(BIG, SMALL)
    once = tile_s(SMALL, 160)
    assert chosen(op, spec, rates(stage_overhead_s=0.9 * once)) == SMALL
    assert chosen(op, spec, rates(stage_overhead_s=1.1 * once)) == BIG
    assert chosen(op, spec, rates(load_latency_s=1.1 * once)) == BIG


def test_llc_bandwidth_favours_large_tiles():
    """Behind a slow LLC the operands set the time: 64 x 32 tiles load 3 for what two of 32 x 32 load 4."""
    op, spec = gemm(64 * 5, 32, 160), kernel(SMALL, BIG)
    # Four big workgroups load 4 x 96 x 160 x 2 B; slow enough that this takes longer than computing.
    slow = rates(llc_bytes_per_s=4 * 96 * 160 * 2 / (3 * tile_s(BIG, 160)))
    assert chosen(op, spec, slow) == BIG
    assert chosen(op, spec, rates()) == SMALL


def test_dram_is_a_floor():
    """Operands once and output once, through the DRAM: no tile is faster."""
    op, spec = gemm(64, 32, 160), kernel(BIG)
    moved = ((64 + 32) * 160 + 64 * 32) * 2
    choice = tiled(op, spec, spec.macro_tiles[0])
    assert estimate_s(choice, "fp16", rates(dram_bytes_per_s=1e3)) == pytest.approx(moved / 1e3)


def test_a_choice_needs_rates():
    """One macro-tile needs none; among several there is nothing to choose by."""
    op = gemm(64 * 5, 32, 160)
    assert chosen(op, kernel(BIG), None) == BIG
    with pytest.raises(ValueError, match="rates"):
        chosen(op, kernel(BIG, SMALL), None)


def split(op, gpu, most_split_k=8):
    spec = kernel(BIG, most_split_k=most_split_k)
    return fastest_split(op, spec, spec.macro_tiles, gpu)


def test_deep_k_with_few_tiles_is_split():
    """One tile on four CUs takes a fourth of the time in four parts, each of a fourth of K."""
    choice = split(gemm(64, 32, 160 * 4), rates())
    assert (choice.split_k, choice.workgroups, choice.tiling.K) == (4, 4, 160)
    assert estimate_s(choice, "fp16", rates()) == pytest.approx(tile_s(BIG, 160))


@pytest.mark.parametrize(
    ("op", "gpu", "most"),
    [
        (gemm(64, 32, 640), rates(), 1),
        (gemm(64 * 4, 32, 640), rates(), 8),
        (gemm(64, 32, 16), rates(), 8),
        (gemm(64, 32, 640), rates(llc_bytes=2 * 64 * 32 * 4 - 1), 8),
        (gemm(64, 32, 640), rates(stage_overhead_s=tile_s(BIG, 640)), 8),
    ],
    ids=("not allowed", "no CU idle", "one slab", "partial sums beyond the LLC", "reduction too dear"),
)
def test_k_is_not_split(op, gpu, most):
    """Where a split is not allowed, has nothing to gain or no room for its partial sums, a tile is one workgroup's."""
    assert split(op, gpu, most).split_k == 1


def test_partial_sums_are_counted_in_fp32():
    """Four parts of a 64 x 32 output in fp32; unsplit there are none, and stores have the output's width."""
    choice = split(gemm(64, 32, 640), rates())
    assert (choice.partial_bytes, choice.stored_bytes) == (4 * 64 * 32 * 4, 4)
    whole = tiled(gemm(64, 32, 640), kernel(BIG), kernel(BIG).macro_tiles[0])
    assert (whole.partial_bytes, whole.stored_bytes) == (0, 2)
