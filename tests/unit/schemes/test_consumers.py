"""All-gathers and the GEMMs that read what they bring: who waits for what, and what is found where nobody waits."""

from dataclasses import replace

import numpy as np
import pytest

from t3sim.execution.data import DataMode, DataRun
from t3sim.registry import get
from t3sim.schemes import consumer
from t3sim.schemes.consumer_order import arrival_s, arriving_parts, consumer_order, end_s, soonest, stage_sizes
from t3sim.schemes.peer_plans import by_engines, direct
from t3sim.schemes.scheme import KIND
from t3sim.simulation.lab import ALL, SystemLab

SHAPE = (128, 64, 64)
"""Two rows of four tiles for each GPU: two stages of four CUs."""
NS = 10**6
FULLY_CONNECTED = "topology={kind: fully-connected}"
ONE_BY_ONE = "copy_engines.count=1", "copy_engines.start_up=10 us"
"""Parts of other GPUs come at 10.4, 20.8 and 31.2 us, long after a stage has ended."""
AT_ONCE = ("t3-consumer", "fused-sw", "async-tp")


def test_stages_wait_for_their_parts_and_no_others(linked, gather, watched, spans_of):
    """Two stages for own rows run at once; two more as each part comes; in between the GEMM does not run."""
    outcome, _ = watched(linked(*ONE_BY_ONE), gather(SHAPE), "fused-sw")
    spans = spans_of(outcome, "gemm")
    stage = spans[0][1] / 2
    assert [start for start, _ in spans] == pytest.approx([0, 10_400 * NS, 20_800 * NS, 31_200 * NS], abs=NS)
    assert [end - start for start, end in spans] == pytest.approx([2 * stage] * 4, rel=0.01)
    assert outcome.of("gemm") == sum(end - start for start, end in spans)
    assert outcome.total_fs == pytest.approx(31_200 * NS + 2 * stage, rel=0.001)
    assert spans_of(outcome, "all_gather") == [(0, pytest.approx(31_200 * NS, abs=NS))]
    # Workgroups that wait are not started.
    assert outcome.cu_busy_fs["gemm"] == pytest.approx(4 * outcome.of("gemm"), rel=1e-6)
    assert "all_gather" not in outcome.cu_busy_fs


def test_a_stage_waits_for_the_last_of_its_parts(linked, gather, watched, spans_of):
    """A row of two tiles for each GPU: a stage of four CUs has two parts, and the second stage the last two."""
    outcome, _ = watched(linked(*ONE_BY_ONE), gather((64, 32, 64)), "fused-sw")
    starts = [start for start, end in spans_of(outcome, "gemm") if end > start]
    assert starts == pytest.approx([10_400 * NS, 31_200 * NS], abs=NS)


def test_on_a_ring_rows_come_from_the_next_gpu_first(slow_reads, gather, watched, spans_of):
    """Each hop takes 10 us and a read of 400 ns: DMA brings parts at 10.4, 20.8 and 31.2 us."""
    slow = "link.latency=10 us", "link.receive_buffer=64 GiB"
    outcome, _ = watched(slow_reads(*slow), gather(SHAPE), "t3-consumer")
    starts = [start for start, _ in spans_of(outcome, "gemm")]
    assert starts == pytest.approx([0, 10_400 * NS, 20_800 * NS, 31_200 * NS], abs=20 * NS)


