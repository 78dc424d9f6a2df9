"""Lowering: what becomes of operations, what may be fused, and what does not fit."""

import math

import pytest

from t3sim.errors import InputError
from t3sim.lowering.kernel_choice import GemmRates
from t3sim.lowering.work import lower, whole_row_kernels
from t3sim.simulation.plans import plans_of


@pytest.fixture
def works(tiny_system, lowered, sublayer_of):
    """Lower operations for four GPUs: tiles of 16 x 16, slabs of 8, slices of 1 KiB."""
    return lambda *operations, tp=4: lowered(tiny_system(), sublayer_of(tp, *operations))


def names(lowered_works):
    """(operation, what of it is done, fused with) of each work."""
    return [
        (work.op.id, getattr(work, "operation", "gemm"), getattr(getattr(work, "producer", None), "op", None))
        for work in lowered_works
    ]


def test_all_reduce_is_a_reduce_scatter_and_an_all_gather(works, gemm_op, collective_op):
    """An all-reduce becomes both halves over the same chunks; only the first can be fused with its GEMM."""
    gemm = gemm_op("g", (64, 48, 40))
    produced, scatter, gather = works(gemm, collective_op("r", "all_reduce", 6144, "g"))
    assert names((produced, scatter, gather)) == [
        ("g", "gemm", None),
        ("r", "reduce_scatter", gemm),
        ("r", "all_gather", None),
    ]
    assert scatter.producer is produced
    assert scatter.chunks is gather.chunks
    assert (scatter.continues, gather.continues) == (False, True)
    assert {work.plan.algorithm for work in (scatter, gather)} == {"ring"}


def test_reduce_scatter_alone_is_fusable(works, gemm_op, collective_op):
    """A reduce-scatter of a GEMM's whole output is fusable with it."""
    gemm = gemm_op("g", (64, 48, 40))
    assert names(works(gemm, collective_op("r", "reduce_scatter", 6144, "g")))[1][2] is gemm


@pytest.mark.parametrize("nbytes", [6143, 6145])
def test_other_sizes_are_not_fusable(works, gemm_op, collective_op, nbytes):
    """A collective of one byte more or less than the GEMM's output is another buffer and not fusable."""
    lowered_works = works(gemm_op("g", (64, 48, 40)), collective_op("r", "reduce_scatter", nbytes, "g"))
    assert lowered_works[1].producer is None
    assert lowered_works[1].chunks.total_bytes == nbytes


def test_two_dependencies_are_not_fusable(works, gemm_op, collective_op):
    """A reduce-scatter that waits for two GEMMs is fused with neither."""
    first, second = gemm_op("g1", (64, 48, 40)), gemm_op("g2", (64, 48, 40))
    assert works(first, second, collective_op("r", "reduce_scatter", 6144, "g1", "g2"))[2].producer is None


def test_gemm_that_others_wait_for_is_not_fusable(works, gemm_op, collective_op):
    """A GEMM whose output two operations need is fused with neither: it is run once, before both."""
    gemm = gemm_op("g", (64, 48, 40))
    first, second = (collective_op(name, "reduce_scatter", 6144, "g") for name in ("r1", "r2"))
    assert [work[2] for work in names(works(gemm, first, second))] == [None, None, None]
    behind = gemm_op("g2", (64, 48, 40), "g")
    assert [work[2] for work in names(works(gemm, behind, first))] == [None, None, None]


def test_all_gather_is_not_fusable(works, gemm_op, collective_op):
    """An all-gather behind a GEMM is not fused with it."""
    assert works(gemm_op("g", (64, 48, 40)), collective_op("a", "all_gather", 6144, "g"))[1].producer is None


def test_all_to_all_is_fusable(works, gemm_op, collective_op):
    """An all-to-all of a GEMM's output takes its tiles: one chunk for each GPU."""
    gemm, exchange = works(gemm_op("g", (64, 48, 40)), collective_op("a", "all_to_all", 6144, "g"))
    assert exchange.producer is gemm
    assert exchange.chunks.chunk_bytes == (1536,) * 4


@pytest.fixture
def by_algorithm(tiny_system, lowered, pair):
    """Lower a GEMM and its all-reduce for four GPUs, the all-reduce by an algorithm."""
    return lambda name: lowered(tiny_system(f"algorithms={{all_reduce: {name}}}"), pair(4, (64, 64, 40)))


