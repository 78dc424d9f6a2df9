"""Loss buckets of real runs, against the counters that the machines keep themselves."""

import pytest

from t3sim.experiments.explanations import BUCKET_COLUMNS, losses
from t3sim.registry import get
from t3sim.results import COLUMN_NAMES
from t3sim.results.losses import BOUNDS, BUCKETS, SPENT
from t3sim.schemes.fused import FusedPhase, StaggeredGemmPhase
from t3sim.schemes.kernels import GemmPhase
from t3sim.schemes.phases import gemm_alone
from t3sim.simulation import Point, schemes_of_any_network
from t3sim.simulation.lab import SystemLab

SHAPE = (96, 96, 64)
SIGNED = {"gemm_pieces", "gemm_dram_contention", "gemm_store_pressure", "gemm_cus_taken", "hidden"}
# Each makes other buckets fill.
SETTINGS = {
    "as it is": (),
    "slow memory": ("memory.bandwidth=100 GB/s",),
    "slow link": ("link.bandwidth=4 GB/s",),
    "launches": ("compute.launch_overhead=2 us",),
    "small tracker": ("tracker.entries=2", "tracker.ways=1"),
    "small store buffer": ("compute.store_buffer=512 B",),
    "small send buffer": ("compute.store_buffer=512 B", "link.send_buffer=512 B", "link.bandwidth=4 GB/s"),
}


@pytest.fixture(scope="module")
def split(tiny_loaded, pair):
    """Give a function that splits the time of a small sublayer: losses by scheme."""
    known = {}

    def of(setting="as it is", gpus=4, simulated="one"):
        key = (setting, gpus, simulated)
        if key not in known:
            system = tiny_loaded(*SETTINGS[setting])
            found = losses(Point(system=system, sublayer=pair(gpus, SHAPE), gpus=simulated), schemes_of_any_network())
            known[key] = {each.scheme: each for each in found}
        return known[key]

    return of


@pytest.fixture(scope="module")
def machine(tiny_system, pair, lowered):
    """Give a function that runs a small sublayer, or one phase of it alone, with nobody looking."""

    def run(setting="as it is", gpus=4, simulated="one"):
        system, sublayer = tiny_system(*SETTINGS[setting]), pair(gpus, SHAPE)
        works = lowered(system, sublayer)
        lab = SystemLab(system, gpus, simulated)
        return lab, works, lambda scheme: get("scheme", scheme)().simulate(lab, works)

    return run


def spans(report):
    return {span.operation: span.end_fs - span.start_fs for span in report.spans}


def total_of(losses_, prefix):
    return sum(length for name, length in losses_.buckets.items() if name.startswith(prefix))


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("simulated", ["mirror", "one", "all"])
@pytest.mark.parametrize("gpus", [2, 4, 5])
def test_buckets_add_up_to_the_time_of_the_run(split, machine, setting, simulated, gpus):
    """To the femtosecond, the buckets are the time that the scheme takes when nobody looks; losses are not negative."""
    _, _, simulate = machine(setting, gpus, simulated)
    for scheme, found in split(setting, gpus, simulated).items():
        assert found.total_fs == simulate(scheme).total_fs
        assert sum(found.buckets.values()) == found.total_fs
        assert not [name for name, length in found.buckets.items() if length < 0 and name not in SIGNED]


OVERLAPPING = ("t3-consumer", "stream-overlap", "dma-overlap", "async-tp", "fused-sw", "ideal-overlap")
SHARED = [
    (f"software={{overlap_cus: 1, cu_sharing: {first}, collectives_displace: true, event_overhead: 1 us}}",)
    for first in ("fixed", "collective-first", "gemm-first")
]
ISSUED = ("software={scatter_overhead: 1 us, gather_overhead: 2 us, overlap_pieces: 4, overlap_cus: 1}",)


@pytest.mark.parametrize("simulated", ["mirror", "all"])
@pytest.mark.parametrize("change", [*SETTINGS.values(), ISSUED, *SHARED, ("software.scatter_floor=50 us",)])
@pytest.mark.parametrize("side", ["produced", "consumed"])
def test_buckets_of_both_halves_add_up(
    side, change, simulated, tiny_loaded, gemm_op, collective_op, sublayer_of, lowered
):
    """Whatever waits for what, and whatever the host adds, the buckets are the time to the femtosecond."""
    rows, columns, depth = shape = (128, 64, 64)
    if side == "produced":
        scattered = collective_op("c", "reduce_scatter", rows * columns * 2, "g")
        sublayer = sublayer_of(4, gemm_op("g", shape), scattered)
    else:
        sublayer = sublayer_of(4, collective_op("c", "all_gather", rows * depth * 2), gemm_op("g", shape, "c"))
    system = tiny_loaded("topology={kind: fully-connected}", "copy_engines.start_up=1 us", *change)
    for found in losses(Point(system=system, sublayer=sublayer, gpus=simulated), OVERLAPPING):
        lab = SystemLab(system.spec, 4, simulated)
        outcome = get("scheme", found.scheme)().simulate(lab, lowered(system.spec, sublayer))
        assert found.total_fs == outcome.total_fs
        assert sum(found.buckets.values()) == found.total_fs
        assert not [name for name, length in found.buckets.items() if length < 0 and name not in SIGNED], found


