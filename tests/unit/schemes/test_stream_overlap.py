"""Stream overlap: what is cut, what waits for what, and who has which CUs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim.schemes import stream_overlap
from t3sim.schemes.gemm_runs import Beside
from t3sim.schemes.kernels import GemmPhase
from t3sim.simulation.lab import SystemLab
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


@pytest.mark.parametrize("first", ["collective-first", "gemm-first"])
def test_workgroups_take_what_comes_free(first, tiny_system, pair, run_scheme):
    """Four CUs: none is held twice, and a GEMM that runs longer than a collective has them all again."""
    split = tiny_system(*MANY)
    taken = tiny_system(*MANY, f"software.cu_sharing={first}")
    sublayer = pair(4, (256, 64, 400))
    outcome, fixed = (run_scheme(system, sublayer, "stream-overlap") for system in (taken, split))
    assert sum(outcome.cu_busy_fs.values()) <= 4 * outcome.total_fs
    assert outcome.of("gemm") < fixed.of("gemm")
    assert outcome.served_bytes["reduce_scatter", "read"] == fixed.served_bytes["reduce_scatter", "read"]


def test_a_gemm_that_comes_first_leaves_its_collective_what_it_does_not_need(tiny_system, pair, run_scheme):
    """Stages of 16 tiles on four CUs: a collective begins when the last stage of a GEMM leaves CUs, not before."""
    late, early = (
        run_scheme(tiny_system(*MANY, f"software.cu_sharing={first}"), pair(4, (256, 64, 400)), "stream-overlap")
        for first in ("gemm-first", "collective-first")
    )
    assert late.of("gemm") < early.of("gemm")
    assert late.of("reduce_scatter") > early.of("reduce_scatter")


def test_a_stream_sees_an_event_later(tiny_system, pair, run_scheme):
    """Communication is the longer part: only the first collective waits for a GEMM, and once for its event."""
    slow = "link.bandwidth=1 GB/s", "software.overlap_pieces=4", "software.overlap_cus=1"
    at_once, later = (
        run_scheme(tiny_system(*slow, f"software.event_overhead={event}"), pair(4, SHAPE), "stream-overlap")
        for event in ("0 us", "3 us")
    )
    spans = [[span for span in outcome.gpus[0].spans if span.operation != "gemm"] for outcome in (at_once, later)]
    assert spans[1][0].start_fs - spans[0][0].start_fs == 3 * 10**9
    assert later.total_fs - at_once.total_fs == pytest.approx(3 * 10**9, rel=0.01)


def test_what_a_collective_moves_can_take_places_in_the_llc(tiny_system, pair, run_scheme):
    """Then operands that a GEMM would have found again are read again; copies by engines never take any."""
    small = (*MANY, "llc.capacity=16 KiB")
    sublayer = pair(4, (256, 128, 128))

    def read(scheme, displaces):
        system = tiny_system(*small, f"software.collectives_displace={displaces}")
        return run_scheme(system, sublayer, scheme).served_bytes["gemm", "read"]

    assert read("stream-overlap", "true") > read("stream-overlap", "false")
    assert read("dma-overlap", "true") == read("dma-overlap", "false")
    assert read("sequential", "true") == read("sequential", "false")


@pytest.mark.parametrize("scheme", ["stream-overlap", "dma-overlap"])
@pytest.mark.parametrize("first", ["fixed", "collective-first", "gemm-first"])
@pytest.mark.parametrize("displaces", ["true", "false"])
def test_one_gpu_stands_for_all_however_cus_are_shared(scheme, first, displaces, tiny_system, pair, run_scheme):
    """Equal GPUs take the same CUs at the same times."""
    ways = f"software.cu_sharing={first}", f"software.collectives_displace={displaces}", "software.event_overhead=1 us"
    system, sublayer = tiny_system(*MANY, *ways), pair(4, SHAPE)
    one, every = (run_scheme(system, sublayer, scheme, gpus) for gpus in ("mirror", "all"))
    assert one.gpus_simulated == 1
    assert (one.total_fs, one.operation_fs, one.served_bytes) == (
        every.total_fs,
        every.operation_fs,
        every.served_bytes,
    )


@pytest.mark.parametrize("cus", [None, 3])
@pytest.mark.parametrize("displaced", [False, True])
def test_alone_a_gemm_that_shares_is_one_that_does_not(cus, displaced, tiny_system, pair, lowered):
    """With nobody to share with it has the same CUs in every stage, and the LLC to itself: equal in all numbers."""
    system = tiny_system()
    (gemm, *_) = lowered(system, pair(4, (100, 90, 70)))
    own, shared = (
        SystemLab(system, 4).run([GemmPhase(gemm, cus, beside=beside)], "default")
        for beside in (None, Beside(priority=0, is_displaced=displaced))
    )
    assert shared == own


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