def test_a_gemm_is_cut_into_the_parts_of_its_collective(by_algorithm):
    """Where each GPU owns two chunks, one for either way around the ring, four GPUs make eight parts of the output."""
    gemm, scatter, gather = by_algorithm("bidirectional-ring")
    assert gemm.tiles.count == scatter.chunks.count == gather.chunks.count == 8
    assert scatter.producer is gemm
    assert scatter.chunks.chunk_bytes == (1024,) * 8


def test_an_all_reduce_in_one_piece_is_not_fusable(by_algorithm):
    """An algorithm without halves stays one work, and is a kernel behind the GEMM."""
    gemm, reduce = by_algorithm("one-shot")
    assert (reduce.operation, reduce.producer, reduce.continues) == ("all_reduce", None, False)
    assert gemm.tiles.count == 4
    assert reduce.chunks.chunk_bytes == (8192,)


def test_collective_behind_a_collective_is_not_fusable(works, gemm_op, collective_op):
    """A reduce-scatter fuses with a GEMM only, not with another collective."""
    gemm = gemm_op("g", (64, 48, 40))
    first = collective_op("r1", "reduce_scatter", 6144, "g")
    assert works(gemm, first, collective_op("r2", "reduce_scatter", 6144, "r1"))[2].producer is None


def test_chunks_follow_the_gemm(works, gemm_op, collective_op):
    """A collective's chunks are its GEMM's, cut into slices: ten tiles of 512 B for four GPUs are 3 2 3 2 or alike."""
    gemm, scatter = works(gemm_op("g", (80, 32, 8)), collective_op("r", "reduce_scatter", 5120, "g"))
    assert scatter.chunks.chunk_bytes == gemm.tiles.chunks.chunk_bytes
    assert sorted(scatter.chunks.chunk_bytes) == [1024, 1024, 1536, 1536]
    assert sorted(scatter.chunks.piece_bytes) == [(1024,), (1024,), (1024, 512), (1024, 512)]


def test_all_gather_takes_the_chunks_of_its_reduce_scatter(works, gemm_op, collective_op):
    """An all-gather of the same buffer keeps the chunks that the reduce-scatter before it made."""
    _, scatter, gather = works(
        gemm_op("g", (80, 32, 8)),
        collective_op("r", "reduce_scatter", 5120, "g"),
        collective_op("a", "all_gather", 5120, "r"),
    )
    assert gather.chunks is scatter.chunks


def test_collective_alone_is_cut_evenly(works, collective_op):
    """Without a GEMM a buffer is cut into equal chunks."""
    (gather,) = works(collective_op("a", "all_gather", 10_000))
    assert gather.chunks.chunk_bytes == (2500,) * 4


def test_element_size_counts(works, gemm_op, collective_op):
    """An fp32 output has twice the bytes of an fp16 one, and fuses with a collective of that size."""
    gemm = gemm_op("g", (64, 48, 40), dtype="fp32")
    scatter = collective_op("r", "reduce_scatter", 12288, "g", dtype="fp32")
    assert names(works(gemm, scatter))[1][2] is gemm


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((64, 48, 7), "K_local: g: is smaller than one K-slab of the kernel (8), got 7"),
        ((16, 48, 8), "M: g: makes 3 output tiles, too few for 4 chunks, got '16 x 48'"),
    ],
)
@pytest.mark.parametrize("op", ["reduce_scatter", "all_gather"])
def test_gemm_that_does_not_fit_is_refused(works, gemm_op, collective_op, op, shape, text):
    """A GEMM with less than a K-slab or fewer tiles than chunks is refused, naming it, its value and the limit."""
    with pytest.raises(InputError) as refused:
        works(gemm_op("g", shape), collective_op("c", op, shape[0] * shape[1] * 2, "g"))
    assert str(refused.value) == text


@pytest.mark.parametrize("op", ["reduce_scatter", "all_gather"])
def test_gemm_that_just_fits_is_accepted(works, gemm_op, collective_op, op):
    """One whole slab and as many tiles as chunks are enough."""
    gemm, _ = works(gemm_op("g", (16, 64, 8)), collective_op("c", op, 2048, "g"))
    assert gemm.tiles.bounds == (0, 1, 2, 3, 4)


def test_gemm_whose_output_stays_is_not_cut(works, gemm_op, collective_op):
    """Where no collective takes its output, one tile is enough, and all tiles are one part."""
    assert works(gemm_op("g", (16, 16, 8)))[0].tiles.bounds == (0, 1)
    gather = collective_op("c", "all_gather", 16 * 8 * 2)
    assert works(gather, gemm_op("g", (16, 48, 8), "c"))[1].tiles.bounds == (0, 3)