@pytest.mark.parametrize("setting", SETTINGS)
def test_buckets_of_the_baseline_are_its_kernels(split, machine, setting):
    """In sequential, each operation's buckets and its launch are the operation's own span; alone, nothing contends.

    GEMM and all-reduce are launched: the all-gather goes on in the kernel of the reduce-scatter.
    """
    _, _, simulate = machine(setting)
    found, (report,) = split(setting)["sequential"], simulate("sequential").gpus
    lengths, launch = spans(report), 2 * 10**9 if setting == "launches" else 0
    assert total_of(found, "gemm") == lengths["gemm"] - launch
    assert total_of(found, "rs") + found.buckets["tracker"] == lengths["reduce_scatter"] - launch
    assert total_of(found, "ag") == lengths["all_gather"]
    assert found.buckets["launch"] == 2 * launch
    assert not [name for name in SIGNED if found.buckets[name]]


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("scheme", ["t3", "t3-mca"])
def test_buckets_of_a_fused_run_are_its_counters(split, machine, setting, scheme):
    """Contention is what the CUs counted as operand stalls beyond those of the kernel alone; the rest are spans."""
    lab, works, simulate = machine(setting)
    found, (report,) = split(setting)[scheme], simulate(scheme).gpus
    reduce_scatter = next(work for work in works if getattr(work, "operation", "") == "reduce_scatter")
    (alone,) = lab.alone(StaggeredGemmPhase(reduce_scatter)).gpus
    assert found.buckets["gemm_dram_contention"] == report.operand_stall_fs - alone.operand_stall_fs
    launch = 2 * 10**9 if setting == "launches" else 0
    assert found.buckets["launch"] == 2 * launch
    assert total_of(found, "gemm") + launch == spans(report)["gemm"]
    own = found.buckets["gemm_compute"] + found.buckets["gemm_waits"]
    assert own + launch == spans(alone)["gemm"]
    assert found.buckets["gemm_cus_taken"] == 0
    gemm, scatter = report.spans[:2]
    assert total_of(found, "rs") + found.buckets["tracker"] == scatter.end_fs - gemm.end_fs


@pytest.mark.parametrize("launch_us", [0, 2])
def test_a_gemm_of_one_stage_stores_when_it_ends(tiny_loaded, pair, launch_us):
    """Where all stores are issued at the GEMM's end, the reduce-scatter starts there, fused and without a launch."""
    system = tiny_loaded(f"compute.launch_overhead={launch_us} us")
    (found,) = losses(Point(system=system, sublayer=pair(4, (32, 32, 64))), ["t3"])
    assert found.buckets["launch"] == 2 * launch_us * 10**9
    assert found.buckets["rs_link"] > 0


def test_what_is_made_worse_shows_in_its_bucket(split):
    """A slow link makes the link's bucket the largest, slow memory contention, a small buffer waits for stores."""
    usual = split()["t3"].buckets
    link = split("slow link")["t3"]
    assert link.bound == "link"
    assert link.buckets["rs_link"] > 10 * usual["rs_link"]
    assert split("slow memory")["t3"].bound == "DRAM"
    assert split("slow memory")["t3"].buckets["gemm_dram_contention"] > usual["gemm_dram_contention"]
    stores = ("gemm_waits", "gemm_store_pressure", "gemm_link_pressure")
    assert sum(split("small store buffer")["t3"].buckets[name] for name in stores) > sum(usual[name] for name in stores)
    assert usual["gemm_link_pressure"] == 0
    assert split("small send buffer")["t3"].buckets["gemm_link_pressure"] > 0


@pytest.mark.parametrize(("ideal", "faster"), [("ideal-overlap", False), ("ideal-overlap-nmc", True)])
def test_an_ideal_hides_the_shorter_of_the_two(split, machine, ideal, faster):
    """The bucket of what is hidden is the shorter of GEMM and reduce-scatter, each alone, as a negative number."""
    _, _, simulate = machine()
    outcome = simulate(ideal)
    found = split()[ideal]
    assert found.buckets["hidden"] == -min(outcome.of("gemm"), outcome.of("reduce_scatter"))
    assert found.bound == ""
    assert (outcome.of("reduce_scatter") < simulate("ideal-overlap").of("reduce_scatter")) is faster


