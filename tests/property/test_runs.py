"""Whole runs on small random systems: bytes add up, spans lie inside the run, the mirror is the ring."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from t3sim.collectives.planning import NetworkFacts
from t3sim.hardware.memory.arbitration import KIND as ARBITRATION
from t3sim.registry import get, names
from t3sim.schemes.scheme import KIND as SCHEME

EXECUTED = ("sequential", "t3", "t3-mca")
FUSED = ("t3", "t3-mca")
RING = NetworkFacts(ranks=4, shape=(4,))
SWITCH = "topology={kind: switch, switch: {reduces: true, multicasts: true, adder_rate: 8 TB/s, entries: 1024}}"
"""A network for schemes that a ring is not enough for."""
TILE = 16
CUS = 4


def changed(part, **fields):
    """Copy a spec with some fields changed, checked again."""
    return type(part).model_validate({**dict(part), **fields})


@st.composite
def systems(draw, base):
    """Draw a small system: any policy, short queues, few DMA commands, small buffers and slices."""
    policy = get(ARBITRATION, draw(st.sampled_from(names(ARBITRATION))))()
    return base.model_copy(
        update={
            "arbitration": {**base.arbitration, "default": policy},
            "memory": changed(
                base.memory,
                queue_entries=draw(st.integers(1, 12)),
                channels=draw(st.sampled_from([1, 4, 7])),
                read_latency=draw(st.sampled_from([0, 30_000_000])),
                turnaround=draw(st.sampled_from([0, 700_000])),
                stream_switch=draw(st.sampled_from([0, 300_000])),
            ),
            "dma": changed(base.dma, outstanding=draw(st.integers(1, 4))),
            "link": changed(base.link, send_buffer=draw(st.sampled_from([1, 1024, 65_536]))),
            "compute": changed(
                base.compute,
                store_buffer=draw(st.sampled_from([1, 2048, 65_536])),
                collective_slice=draw(st.sampled_from([100, 1024, 4096])),
                collective_cus=draw(st.integers(1, CUS)),
            ),
            "gemm": changed(base.gemm, group_rows=draw(st.integers(1, 3)), prefetch_slabs=draw(st.integers(0, 3))),
        }
    )


@st.composite
def sizes(draw):
    """Draw (ring size, GEMM shape) with at least a tile for each GPU; most edges are ragged."""
    gpus = draw(st.integers(2, 8))
    shape = draw(st.tuples(st.integers(1, 150), st.integers(1, 80), st.integers(8, 60)))
    assume(-(-shape[0] // TILE) * -(-shape[1] // TILE) >= gpus)
    return gpus, shape


def positions(works, gpu):
    """Bytes of the chunk at each position of a GPU's own order: at GPU r's position p lies part p - r."""
    sizes = works[1].chunks.chunk_bytes
    return [sizes[(position - gpu) % len(sizes)] for position in range(len(sizes))]


def expected_traffic(scheme, sizes_):
    """DRAM bytes by cause and link bytes, from what each scheme does with the chunk at each position."""
    count, total = len(sizes_), sum(sizes_)
    first, before_last, last = sizes_[0], sizes_[count - 2], sizes_[-1]
    gemm, scatter, gather = "gemm", "reduce_scatter", "all_gather"
    traffic = {
        (gather, "read"): total - before_last,
        (gather, "write"): total - last,
        "link": (total - last) + (total - before_last),
    }
    if scheme == "sequential":
        reads = first + 2 * (total - first)
        traffic |= {(gemm, "write"): total, (scatter, "read"): reads, (scatter, "write"): total - first + last}
    else:
        local = total - first
        traffic |= {(gemm, "write"): local, (scatter, "read"): total - first - last, (scatter, "write"): local}
    return +Counter(traffic)


def actual_traffic(report):
    """Read the same from a GPU's counters."""
    traffic = {cause: nbytes for cause, nbytes in report.served_bytes.items() if cause != ("gemm", "read")}
    return +Counter({**traffic, "link": report.link_bytes})