def test_collective_smaller_than_the_ring_has_empty_chunks(works, collective_op):
    """Three bytes for four GPUs are three chunks of one byte and an empty one; four are one each."""
    assert sorted(works(collective_op("r", "reduce_scatter", 3))[0].chunks.chunk_bytes) == [0, 1, 1, 1]
    assert works(collective_op("r", "reduce_scatter", 4))[0].chunks.chunk_bytes == (1, 1, 1, 1)


def test_gemm_of_too_many_tiles_is_refused(works, gemm_op):
    """A GEMM of more than 2^22 tiles is refused before anything is built for it."""
    with pytest.raises(InputError) as refused:
        works(gemm_op("g", (2**24, 2**10, 8)))
    assert str(refused.value) == (
        "M: g: makes 67108864 output tiles, too many to simulate one by one, got '16777216 x 1024 x 8'"
    )


def test_collective_of_too_many_slices_is_refused(works, collective_op):
    """A collective of more slices than can be simulated is refused, naming the grain."""
    with pytest.raises(InputError, match=r"^bytes: r: makes more than \d+ slices of 1024 B, got 1125899906842624$"):
        works(collective_op("r", "reduce_scatter", 2**50))


def rates(cus=4):
    """Free memory and LLC, so that only waves and K loops are left."""
    return GemmRates(
        cus=cus,
        flops_per_s={"fp16": 1e9},
        llc_bytes_per_s=math.inf,
        llc_bytes=2**30,
        dram_bytes_per_s=math.inf,
        load_latency_s=0.0,
        stage_overhead_s=0.0,
    )


@pytest.fixture
def choosing(tiny_system, sublayer_of):
    """Lower operations for four GPUs, tiles of 16 x 16 or 32 x 32, K split in up to eight parts."""

    def lowered_with(*operations, tp=4, tiles="[[32, 32, 1]]"):
        system = tiny_system(f"gemm.other_tiles={tiles}", "gemm.most_split_k=8")
        return lower(sublayer_of(tp, *operations), system.gemm, 1024, plans_of(system, tp), rates())

    return lowered_with


def test_only_a_plain_kernel_splits_k(choosing, gemm_op, collective_op):
    """Three tiles on four CUs: the plain kernel takes four parts of K, the fused one none."""
    gemm, _ = choosing(gemm_op("g", (16, 48, 512)), collective_op("r", "reduce_scatter", 1536, "g"), tp=3)
    assert (gemm.plain.split_k, gemm.fused.split_k) == (4, 1)
    assert gemm.tiles.tiling is gemm.fused.tiling
    assert gemm.fused.tiling.K == 512
    assert gemm.plain.tiling.K == 128
    assert len(gemm.order) == gemm.plain.tiling.tiles == 3


def test_macro_tiles_too_large_for_the_ring_are_not_chosen(choosing, gemm_op, collective_op):
    """64 x 32 makes two tiles of 32 x 32, too few for four chunks, and eight of 16 x 16."""
    operations = (gemm_op("g", (64, 32, 8)), collective_op("r", "reduce_scatter", 4096, "g"))
    assert [choosing(*operations, tp=tp)[0].fused.tiling.tile_m for tp in (4, 8)] == [16, 16]
    with pytest.raises(InputError, match="8 output tiles, too few for 9 chunks"):
        choosing(*operations, tp=9)


def test_a_gemm_that_only_other_tiles_fit_is_lowered(choosing, gemm_op):
    """Two tiles of 16 x 16 are too few for three GPUs; four of 8 x 16 are not."""
    (gemm,) = choosing(gemm_op("g", (32, 16, 8)), tp=3, tiles="[[8, 16, 1]]")
    assert gemm.fused.tiling.tile_m == 8


def test_kernels_whose_rows_of_tiles_end_with_parts_are_listed(tiny_system, gemm_op, sublayer_of):
    """Four parts of 128 rows have two rows of 16 x 16 tiles each or one of 32 x 32; of 64 x 16 they would share one."""
    system = tiny_system("gemm.other_tiles=[[32, 32, 1], [64, 16, 1]]")
    (gemm,) = lower(sublayer_of(4, gemm_op("g", (128, 64, 64))), system.gemm, 1024, plans_of(system, 4), rates())
    found = list(whole_row_kernels(gemm, system.gemm, 4))
    assert [(each.fused.tiling.tile_m, each.fused.tiling.tiles) for each in found] == [(16, 32), (32, 8)]
    assert all(sorted(each.tiles.order.tolist()) == list(range(each.fused.tiling.tiles)) for each in found)
    assert {(each.plain, each.op) for each in found} == {(gemm.plain, gemm.op)}
