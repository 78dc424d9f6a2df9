"""Fused in software: what is stored where and when, what is summed when, and by how many CUs."""

import pytest

from t3sim.hardware.memory.access import Cause, Direction

SHAPE = (128, 64, 64)
"""Eight rows of four tiles of 512 B: two rows of tiles, or stages of four CUs, for each of four GPUs."""
CHUNK = 8 * 512
GEMM_WRITE = Cause("gemm", Direction.WRITE)
READ, WRITE = (Cause("reduce_scatter", direction) for direction in Direction)
NS = 10**6


@pytest.mark.parametrize("kind", ["fully-connected", "switch"])
@pytest.mark.parametrize("gpus", [2, 4, 8])
def test_what_others_own_crosses_the_links_once(kind, gpus, tiny_system, scatter, run_scheme):
    """A GPU keeps its n-th of the output, and stores the rest in the memories of others."""
    system = tiny_system(f"topology={{kind: {kind}}}", "link.receive_buffer=1 MiB")
    outcome = run_scheme(system, scatter(SHAPE, gpus), "fused-sw")
    part = 128 * 64 * 2 // gpus
    assert outcome.link_bytes == (gpus - 1) * part
    # The own part is stored; others bring theirs; all are read, and the sum is written.
    assert outcome.served_bytes[GEMM_WRITE] == part
    assert outcome.served_bytes[WRITE] == (gpus - 1) * part + part
    assert outcome.served_bytes[READ] == gpus * part