@pytest.mark.parametrize("scheme", AT_ONCE)
def test_what_is_there_is_not_waited_for(scheme, linked, gather, run_scheme, spans_of):
    """Where parts come sooner than stages end, the GEMM runs from the start without a gap."""
    outcome = run_scheme(linked(), gather(SHAPE), scheme, "all")
    spans = spans_of(outcome, "gemm")
    assert spans[0][0] == 0
    assert [start for start, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert outcome.total_fs == spans[-1][1] == outcome.of("gemm")


@pytest.mark.parametrize("scheme", AT_ONCE)
def test_a_gemm_that_does_not_wait_is_found(scheme, linked, gather, lowered, monkeypatch):
    """With numbers in memory, a gate that stands open is an error, and one that waits is none."""
    system = linked(*ONE_BY_ONE, "link.latency=30 us", "link.receive_buffer=64 GiB")

    def errors():
        lab = SystemLab(system, 4, ALL, data=DataMode())
        return get(KIND, scheme)().simulate(lab, lowered(system, gather(SHAPE))).data.errors

    assert errors() == 0
    monkeypatch.setattr(consumer, "_arrivals", lambda *_: {})
    assert errors() > 0


@pytest.mark.parametrize("scheme", AT_ONCE)
@pytest.mark.parametrize("missing", range(1, 4))
def test_a_gemm_that_does_not_wait_for_one_part_is_found(scheme, missing, slow_reads, gather, lowered, monkeypatch):
    """Each part counts, in the order in which they come: in a ring by DMA, 10 us apart, or one by one by an engine."""
    ring = "link.latency=10 us", "link.receive_buffer=64 GiB"
    system = slow_reads(*(ring if scheme == "t3-consumer" else (FULLY_CONNECTED, *ONE_BY_ONE)))
    arrivals = consumer._arrivals

    def without_one(gpu, work, carrier):
        parts, _ = arriving_parts(work, gpu.index)
        return {part: event for part, event in arrivals(gpu, work, carrier).items() if part != parts[missing]}

    monkeypatch.setattr(consumer, "_arrivals", without_one)
    lab = SystemLab(system, 4, ALL, data=DataMode())
    assert get(KIND, scheme)().simulate(lab, lowered(system, gather(SHAPE))).data.errors > 0


@pytest.mark.parametrize("change", [(), (FULLY_CONNECTED,), ("algorithms={all_gather: bidirectional-ring}",)])
@pytest.mark.parametrize("shape", [(128, 64, 64), (192, 64, 64), (384, 32, 40), (64, 16, 16)])
@pytest.mark.parametrize("scheme", ["t3-consumer", "fused-sw", "dma-overlap", "async-tp"])
def test_one_gpu_stands_for_all_where_it_is_each(scheme, shape, change, tiny_system, gather, run_scheme):
    """Whatever rows a part has, and however many are dispatched together: the same times, or all are simulated."""
    if scheme == "async-tp" and change != (FULLY_CONNECTED,):
        pytest.skip("needs links to all")
    system = tiny_system(*change)
    one, every = (run_scheme(system, gather(shape), scheme, gpus) for gpus in ("mirror", "all"))
    assert one.total_fs == every.total_fs
    assert every.gpus == one.gpus * (4 // len(one.gpus))


@pytest.mark.parametrize("scheme", ["t3-consumer", "fused-sw"])
def test_parts_that_share_rows_of_tiles_are_simulated_on_all(scheme, tiny_system, gather, run_scheme):
    """A part of 25 rows ends in the middle of a tile: GPUs wait for other tiles, and the numbers are right."""
    assert run_scheme(tiny_system(), gather((100, 64, 64)), scheme).gpus_simulated == 4


@pytest.mark.parametrize("scheme", AT_ONCE)
def test_parts_without_bytes_are_there(scheme, linked, gather, run_scheme):
    """Sixteen bytes for 32 GPUs leave half of the parts empty: nobody waits for them for ever.

    Sixteen GPUs send their byte to 31 others: 15.5 bytes a GPU.
    """
    outcome = run_scheme(linked(), gather((1, 64, 8), 32), scheme)
    assert outcome.link_bytes == 16
    assert outcome.of("gemm") > 0


def test_a_row_of_tiles_waits_for_all_parts_in_it(tiny_system, gather, lowered):
    """100 rows in tiles of 16, parts of 25 from the last home to the first: GPU 0 has part 3, then 2, 1 or 0 come.

    Rows 75 to 99 are its own: only tiles of rows 80 to 99 need no other.
    """
    gathered, gemm = lowered(tiny_system(), gather((100, 16, 16)))
    parts, own = arriving_parts(gathered, 0)
    assert (parts[0], own) == (3, 1)
    place = {part: number + 1 for number, part in enumerate(parts)}
    rows = {0: {0}, 1: {0, 1}, 2: {1}, 3: {1, 2}, 4: {2, 3}, 5: {3}, 6: {3}}
    expected = {row: max(place[part] for part in needed) for row, needed in rows.items()}
    order = consumer_order(gathered, gemm, 0)
    assert dict(zip(order.tiles.tolist(), order.needed.tolist(), strict=True)) == expected
    assert sorted(order.needed.tolist()) == order.needed.tolist()


PIECES = "software.gather_rows=16"
"""A row of tiles: half of what each GPU of SHAPE has."""


def test_stages_wait_for_pieces_of_parts(linked, gather, watched, spans_of):
    """Each of six copies takes 10.4 us: one stage for own rows of tiles after the other, then one as each comes."""
    outcome, _ = watched(linked(*ONE_BY_ONE, PIECES), gather(SHAPE), "fused-sw")
    spans = [(start, end) for start, end in spans_of(outcome, "gemm") if end > start]
    stage = spans[0][1] / 2
    starts = [0, *(10_400 * NS * number for number in range(1, 7))]
    assert [start for start, _ in spans] == pytest.approx(starts, abs=NS)
    assert [end - start for start, end in spans] == pytest.approx([2 * stage] + [stage] * 6, rel=0.02)
    assert spans_of(outcome, "all_gather") == [(0, pytest.approx(62_400 * NS, abs=NS))]


def test_pieces_of_all_gpus_come_before_the_next_pieces(linked, gather, watched, spans_of):
    """With an engine for each GPU first pieces are there at 10.4 us, three stages of rows, and second at 20.8."""
    outcome, _ = watched(linked("copy_engines.count=3", ONE_BY_ONE[1], PIECES), gather(SHAPE), "fused-sw")
    spans = [(start, end) for start, end in spans_of(outcome, "gemm") if end > start]
    stage = spans[0][1] / 2
    assert [start for start, _ in spans] == pytest.approx([0, 10_400 * NS, 20_800 * NS], abs=NS)
    assert [end - start for start, end in spans] == pytest.approx([2 * stage, 3 * stage, 3 * stage], rel=0.02)


@pytest.mark.parametrize("rows", [8, 24, 48])
def test_pieces_that_share_rows_of_tiles_are_not_made(rows, linked, gather, run_scheme):
    """Tiles have 16 rows and parts 32: pieces of others would end inside them, so parts come as wholes."""
    whole = run_scheme(linked(*ONE_BY_ONE), gather(SHAPE), "fused-sw")
    assert run_scheme(linked(*ONE_BY_ONE, f"software.gather_rows={rows}"), gather(SHAPE), "fused-sw") == whole


@pytest.mark.parametrize("change", [(), (FULLY_CONNECTED,)])
def test_the_tracker_lets_rows_of_tiles_go(change, slow_reads, gather, lowered):
    """Where links are slow, T3's parts of two rows of tiles come row by row, at no cost: DMA sends tiles anyway."""
    system = slow_reads("link.bandwidth=1 GB/s", *change)
    gathered, gemm = lowered(system, gather(SHAPE))
    cut = soonest(gathered, gemm, SystemLab(system, 4).speeds)
    assert (cut.gather.plan.parts, set(cut.gather.chunks.chunk_bytes)) == (8, {16 * 64 * 2})


def test_dma_sends_one_piece_after_the_other(slow_reads, gather, watched, spans_of):
    """Links, half of their rate each way, take a row of 2,048 B in 10 us: three stages begin then, three at 20 us."""
    slow = FULLY_CONNECTED, "link.bandwidth=409.6 MB/s", "link.receive_buffer=64 GiB"
    outcome, _ = watched(slow_reads(*slow), gather(SHAPE), "t3-consumer")
    spans = [(start, end) for start, end in spans_of(outcome, "gemm") if end > start]
    assert [start for start, _ in spans] == pytest.approx([0, 10_400 * NS, 20_400 * NS], abs=20 * NS)


@pytest.mark.parametrize("scheme", ["t3-consumer", "fused-sw"])
@pytest.mark.parametrize("missing", range(2, 8))
def test_a_gemm_that_does_not_wait_for_one_piece_is_found(scheme, missing, slow_reads, gather, lowered, monkeypatch):
    """Each piece counts, in the order in which they come, long after a stage has ended."""
    slow = ("link.bandwidth=100 MB/s",) if scheme == "t3-consumer" else (FULLY_CONNECTED, *ONE_BY_ONE, PIECES)
    system = slow_reads("link.receive_buffer=64 GiB", *slow)
    arrivals = consumer._arrivals

    def without_one(gpu, work, carrier):
        parts, own = arriving_parts(work, gpu.index, 1 if scheme == "fused-sw" else 0)
        assert (len(parts), own) == (8, 2)
        return {part: event for part, event in arrivals(gpu, work, carrier).items() if part != parts[missing]}

    def errors():
        lab = SystemLab(system, 4, ALL, data=DataMode())
        return get(KIND, scheme)().simulate(lab, lowered(system, gather(SHAPE))).data.errors

    assert errors() == 0
    monkeypatch.setattr(consumer, "_arrivals", without_one)
    assert errors() > 0


def test_pieces_hold_the_sums_that_came_before(slow_reads, gemm_op, collective_op, sublayer_of, lowered):
    """An all-gather in pieces brings what a reduce-scatter of whole parts has left: wrong sums are wrong there too."""
    system, nbytes = slow_reads("link.bandwidth=1 GB/s"), SHAPE[0] * SHAPE[2] * 2
    first = gemm_op("first", (SHAPE[0], SHAPE[2], 64))
    scattered, gathered = (
        collective_op("s", "reduce_scatter", nbytes, "first"),
        collective_op("g", "all_gather", nbytes, "s"),
    )
    works = lowered(system, sublayer_of(4, first, scattered, gathered, gemm_op("second", SHAPE, "g")))
    cut = soonest(works[2], works[3], SystemLab(system, 4).speeds)
    data = DataRun((*works[:2], cut.gather, cut.gemm), 4)
    assert cut.gather.plan.parts == 8
    assert data._before[2] == 1


@pytest.mark.parametrize(
    ("changes", "engines", "ends"),
    [
        # Rings: one part after the other.
        ((), 0, [1, 2, 3]),
        ((), 2, [6, 12, 18]),
        # Links to all others: all parts at once, if there are engines for all; else the rest later.
        ((FULLY_CONNECTED,), 0, [1, 1, 1]),
        ((FULLY_CONNECTED,), 3, [6, 6, 6]),
        ((FULLY_CONNECTED,), 2, [6, 6, 12]),
        # One port: two copies at once share it.
        (("topology={kind: switch}",), 1, [6, 12, 18]),
        (("topology={kind: switch}", "copy_engines.start_up=1 ns"), 2, [2, 2, 3.001]),
    ],
)
def test_parts_are_expected_at_the_rate_of_links(changes, engines, ends, tiny_system, gather, lowered):
    """A part of 4,096 B takes a link of 4.096 GB/s a microsecond, and an engine five more to start."""
    system = tiny_system("copy_engines.start_up=5 us", *changes)
    gathered, _ = lowered(system, gather(SHAPE))
    work = by_engines(gathered, SystemLab(system, 4).facts) if engines else gathered
    if "switch" in str(changes) or FULLY_CONNECTED in changes:
        work = direct(work, SystemLab(system, 4).facts)
    speeds = replace(SystemLab(system, 4).speeds, peer_bytes_per_s=4_096_000_000)
    links = 3 if FULLY_CONNECTED in changes else 1
    speeds = replace(speeds, out_bytes_per_s=links * 4_096_000_000)
    assert arrival_s(work, 0, speeds, engines) == pytest.approx([0, *(end * 1e-6 for end in ends)])


@pytest.mark.parametrize(("later", "most", "size"), [(0, 5, 5), (1000, 5, 4), (0, 4, 4), (1000, 8, 8)])
def test_stages_are_as_large_as_ends_soonest(later, most, size):
    """Two parts of eight tiles, stages of 10 s on five CUs, one part its own.

    If the other is there at once, 5, 5, 5 and 1 end as soon as four times 4. If it comes late, what is left are 5, 5
    and 1 with stages of five, and 4 and 4 with stages of four.
    """
    needed = np.array([1] * 8 + [2] * 8)
    ends = {each: end_s(needed, [0, later], each, 10, 10) for each in stage_sizes(16, 2, most)}
    assert min(ends, key=ends.__getitem__) == size
    assert ends[size] == max(later, 20 if size < 8 else 10) + (20 if size < 8 else 10)


def test_a_last_stage_may_be_shorter():
    """Five tiles in stages of two: 10 s, a wait until 15, 10 s, and 4 s for the one that is left."""
    assert end_s(np.array([1, 1, 2, 2, 2]), [0, 15], 2, 10, 4) == 29


@pytest.mark.parametrize("scheme", ["t3-consumer", "fused-sw", "async-tp", "dma-overlap"])
def test_a_gemm_between_two_collectives_goes_with_the_second(
    scheme, linked, gemm_op, collective_op, sublayer_of, run_scheme
):
    """All-gather, GEMM and reduce-scatter: the all-gather is a kernel before what the scheme makes of the others."""
    rows, columns, depth = SHAPE
    gemm, scattered = gemm_op("gemm", SHAPE, "a"), collective_op("s", "reduce_scatter", rows * columns * 2, "gemm")
    gathered = collective_op("a", "all_gather", rows * depth * 2)
    three = run_scheme(linked(), sublayer_of(4, gathered, gemm, scattered), scheme, "all")
    first = three.gpus[0].spans[0]
    assert (first.operation, first.start_fs) == ("all_gather", 0)
    assert min(span.start_fs for span in three.gpus[0].spans[1:]) == first.end_fs


def test_other_schemes_run_kernels(linked, gather, run_scheme):
    """T3 itself has nothing for consumers; nor has it with another name without an all-gather."""
    for scheme in ("t3", "t3-mca"):
        assert run_scheme(linked(), gather(SHAPE), scheme) == run_scheme(linked(), gather(SHAPE), "sequential")


def test_t3_consumer_is_t3_mca_where_nothing_is_gathered(tiny_system, pair, scatter, run_scheme):
    """The same in every number, arbitration included."""
    for sublayer in (pair(4, SHAPE), scatter(SHAPE)):
        assert run_scheme(tiny_system(), sublayer, "t3-consumer") == run_scheme(tiny_system(), sublayer, "t3-mca")


def test_t3_consumer_arbitrates_as_t3_mca(tiny_system, scatter, run_scheme):
    """Where the two policies differ, and slow memory shows it, it has that of T3-MCA."""
    policies = "arbitration.t3={policy: round-robin}", "arbitration.t3-mca={policy: compute-first}"
    system = tiny_system(*policies, "memory.bandwidth=100 GB/s")
    totals = {scheme: run_scheme(system, scatter(SHAPE), scheme).total_fs for scheme in ("t3", "t3-mca", "t3-consumer")}
    assert totals["t3-consumer"] == totals["t3-mca"] != totals["t3"]


@pytest.mark.parametrize("bandwidth", [1, 400])
def test_the_ideal_is_the_longer_of_the_two_on_both_sides(bandwidth, tiny_system, gather, scatter, run_scheme):
    """Whichever that is: a slow link makes it the collective."""
    system = tiny_system(f"link.bandwidth={bandwidth} GB/s", "link.receive_buffer=1 MiB", FULLY_CONNECTED)
    for sublayer, name in ((gather(SHAPE), "all_gather"), (scatter(SHAPE), "reduce_scatter")):
        outcome = run_scheme(system, sublayer, "ideal-overlap")
        assert outcome.total_fs == max(outcome.of("gemm"), outcome.of(name))
        assert (outcome.of("gemm") > outcome.of(name)) == (bandwidth == 400)


def test_dma_overlap_leaves_the_gemm_its_cus_beside_copies(linked, gather, scatter, run_scheme, spans_of):
    """Beside an all-gather the pieces of a GEMM have all four CUs, and beside sums two of them."""
    cut = "software.overlap_pieces=4", "software.overlap_cus=2"
    for sublayer, taken in ((gather(SHAPE), 0), (scatter(SHAPE), 2)):
        outcome = run_scheme(linked(*cut), sublayer, "dma-overlap", "all")
        first, *others = [end - start for start, end in spans_of(outcome, "gemm")]
        held = 4 * first + (4 - taken) * sum(others)
        assert outcome.cu_busy_fs["gemm"] == pytest.approx(held, rel=1e-6)


@pytest.mark.parametrize("scheme", ["stream-overlap", "dma-overlap"])
def test_two_streams_gather_a_piece_while_the_one_before_is_multiplied(scheme, linked, gather, run_scheme, spans_of):
    """All-gathers follow one another; each GEMM starts when its piece is there and the GEMM before has ended."""
    outcome = run_scheme(linked("software.overlap_pieces=4"), gather(SHAPE), scheme, "all")
    moves, gemms = spans_of(outcome, "all_gather"), spans_of(outcome, "gemm")
    assert (len(moves), len(gemms)) == (4, 4)
    assert [start for start, _ in moves] == [0, *(end for _, end in moves[:-1])]
    for number, (start, _) in enumerate(gemms):
        assert start == max(moves[number][1], gemms[number - 1][1] if number else 0)
