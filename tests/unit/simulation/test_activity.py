"""What the hardware did, from machines to columns: against hand counts."""

import pytest

from t3sim.results.activity import Activity
from t3sim.simulation import Point, load_system, simulate_point
from t3sim.simulation.activity import activity_of
from t3sim.simulation.collective import run_collective

ROWS = ("dram_row_hits", "dram_row_misses", "dram_row_conflicts")
CUS = 4


@pytest.mark.parametrize("simulated", ["mirror", "all"])
def test_bytes_on_links_count_on_every_hop(simulated, tiny_loaded, sublayer_of, collective_op):
    """On a ring of five, what goes to the four others travels 1, 1, 2 and 2 links: six chunks a GPU in all."""
    exchange = collective_op("exchange", "all_to_all", 5 * 1024)
    point = Point(system=tiny_loaded("topology={kind: ring}"), sublayer=sublayer_of(5, exchange), gpus=simulated)
    activity = activity_of(run_collective(point))
    assert activity.wire_bytes == 6 * 1024
    gpus = 1 if simulated == "mirror" else 5
    assert len(activity.links) == 2 * gpus
    assert {link.sent_bytes for link in activity.links.values()} == {3 * 1024}
    assert sum(link.sent_bytes for link in activity.links.values()) == activity.wire_bytes * gpus


def test_a_collective_kernel_holds_its_cus_from_launch_to_end(tiny_system, pair, run_scheme):
    """Each kernel holds its CUs for its time but for the launch, waits included; the GEMM's are held by it alone."""
    outcome = run_scheme(tiny_system("compute.launch_overhead=2 us"), pair(4, (64, 64, 64)), "sequential")
    launch = 2 * 10**9
    # The all-gather goes on in the kernel of the reduce-scatter.
    spans = {span.operation: span.end_fs - span.start_fs - span.launch_fs for span in outcome.gpus[0].spans}
    assert outcome.gpus[0].spans[1].launch_fs == launch
    for operation in ("reduce_scatter", "all_gather"):
        assert outcome.cu_busy_fs[operation] == CUS * spans[operation] > 0
    assert 0 < outcome.cu_busy_fs["gemm"] <= CUS * spans["gemm"]


def test_what_dma_and_memory_do_holds_no_cus(tiny_system, pair, run_scheme):
    """Fused by near-memory compute a reduce-scatter has no CU; without it, each tile's sum holds one for its accesses.

    A GPU of four sums three chunks of four tiles: its reads take their latency at least, 30 ns.
    """
    shape = (64, 64, 64)
    fused = run_scheme(tiny_system(), pair(4, shape), "t3")
    assert set(fused.cu_busy_fs) == {"gemm", "all_gather"}
    summed = run_scheme(tiny_system("track_trigger.near_memory=false"), pair(4, shape), "t3")
    sums = 3 * 4
    assert sums * 30 * 10**6 < summed.cu_busy_fs["reduce_scatter"] < sums * 300 * 10**6


def test_operands_hit_or_miss(tiny_system, pair, run_scheme):
    """64 x 64 x 64 in tiles of 16 asks for 2 x 4 x 64 x 64 elements; what misses is what the GEMM reads from DRAM."""
    for scheme in ("sequential", "t3", "ideal-overlap"):
        outcome = run_scheme(tiny_system(), pair(4, (64, 64, 64)), scheme)
        activity = activity_of(outcome)
        assert activity.llc_hit_bytes + activity.llc_missed_bytes == 2 * 4 * 64 * 64 * 2
        assert activity.llc_missed_bytes == activity.dram_bytes["gemm"]["read"] > 0


def test_every_access_of_a_run_has_a_row(pair):
    """Over all channels, hits, misses and conflicts are the bytes served by 64 B; rows open for what did not hit.

    A refresh may close a row before its access, which then is opened again.
    """
    system = load_system("t3-paper-banked", ["memory.simulated_channels=32"])
    point = Point(system=system, sublayer=pair(4, (256, 256, 128)))
    for row in simulate_point(point, ["sequential", "t3", "ideal-overlap"]):
        assert sum(row[name] for name in ROWS) == row["dram_total_bytes"] // 64
        opened = row["dram_row_misses"] + row["dram_row_conflicts"]
        assert row["dram_activates"] == pytest.approx(opened, rel=0.01)
        assert row["dram_precharges"] == pytest.approx(row["dram_row_conflicts"], rel=0.01)


def test_one_gpu_counts_what_each_of_all_does(tiny_loaded, pair):
    """The counters of one that stands for all are the means of all, to the byte and the femtosecond."""
    columns = ("llc_hit_bytes", "llc_missed_bytes", "cu_busy_gemm_us", "cu_busy_collective_us", "wire_bytes")
    both = [
        simulate_point(Point(system=tiny_loaded(), sublayer=pair(4, (64, 64, 64)), gpus=gpus), ["sequential", "t3"])
        for gpus in ("mirror", "all")
    ]
    for one, every in zip(*both, strict=True):
        assert [one[name] for name in columns] == [every[name] for name in columns]


def test_an_ideal_counts_all_runs_it_is_made_of(tiny_system, pair, run_scheme):
    """GEMM and collectives, each alone, do what they do one after the other: the same kernels, the same links."""
    ideal, after = (run_scheme(tiny_system(), pair(4, (64, 64, 64)), name) for name in ("ideal-overlap", "sequential"))
    assert ideal.wire_bytes == after.wire_bytes
    assert set(ideal.cu_busy_fs) == set(after.cu_busy_fs) == {"gemm", "reduce_scatter", "all_gather"}
    assert ideal.cu_busy_fs["gemm"] == after.cu_busy_fs["gemm"]


def test_columns_need_no_list_of_operations():
    """CU time of any operation but the GEMM is a collective's; commands without a column stay in the full table."""
    activity = Activity(
        dram_bytes={"halo": {"read": 1}},
        dram_commands={"activates": 5, "naps": 7},
        llc_hit_bytes=0,
        llc_missed_bytes=0,
        cu_busy_us={"halo": 1.5, "gemm": 2.0, "scan": 0.25},
        wire_bytes=9,
        links={},
    )
    found = activity.columns()
    assert (found["cu_busy_gemm_us"], found["cu_busy_collective_us"]) == (2.0, 1.75)
    assert {name: count for name, count in found.items() if name.startswith("dram_")} == {"dram_activates": 5}
    assert activity.document()["dram_commands"] == {"activates": 5, "naps": 7}
