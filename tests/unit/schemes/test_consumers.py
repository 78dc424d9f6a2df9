"""All-gathers and the GEMMs that read what they bring: who waits for what, and what is found where nobody waits."""

from types import SimpleNamespace

import numpy as np
import pytest

from t3sim.execution.data import DataMode
from t3sim.registry import get
from t3sim.schemes import consumer
from t3sim.schemes.gemm_runs import _soonest, arriving_parts, consumer_order
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


@pytest.mark.parametrize(("part_fs", "most", "size"), [(0, 5, 5), (1000, 5, 4), (0, 4, 4), (1000, 8, 8)])
def test_stages_are_as_large_as_ends_soonest(part_fs, most, size):
    """Two parts of eight tiles, stages of 10 fs on five CUs, one part its own.

    If the other is there at once, 5, 5, 5 and 1 end as soon as four times 4. If it comes late, what is left are 5, 5
    and 1 with stages of five, and 4 and 4 with stages of four.
    """
    needed = np.array([1] * 8 + [2] * 8)
    order = SimpleNamespace(tiles=needed, needed=needed, parts=(1, 0), own=1)
    assert _soonest(order, most, 10, part_fs) == size


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