@settings(max_examples=120)
@given(data=st.data(), size=sizes(), scheme=st.sampled_from(EXECUTED), simulated=st.sampled_from(["one", "all"]))
def test_traffic_is_what_the_chunks_demand(tiny_system, pair, lowered, run_scheme, data, size, scheme, simulated):
    """On every GPU the bytes of every cause follow from its chunks: nothing is lost, nothing moved twice."""
    gpus, shape = size
    system = data.draw(systems(tiny_system("tracker.entries=1024")))
    sublayer = pair(gpus, shape)
    outcome = run_scheme(system, sublayer, scheme, simulated)
    works = lowered(system, sublayer)
    assert len(outcome.gpus) == (1 if simulated == "one" else gpus)
    rows, columns, depth = shape
    for number, report in enumerate(outcome.gpus):
        assert actual_traffic(report) == expected_traffic(scheme, positions(works, number))
        read = report.served_bytes["gemm", "read"]
        assert read >= (rows + columns) * depth * 2
        assert read <= (rows * -(-columns // TILE) + columns * -(-rows // TILE)) * depth * 2


@settings(max_examples=60)
@given(data=st.data(), size=sizes(), scheme=st.sampled_from(EXECUTED), simulated=st.sampled_from(["one", "all"]))
def test_nothing_is_faster_than_its_hardware(tiny_system, pair, run_scheme, data, size, scheme, simulated):
    """Spans lie inside the run and in order, and no part does more than its rate allows."""
    gpus, shape = size
    system = data.draw(systems(tiny_system("tracker.entries=1024")))
    outcome = run_scheme(system, pair(gpus, shape), scheme, simulated)
    for report in outcome.gpus:
        spans = {span.operation: span for span in report.spans}
        assert sorted(spans) == ["all_gather", "gemm", "reduce_scatter"]
        assert all(0 <= span.start_fs < span.end_fs <= outcome.total_fs for span in report.spans)
        assert spans["reduce_scatter"].end_fs <= spans["all_gather"].start_fs
        assert spans["gemm"].start_fs <= spans["reduce_scatter"].start_fs
        if scheme == "sequential":
            assert spans["gemm"].end_fs <= spans["reduce_scatter"].start_fs
        gemm_fs = spans["gemm"].end_fs - spans["gemm"].start_fs
        # 4 CUs of 256 FLOP a cycle at 1.4 GHz; 1 TB/s of DRAM at 92%; 75 GB/s each way on the link.
        assert gemm_fs >= 2 * shape[0] * shape[1] * shape[2] * 10**15 / (CUS * 256 * 1_400_000_000)
        assert report.operand_stall_fs <= gemm_fs
        assert sum(report.served_bytes.values()) * 1_000 / 0.92 <= report.dram_busy_fs <= outcome.total_fs
        assert report.link_bytes * 10**15 / 75_000_000_000 <= report.link_busy_fs <= outcome.total_fs
    assert max(span.end_fs for report in outcome.gpus for span in report.spans) == outcome.total_fs


@settings(max_examples=60)
@given(
    data=st.data(),
    gpus=st.integers(2, 8),
    groups=st.integers(1, 2),
    columns=st.integers(1, 4),
    depth=st.integers(8, 60),
    scheme=st.sampled_from([name for name in names(SCHEME) if name != "stream-overlap"]),  # cuts GEMMs elsewhere
)
def test_mirror_equals_the_ring(tiny_system, pair, run_scheme, data, gpus, groups, columns, depth, scheme):
    """Where every chunk is the same number of whole row groups, one mirrored GPU is each GPU of the full ring."""
    network = [SWITCH] if get(SCHEME, scheme)().misfit(RING) else []
    system = data.draw(systems(tiny_system("tracker.entries=1024", *network)))
    shape = (gpus * groups * system.gemm.group_rows * TILE, columns * TILE, depth)
    mirror = run_scheme(system, pair(gpus, shape), scheme, "mirror")
    ring = run_scheme(system, pair(gpus, shape), scheme, "all")
    assert ring.gpus == mirror.gpus * (gpus if mirror.gpus else 0)
    assert mirror.links.items() <= ring.links.items()
    whole = {"gpus": (), "gpus_simulated": 0, "links": {}}
    assert replace(ring, **whole) == replace(mirror, **whole)


@settings(max_examples=150)
@given(data=st.data(), size=sizes(), scheme=st.sampled_from((*EXECUTED, "stream-overlap")))
def test_one_gpu_stands_for_all_only_where_it_is_each_of_them(tiny_system, pair, run_scheme, data, size, scheme):
    """Whatever the shape, what one GPU answers for all is what each of all does, to the femtosecond."""
    gpus, shape = size
    system = data.draw(systems(tiny_system("tracker.entries=1024")))
    mirror = run_scheme(system, pair(gpus, shape), scheme, "mirror")
    ring = run_scheme(system, pair(gpus, shape), scheme, "all")
    assert ring.gpus == mirror.gpus * (gpus // len(mirror.gpus))
    assert ring.total_fs == mirror.total_fs


@settings(max_examples=60)
@given(size=sizes(), scheme=st.sampled_from(("sequential", "ideal-overlap")))
def test_an_approximation_of_kernels_alone_is_near(tiny_system, pair, run_scheme, size, scheme):
    """Where chunks differ, one GPU that stands for all by force takes the time of all within 5%, if nothing overlaps.

    The pace of the largest chunk is the ring's: that of any other would be off by as much as chunks differ.
    """
    gpus, shape = size
    one, ring = (
        run_scheme(tiny_system("link.bandwidth=20 GB/s"), pair(gpus, shape), scheme, gpus_) for gpus_ in ("one", "all")
    )
    assert one.gpus_simulated == 1
    assert one.total_fs == pytest.approx(ring.total_fs, rel=0.05)


@settings(max_examples=60)
@given(
    data=st.data(),
    size=sizes(),
    tracker=st.tuples(st.integers(1, 16), st.sampled_from([1, 2, 4])),
    scheme=st.sampled_from(FUSED),
    simulated=st.sampled_from(["one", "all"]),
)
def test_small_trackers_never_stall_a_run(
    tiny_system, pair, lowered, run_scheme, data, size, tracker, scheme, simulated
):
    """However small the tracker, a run ends, moves the same bytes, and stays within its entries."""
    gpus, shape = size
    sets, ways = tracker
    system = data.draw(systems(tiny_system()))
    system = system.model_copy(update={"tracker": changed(system.tracker, entries=sets * ways, ways=ways)})
    sublayer = pair(gpus, shape)
    outcome = run_scheme(system, sublayer, scheme, simulated)
    works = lowered(system, sublayer)
    for number, report in enumerate(outcome.gpus):
        assert 1 <= report.tracker_peak_entries <= sets * ways
        assert actual_traffic(report) == expected_traffic(scheme, positions(works, number))


@pytest.mark.parametrize("simulated", ["mirror", "all"])
@pytest.mark.parametrize("scheme", FUSED)
def test_tracker_waits_only_when_it_is_full(tiny_system, pair, run_scheme, scheme, simulated):
    """As many entries as tiles in flight change nothing; one less makes counts wait, and no run faster."""
    sublayer = pair(8, (8 * 2 * TILE, 3 * TILE, 40))

    def run(entries):
        return run_scheme(
            tiny_system(f"tracker.entries={entries}", f"tracker.ways={entries}"), sublayer, scheme, simulated
        )

    large = run(64)
    peak = large.tracker_peak_entries
    enough, short = run(peak), run(peak - 1)
    assert enough.total_fs == large.total_fs
    assert short.total_fs >= large.total_fs
    assert short.tracker_peak_entries == peak - 1
    assert all(report.tracker_waits == 0 for report in enough.gpus)
    assert all(report.tracker_waits > 0 for report in short.gpus)
    assert short.served_bytes == large.served_bytes


@settings(max_examples=60)
@given(first=sizes(), second=sizes(), latency=st.sampled_from([0, 20_000_000]), outstanding=st.integers(1, 4))
def test_operations_that_follow_each_other_do_not_mix(
    tiny_system, gemm_op, collective_op, sublayer_of, run_scheme, first, second, latency, outstanding
):
    """Two fused pairs in a row move what each moves alone, also where a neighbour starts the second one earlier."""
    gpus, (rows, columns, depth) = first[0], second[1]
    assume(-(-rows // TILE) * -(-columns // TILE) >= gpus)
    base = tiny_system("tracker.entries=1024", "link.bandwidth=3000 GB/s", "link.receive_buffer=64 KiB")
    link = changed(base.link, latency=latency)
    system = base.model_copy(update={"link": link, "dma": changed(base.dma, outstanding=outstanding)})
    one, two = first[1], (rows, columns, min(depth, 16))
    pairs = [
        (gemm_op("g1", one), collective_op("r1", "reduce_scatter", one[0] * one[1] * 2, "g1")),
        (gemm_op("g2", two), collective_op("r2", "reduce_scatter", two[0] * two[1] * 2, "g2")),
    ]
    after = pairs[1][0].model_copy(update={"after": ("r1",)})
    both = run_scheme(system, sublayer_of(gpus, *pairs[0], after, pairs[1][1]), "t3", "all")
    alone = [run_scheme(system, sublayer_of(gpus, *operations), "t3", "all") for operations in pairs]
    for number, report in enumerate(both.gpus):
        parts = [outcome.gpus[number].served_bytes for outcome in alone]
        assert report.served_bytes == {cause: parts[0][cause] + parts[1][cause] for cause in parts[0]}


def test_neighbour_that_is_ahead_does_not_disturb_open_tiles(
    tiny_system, gemm_op, collective_op, sublayer_of, run_scheme
):
    """A GPU that starts its second fused pair early updates other tiles than those its successor has still open."""
    system = tiny_system(
        "tracker.entries=1024",
        "link.bandwidth=3000 GB/s",
        "link.latency=0 ns",
        "dma.outstanding=1",
    )
    operations = (
        gemm_op("g1", (55, 21, 40)),
        collective_op("r1", "reduce_scatter", 55 * 21 * 2, "g1"),
        gemm_op("g2", (63, 50, 16), "r1"),
        collective_op("r2", "reduce_scatter", 63 * 50 * 2, "g2"),
    )
    outcome = run_scheme(system, sublayer_of(3, *operations), "t3", "all")
    assert len(outcome.gpus) == 3
