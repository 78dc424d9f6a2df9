"""Stream overlap: what is cut, what waits for what, and who has which CUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim.schemes import stream_overlap
from t3sim.units import ceil_div

MANY = "software.overlap_pieces=4", "software.overlap_cus=1"
SHAPE = (256, 64, 40)  # sixteen rows of tiles, four columns: chunks of whole tiles in every piece


def overlapping(spans):
    """Pair the operations of spans that ran at the same time."""
    return {
        (one.operation, other.operation)
        for one in spans
        for other in spans
        if one is not other and one.start_fs < other.end_fs and other.start_fs < one.end_fs
    }


@given(rows=st.integers(1, 5000), tile=st.sampled_from([8, 128, 256]), count=st.integers(1, 20))
def test_pieces_are_whole_tile_rows(rows, tile, count):
    """All rows, in pieces of whole tiles but for the last, that differ by one tile at most."""
    sizes = stream_overlap._rows(rows, tile, count)
    assert sum(sizes) == rows
    assert len(sizes) == min(count, ceil_div(rows, tile))
    assert not [size for size in sizes[:-1] if size % tile]
    tiles = [ceil_div(size, tile) for size in sizes]
    assert max(tiles) - min(tiles) <= 1


def test_one_piece_is_sequential(tiny_system, pair, run_scheme):
    """Nothing is cut, nothing runs beside anything: the same in every number."""
    system = tiny_system("software.overlap_pieces=1")
    sublayer = pair(4, SHAPE)
    assert run_scheme(system, sublayer, "stream-overlap") == run_scheme(system, sublayer, "sequential")


def test_a_gemm_too_small_to_cut_is_sequential(tiny_system, pair, run_scheme):
    """Half of four tiles are too few for four chunks: it stays whole."""
    system, sublayer = tiny_system(*MANY), pair(4, (32, 32, 40))
    assert run_scheme(system, sublayer, "stream-overlap") == run_scheme(system, sublayer, "sequential")


def test_a_piece_s_collectives_run_beside_the_next_gemm(tiny_system, pair, run_scheme):
    """GEMMs follow one another, so do collectives, each after the GEMM of its piece; and the two overlap."""
    outcome = run_scheme(tiny_system(*MANY), pair(4, SHAPE), "stream-overlap")
    spans = sorted(outcome.gpus[0].spans, key=lambda span: (span.start_fs, span.end_fs))
    gemms = [span for span in spans if span.operation == "gemm"]
    moves = [span for span in spans if span.operation != "gemm"]
    assert [span.operation for span in moves] == ["reduce_scatter", "all_gather"] * 4
    assert [span.start_fs for span in gemms] == [0, *(span.end_fs for span in gemms[:-1])]
    for number, gemm in enumerate(gemms):
        own = moves[2 * number]
        assert own.start_fs == max(gemm.end_fs, moves[2 * number - 1].end_fs if number else 0)
    assert ("gemm", "reduce_scatter") in overlapping(spans)
    assert outcome.total_fs == moves[-1].end_fs


@pytest.mark.parametrize("cus", [1, 2])
def test_cus_are_not_given_twice(cus, tiny_system, pair, run_scheme):
    """GEMM and collective beside each other have four CUs together: no more than that are held at any time."""
    system = tiny_system("software.overlap_pieces=4", f"software.overlap_cus={cus}")
    outcome = run_scheme(system, pair(4, SHAPE), "stream-overlap")
    spans = outcome.gpus[0].spans
    beside = [span for span in spans if span.operation == "gemm"][1:]
    first = next(span for span in spans if span.operation == "gemm")
    # The first GEMM has all four; each other one all but those of the collectives.
    held = 4 * (first.end_fs - first.start_fs) + (4 - cus) * sum(span.end_fs - span.start_fs for span in beside)
    assert 0 < outcome.cu_busy_fs["gemm"] <= held
    # Those of the last piece have the GPU to themselves, and their launch takes no time here.
    *others, last = [span.end_fs - span.start_fs for span in spans if span.operation == "reduce_scatter"]
    assert outcome.cu_busy_fs["reduce_scatter"] == cus * sum(others) + 4 * last


def test_nothing_is_faster_than_its_longer_stream(tiny_system, pair, run_scheme):
    """The GEMM alone on all CUs, and the collectives alone on all of theirs, are bounds."""
    system, sublayer = tiny_system(*MANY), pair(4, SHAPE)
    alone = run_scheme(system, sublayer, "sequential")
    total = run_scheme(system, sublayer, "stream-overlap").total_fs
    assert total >= max(alone.of("gemm"), alone.of("reduce_scatter") + alone.of("all_gather"))


def test_an_all_gather_that_waits_for_something_else_stays_whole(
    tiny_system, gemm_op, collective_op, sublayer_of, run_scheme
):
    """Only what follows the reduce-scatter directly is cut with it: one after another GEMM runs once, after it."""
    nbytes = 256 * 64 * 2
    operations = (
        gemm_op("g", SHAPE),
        collective_op("r", "reduce_scatter", nbytes, "g"),
        gemm_op("h", (64, 64, 40), "r"),
        collective_op("a", "all_gather", nbytes, "h"),
    )
    outcome = run_scheme(tiny_system(*MANY), sublayer_of(4, *operations), "stream-overlap")
    names = [span.operation for span in outcome.gpus[0].spans]
    assert names.count("reduce_scatter") == 4
    assert names.count("all_gather") == 1
    assert names[-2:] == ["gemm", "all_gather"]
