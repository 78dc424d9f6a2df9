"""One GPU whose link feeds itself stands for a whole ring of equal GPUs."""

from dataclasses import replace

import pytest

SIMULATED = ("sequential", "t3", "t3-mca")
COMPOSED = ("ideal-overlap", "ideal-overlap-nmc")


def of_one_gpu(outcome):
    """Leave out what grows with the number of GPUs simulated: reports, links, and that number."""
    return replace(outcome, gpus=(), links={}, gpus_simulated=1)


@pytest.mark.parametrize("scheme", SIMULATED)
@pytest.mark.parametrize("tiles_per_chunk", [2, 48])
@pytest.mark.parametrize("gpus", [2, 4, 8])
def test_mirror_is_every_gpu_of_the_ring(gpus, tiles_per_chunk, scheme, paper_system, gemm_and_all_reduce, outcome_of):
    """With equal chunks every GPU of the ring has the mirror's spans, bytes and waits, to the femtosecond."""
    # The 48 tiles of a chunk are whole tile columns, so that chunks are also alike in the operands they read.
    sublayer = gemm_and_all_reduce(gpus, 128 * gpus, 128 * tiles_per_chunk, depth=256)
    mirror = outcome_of(paper_system, sublayer, scheme, "mirror")
    ring = outcome_of(paper_system, sublayer, scheme, "all")
    assert len(mirror.gpus) == 1
    assert ring.gpus == mirror.gpus * gpus
    assert mirror.links.items() <= ring.links.items()
    assert of_one_gpu(ring) == of_one_gpu(mirror)


def test_chunks_that_share_tile_columns_make_gpus_differ_a_little(paper_system, gemm_and_all_reduce, outcome_of):
    """Where a chunk ends inside a tile column, what a GPU reads depends on where it starts: by less than 1%."""
    sublayer = gemm_and_all_reduce(8, 8 * 128, 14 * 128, depth=256)
    mirror = outcome_of(paper_system, sublayer, "t3", "mirror")
    ring = outcome_of(paper_system, sublayer, "t3", "all")
    assert mirror.total_fs == pytest.approx(ring.total_fs, rel=0.01)


@pytest.mark.parametrize("scheme", COMPOSED)
@pytest.mark.parametrize("gpus", [2, 4, 8])
def test_mirror_equals_the_ring_in_the_ideals(gpus, scheme, paper_system, gemm_and_all_reduce, outcome_of):
    """The ideals, put together from parts that run alone, are equal as well."""
    sublayer = gemm_and_all_reduce(gpus, 128 * gpus, 256)
    mirror = outcome_of(paper_system, sublayer, scheme, "mirror")
    assert of_one_gpu(mirror) == of_one_gpu(outcome_of(paper_system, sublayer, scheme, "all"))


def test_mirror_equals_the_ring_in_a_real_sublayer(paper_system, shipped, outcome_of):
    """T-NLG's attention output on 8 GPUs under T3-MCA, thousands of tiles: equal to the femtosecond."""
    sublayer = shipped("t-nlg-tp8", "op")
    mirror = outcome_of(paper_system, sublayer, "t3-mca", "mirror")
    ring = outcome_of(paper_system, sublayer, "t3-mca", "all")
    assert ring.gpus == mirror.gpus * 8
    assert ring.total_fs == mirror.total_fs


def within_one_percent(mirror, ring):
    for name in ("total_fs", "link_bytes", "dram_busy_fs"):
        assert getattr(mirror, name) == pytest.approx(getattr(ring, name), rel=0.01), name
    for name in ("gemm", "reduce_scatter", "all_gather"):
        assert mirror.of(name) == pytest.approx(ring.of(name), rel=0.01), name
    for cause, nbytes in ring.served_bytes.items():
        # Operand reads are the one thing that depends on where in a tile column a GPU starts.
        limit = 0.03 if cause == ("gemm", "read") else 0.01
        assert mirror.served_bytes[cause] == pytest.approx(nbytes, rel=limit), cause
    assert sum(mirror.served_bytes.values()) == pytest.approx(sum(ring.served_bytes.values()), rel=0.01)


@pytest.mark.parametrize("scheme", ["sequential", "t3-mca"])
def test_mirror_is_near_the_ring_with_unequal_chunks(scheme, paper_system, shipped, outcome_of):
    """T-NLG's attention output on 16 GPUs, where chunks differ by a few tiles: times and traffic are within 1%."""
    sublayer = shipped("t-nlg-tp16", "op")
    mirror = outcome_of(paper_system, sublayer, scheme, "mirror")
    within_one_percent(mirror, outcome_of(paper_system, sublayer, scheme, "all"))


@pytest.mark.campaign
@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca"])
@pytest.mark.parametrize("trace", ["t-nlg-tp16", "palm-tp32"])
def test_mirror_is_near_the_ring_in_large_sublayers(trace, scheme, paper_system, shipped, outcome_of):
    """On 16 and on 32 full GPUs, times and traffic of the attention output are within 1%."""
    sublayer = shipped(trace, "op")
    mirror = outcome_of(paper_system, sublayer, scheme, "mirror")
    within_one_percent(mirror, outcome_of(paper_system, sublayer, scheme, "all"))
