"""Asynchronous tensor parallelism: what waits for what, what is added to each piece, and where it cannot run."""

import pytest

from t3sim.collectives.planning import NetworkFacts
from t3sim.errors import SimulationError
from t3sim.schemes.async_tp import AsyncTp

SHAPE = (128, 64, 64)
"""Two rows of four tiles for each GPU: two stages of four CUs."""
CHUNK = 32 * 64 * 2
NS = 10**6
MISFIT = "needs a network on which every GPU reaches every other without passing a third"
HIGH_FLOOR = "software.scatter_floor=99 us"


def test_a_piece_is_copied_when_it_is_made(linked, scatter, watched, spans_of):
    """Four GEMMs follow one another; as each of the first three ends, it is read to be sent; when all end, all sum."""
    outcome, bursts = watched(linked(), scatter(SHAPE), "async-tp")
    gemms = spans_of(outcome, "gemm")
    assert [start for start, _ in gemms] == [0, *(end for _, end in gemms[:-1])]
    read = bursts.bytes_at("reduce_scatter", reads=True)
    ends = [end for _, end in gemms]
    turns = [ends[-1] + turn * 400 * NS for turn in range(4)]
    assert list(read) == pytest.approx([time / NS for time in (*ends[:-1], *turns)], abs=1)
    assert list(read.values()) == [CHUNK] * 3 + [4096] * 4
    assert outcome.total_fs == pytest.approx(ends[-1] + 1600 * NS, abs=NS)
    assert spans_of(outcome, "reduce_scatter") == [(ends[0], outcome.total_fs)]
    assert outcome.cu_busy_fs["reduce_scatter"] == outcome.total_fs - ends[-1]
    assert outcome.link_bytes == 3 * CHUNK


def test_the_sum_waits_for_the_last_copy(linked, scatter, run_scheme, spans_of):
    """What leaves as the third GEMM ends is 400 ns under way in memory and 50 us on the link."""
    outcome = run_scheme(linked("link.latency=50 us", "link.receive_buffer=64 GiB"), scatter(SHAPE), "async-tp", "all")
    third = spans_of(outcome, "gemm")[2][1]
    assert outcome.total_fs == pytest.approx(third + (400 + 50_000 + 1600) * NS, abs=NS)


def test_the_sum_is_launched_and_has_its_share_of_the_memory(linked, scatter, run_scheme, spans_of):
    """The launch of its kernel comes first; then 16 KiB, of which 4 KiB are 1.024% of 1 TB/s for 400 ns."""
    memory = "memory.bandwidth=1 TB/s", "memory.efficiency=1.0", "software.reduction_share=0.010241"
    wide = "compute.collective_outstanding_per_cu=64 KiB", "compute.launch_overhead=3 us"
    outcome = run_scheme(linked(*memory, *wide), scatter(SHAPE), "async-tp", "all")
    ((_, end),) = spans_of(outcome, "gemm")[3:]
    assert (outcome.total_fs - end) / 10**9 == pytest.approx(3 + 1.6, rel=0.02)


@pytest.mark.parametrize(("side", "added"), [("scatter", (20, 0)), ("gather", (0, 20))])
def test_what_comes_before_each_piece_adds_up(side, added, linked, scatter, gather, run_scheme):
    """5 us before each of four pieces are 20 us where that side is overlapped, and nothing on the other."""
    for sublayer, more_us in zip((scatter(SHAPE), gather(SHAPE)), added, strict=True):
        without, late = (
            run_scheme(linked(*change), sublayer, "async-tp").total_fs
            for change in ((), (f"software.{side}_overhead=5 us",))
        )
        assert late - without == pytest.approx(more_us * 1000 * NS, abs=2 * NS)


def test_each_piece_is_launched(linked, scatter, run_scheme, spans_of):
    """With launches of 3 us, four pieces take 12 us more; each is seen as its launch."""
    without, late = (
        run_scheme(linked(f"compute.launch_overhead={us} us"), scatter(SHAPE), "async-tp", "all") for us in (0, 3)
    )
    assert spans_of(late, "gemm")[-1][1] - spans_of(without, "gemm")[-1][1] == pytest.approx(12_000 * NS, abs=NS)
    assert [span.launch_fs for span in late.gpus[0].spans if span.operation == "gemm"] == [3000 * NS] * 4