def test_the_own_part_is_made_last_and_summed_at_the_end(linked, scatter, watched, spans_of):
    """Of eight stages the last two store here; then four copies are read with 4 KiB in flight, 400 ns each time."""
    outcome, bursts = watched(linked(), scatter(SHAPE), "fused-sw")
    ((start, end),) = spans_of(outcome, "gemm")
    assert start == 0
    stored = bursts.bytes_at("gemm", reads=False)
    assert list(stored.values()) == [CHUNK // 2, CHUNK // 2]
    assert list(stored) == pytest.approx([7 * end / 8 / NS, end / NS], abs=1)
    summed = bursts.bytes_at("reduce_scatter", reads=True)
    assert list(summed) == pytest.approx([end / NS + turn * 400 for turn in range(4)], abs=1)
    assert list(summed.values()) == [4096] * 4
    assert outcome.total_fs == pytest.approx(end + 4 * 400 * NS, abs=NS)
    # From the first tile that left, with the first stage's end.
    ((first, last),) = spans_of(outcome, "reduce_scatter")
    assert (first, last) == (pytest.approx(end / 8, rel=1e-6), outcome.total_fs)


@pytest.mark.parametrize("kib", [1, 2, 8])
def test_the_sum_s_rate_is_its_window_over_the_latency(kib, linked, scatter, run_scheme, spans_of):
    """Four copies of 4 KiB, 400 ns for each window of them (Little's law)."""
    outcome = run_scheme(linked(f"compute.collective_outstanding_per_cu={kib} KiB"), scatter(SHAPE), "fused-sw", "all")
    ((_, end),) = spans_of(outcome, "gemm")
    assert outcome.total_fs - end == pytest.approx(16 / kib * 400 * NS, rel=0.01)
    # No CU is taken while the GEMM runs.
    assert outcome.cu_busy_fs["reduce_scatter"] == outcome.total_fs - end


def test_the_last_sum_is_launched(linked, scatter, run_scheme, spans_of):
    """A kernel of its own sums: 3 us later, where a launch takes so long, and that is no time on CUs."""
    outcome = run_scheme(linked("compute.launch_overhead=3 us"), scatter(SHAPE), "fused-sw", "all")
    ((_, end),) = spans_of(outcome, "gemm")
    assert outcome.total_fs - end == pytest.approx(3000 * NS + 1600 * NS, abs=NS)
    assert outcome.cu_busy_fs["reduce_scatter"] == pytest.approx(1600 * NS, abs=NS)


@pytest.mark.parametrize(("share", "us"), [(0.010241, 1.6), (0.020481, 0.8), (1.0, 0.4)])
def test_a_sum_moves_no_more_than_its_share_of_the_memory(share, us, linked, scatter, run_scheme, spans_of):
    """Of 1 TB/s, 1.024% are 4 KiB each 400 ns: 16 KiB take four times that, or half of it at twice the share.

    At 100% they are in flight as its CUs let them: all at once.
    """
    memory = "memory.bandwidth=1 TB/s", "memory.efficiency=1.0", f"software.reduction_share={share}"
    wide = "compute.collective_outstanding_per_cu=64 KiB"
    outcome = run_scheme(linked(*memory, wide), scatter(SHAPE), "fused-sw", "all")
    ((_, end),) = spans_of(outcome, "gemm")
    assert (outcome.total_fs - end) / 10**9 == pytest.approx(us, rel=0.1)


@pytest.mark.parametrize("taken", [1, 2])
def test_on_a_ring_tiles_take_the_system_s_way_and_cus_sum_them(taken, tiny_system, scatter, run_scheme):
    """Three chunks are stored here and three come; sums of two go on, that of the own stays: T3 without its memory."""
    alone = "memory.read_latency=0 ns", "memory.bandwidth=1000000 TB/s", "llc.hit_latency=0 ns"
    exact = "compute.clock=1 GHz", "compute.sustained_fraction=1.0", f"software.overlap_cus={taken}"
    outcome = run_scheme(tiny_system(*alone, *exact), scatter(SHAPE), "fused-sw")
    assert outcome.link_bytes == 3 * CHUNK
    assert outcome.served_bytes[GEMM_WRITE] == 3 * CHUNK
    assert outcome.served_bytes[WRITE] == 2 * 3 * CHUNK
    assert outcome.served_bytes[READ] == (2 * 3 + 2) * CHUNK
    # 32 tiles of 8 slabs of 2 x 16 x 16 x 8 FLOP at 256 a cycle, on the CUs that are left: 11 or 16 times.
    stages = {1: 11, 2: 16}[taken]
    assert outcome.of("gemm") == pytest.approx(stages * 8 * 16 * NS, rel=0.02)


@pytest.mark.parametrize("scheme", ["fused-sw", "t3"])
@pytest.mark.parametrize("change", [(), ("track_trigger.near_memory=false",)])
def test_an_all_to_all_sums_nothing(scheme, change, linked, gemm_op, collective_op, sublayer_of, run_scheme):
    """Where nothing is added up, no CU is taken from the GEMM and no kernel is launched after it."""
    sublayer = sublayer_of(4, gemm_op("gemm", SHAPE), collective_op("x", "all_to_all", 4 * CHUNK, "gemm"))
    late = linked("compute.launch_overhead=7 us", "software.overlap_cus=2", *change)
    outcome = run_scheme(late, sublayer, scheme)
    # One launch, and eight stages of eight slabs on all four CUs.
    assert "all_to_all" not in outcome.cu_busy_fs
    assert outcome.total_fs - outcome.of("gemm") < NS
    free = run_scheme(linked(*change), sublayer, scheme)
    assert outcome.total_fs == pytest.approx(free.total_fs + 7000 * NS, abs=NS)
    assert free.cu_busy_fs["gemm"] == pytest.approx(4 * free.of("gemm"), rel=1e-6)


SWITCH = "topology={kind: switch, switch: {reduces: true, multicasts: true, adder_rate: 1 TB/s, entries: 64}}"


@pytest.mark.parametrize("topology", ["topology={kind: ring}", "topology={kind: fully-connected}", SWITCH])
def test_no_rival_uses_the_tracker(topology, tiny_system, pair, run_scheme):
    """What a kernel does with flags in memory is no entry of T3's tracker, nor does its size change any time.

    T3's own schemes use it, in the same place.
    """
    sublayer = pair(4, (128, 64, 64))
    small = ("tracker.entries=2", "tracker.ways=1")
    in_switch = topology == SWITCH
    direct = [] if topology.endswith("ring}") else ["async-tp"]
    rivals = ["stream-overlap", "dma-overlap", "fused-sw", *direct, *(["fused-switch-sw"] if in_switch else [])]
    for name in rivals:
        found = [run_scheme(tiny_system(topology, *more), sublayer, name) for more in ((), small)]
        assert [outcome.tracker_peak_entries for outcome in found] == [0, 0], name
        assert found[0].total_fs == found[1].total_fs, name
    of_t3 = "t3-switch" if in_switch else "t3"
    assert run_scheme(tiny_system(topology), sublayer, of_t3).tracker_peak_entries > 0