def test_the_kernel_alone_talks_to_nobody(machine):
    """Alone, a fused GEMM sends nothing, writes all chunks but the one that is stored remotely, and counts nothing."""
    lab, works, simulate = machine()
    reduce_scatter = next(work for work in works if getattr(work, "operation", "") == "reduce_scatter")
    alone, fused = lab.alone(StaggeredGemmPhase(reduce_scatter)), simulate("t3")
    assert alone.link_bytes == 0
    assert alone.tracker_peak_entries == 0
    assert alone.served_bytes == {
        ("gemm", "read"): fused.served_bytes["gemm", "read"],
        ("gemm", "write"): SHAPE[0] * SHAPE[1] * 2 * 3 // 4,
    }
    assert fused.served_bytes["gemm", "write"] == alone.served_bytes["gemm", "write"]


def test_every_gemm_knows_its_run_alone(machine):
    """A plain kernel is compared with itself, a fused one with its own order of workgroups."""
    _, works, _ = machine()
    gemm, reduce_scatter = works[:2]
    assert gemm_alone(GemmPhase(gemm)) == GemmPhase(gemm)
    assert gemm_alone(FusedPhase(reduce_scatter)) == StaggeredGemmPhase(reduce_scatter)


def test_a_rival_s_gemm_is_compared_with_the_whole_one(tiny_loaded, pair):
    """Pieces on three of four CUs: the same slabs take longer than alone, and that is CUs taken; all adds up.

    Time in which a GEMM runs is the GEMM's, what collectives take beside it hidden: less of it shows than alone.
    """
    system = tiny_loaded("software.overlap_pieces=4", "software.overlap_cus=1")
    point = Point(system=system, sublayer=pair(4, (256, 64, 200)), gpus="mirror")
    alone, rival = losses(point, ["sequential", "stream-overlap"])
    assert sum(rival.buckets.values()) == rival.total_fs
    assert rival.buckets["gemm_compute"] == alone.buckets["gemm_compute"]
    assert rival.buckets["gemm_cus_taken"] > 0
    spent = total_of(rival, "gemm_")
    assert rival.total_fs - spent == total_of(rival, "rs_") + total_of(rival, "ag_")
    assert 0 < total_of(rival, "rs_") + total_of(rival, "ag_") < total_of(alone, "rs_") + total_of(alone, "ag_")


STAGES = "memory.bandwidth=1000 TB/s", "memory.turnaround=0 ns", "memory.stream_switch=0 ns"
"""Memory that nothing waits for: what is left of a GEMM is its slabs."""


def test_a_decomposed_gemm_pays_for_the_cut(tiny_loaded, pair):
    """Twelve tiles on four CUs take three stages; cut for four GPUs, each piece of three tiles takes one: a third more.

    None of it is for want of CUs.
    """
    system = tiny_loaded("topology={kind: fully-connected}", *STAGES)
    (found,) = losses(Point(system=system, sublayer=pair(4, (64, 48, 512))), ["async-tp"])
    whole = found.buckets["gemm_compute"] + found.buckets["gemm_waits"]
    assert found.buckets["gemm_pieces"] == pytest.approx(whole / 3, rel=1e-3)
    assert found.buckets["gemm_cus_taken"] == 0
    assert sum(found.buckets.values()) == found.total_fs


def test_cus_that_are_taken_are_told_from_the_cut(tiny_loaded, pair):
    """Sixteen tiles take four stages, in two pieces as well; the second piece's eight take three on three CUs."""
    system = tiny_loaded("software.overlap_pieces=2", "software.overlap_cus=1", *STAGES)
    (found,) = losses(Point(system=system, sublayer=pair(4, (64, 64, 512))), ["stream-overlap"])
    assert found.buckets["gemm_cus_taken"] == found.buckets["gemm_compute"] // 4
    assert found.buckets["gemm_pieces"] < found.buckets["gemm_compute"] / 20


def test_every_bucket_of_a_run_is_in_one_column():
    """What columns of results put together is all there is, once; each says which, and in what words."""
    told = [bucket for spent in SPENT for bucket in spent.buckets]
    assert sorted(told) == sorted(bucket.name for bucket in BUCKETS if bucket.name != "hidden")
    assert [spent.column for spent in SPENT] == [name for name in COLUMN_NAMES if name.startswith("spent_")]
    assert len({spent.words for spent in SPENT}) == len({spent.short for spent in SPENT}) == len(SPENT)


def test_buckets_are_explained():
    """Each bucket has a meaning, a formula and one of the bounds; its column has a name of its own and a unit."""
    for bucket, column in zip(BUCKETS, BUCKET_COLUMNS, strict=True):
        assert bucket.meaning
        assert bucket.formula
        assert bucket.bound in (*BOUNDS, "")
        assert column.unit == "fs"
        assert column.name not in COLUMN_NAMES
    assert set(BOUNDS) == {"compute", "DRAM", "link", "latency"}