def test_pieces_of_unlike_sizes_are_all_rows(linked, scatter, run_scheme):
    """A hundred and one rows for four GPUs: 25, 25, 25 and 26 take as many stages as four GEMMs of 32 rows."""
    ragged, even = (
        run_scheme(linked("memory.read_latency=0 ns"), scatter((rows, 64, 64)), "async-tp", "all")
        for rows in (101, 128)
    )
    assert ragged.of("gemm") == pytest.approx(even.of("gemm"), rel=0.01)
    assert ragged.served_bytes["gemm", "write"] == 101 * 64 * 2


@pytest.mark.parametrize("op", ["scatter", "gather"])
def test_fewer_rows_than_gpus_stay_whole(op, linked, scatter, gather, run_scheme):
    """Three rows are no piece for each of four GPUs: kernels one after the other."""
    sublayer = {"scatter": scatter, "gather": gather}[op]((3, 64, 64))
    assert run_scheme(linked(), sublayer, "async-tp") == run_scheme(linked(), sublayer, "sequential")


def test_rings_are_refused(tiny_system, scatter, run_scheme):
    """Four GPUs on a ring reach each other through a third; three do not."""
    assert AsyncTp().misfit(NetworkFacts(ranks=4, shape=(4,))) == MISFIT
    assert not AsyncTp().misfit(NetworkFacts(ranks=4, shape=(4,), direct=True))
    with pytest.raises(SimulationError) as refused:
        run_scheme(tiny_system(), scatter(SHAPE), "async-tp")
    assert str(refused.value) == f"async-tp {MISFIT}"
    assert run_scheme(tiny_system(), scatter((96, 64, 64), 3), "async-tp").total_fs > 0


def test_a_piece_starts_when_its_rows_are_there(linked, gather, run_scheme, spans_of):
    """One engine that starts 10 us before each copy brings parts at 10.4, 20.8 and 31.2 us; own rows need none."""
    slow = "copy_engines.count=1", "copy_engines.start_up=10 us"
    outcome = run_scheme(linked(*slow), gather(SHAPE), "async-tp", "all")
    starts = [start for start, _ in spans_of(outcome, "gemm")]
    assert starts == pytest.approx([0, 10_400 * NS, 20_800 * NS, 31_200 * NS], abs=NS)
    assert spans_of(outcome, "all_gather") == [(0, pytest.approx(31_200 * NS, abs=NS))]
    # The pieces themselves take what they take where nothing waits.
    free = run_scheme(linked(), gather(SHAPE), "async-tp", "all")
    assert outcome.of("gemm") == pytest.approx(free.of("gemm"), rel=0.01)
    assert free.total_fs == pytest.approx(free.of("gemm"), abs=NS)


@pytest.mark.parametrize("scheme", ["async-tp", "dma-overlap", "fused-sw", "stream-overlap"])
def test_no_reduce_scatter_ends_before_the_host_has_issued_it(scheme, linked, scatter, gather, run_scheme):
    """A floor above the time is the time, the rest a launch; one below it changes nothing, nor one of a gather."""
    plain = run_scheme(linked(), scatter(SHAPE), scheme, "all")
    assert run_scheme(linked("software.scatter_floor=1 us"), scatter(SHAPE), scheme, "all").total_fs == plain.total_fs
    floored = run_scheme(linked(HIGH_FLOOR), scatter(SHAPE), scheme, "all")
    assert floored.total_fs == 99_000 * NS
    last = floored.gpus[0].spans[-1]
    assert (last.start_fs, last.launch_fs) == (plain.total_fs, 99_000 * NS - plain.total_fs)
    gathers = [run_scheme(linked(*each), gather(SHAPE), scheme, "all").total_fs for each in ((), (HIGH_FLOOR,))]
    assert gathers[0] == gathers[1]


def test_the_host_begins_with_its_gpu(linked, scatter, run_scheme):
    """A GPU that starts 40 us late is told of its operations so much later."""
    late = HIGH_FLOOR, "conditions={gpus: {'0': {start: 40 us}}}"
    assert run_scheme(linked(*late), scatter(SHAPE), "fused-sw", "all").total_fs == 139_000 * NS


@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca", "t3-consumer"])
def test_the_host_s_floor_is_for_rivals(scheme, linked, scatter, run_scheme):
    """What is compared with the paper has none."""
    totals = [run_scheme(linked(*change), scatter(SHAPE), scheme).total_fs for change in ((), (HIGH_FLOOR,))]
    assert totals[0] == totals[1]
