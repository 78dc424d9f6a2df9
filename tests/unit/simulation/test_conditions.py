"""What each condition does to a run, against hand computation."""

from types import SimpleNamespace

import pytest

from t3sim.errors import InputError, StallError
from t3sim.lowering.work import lower
from t3sim.registry import get
from t3sim.schemes.kernels import GemmPhase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation import Point, simulate_point
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.plans import plans_of
from t3sim.units import FS_PER_US

# Memory that takes next to no time, so that times are those of the wire.
FREE_MEMORY = (
    "memory.bandwidth=1000000 TB/s",
    "memory.efficiency=1.0",
    "memory.read_latency=0 ns",
    "memory.update_cost=1.0",
    "memory.turnaround=0 ns",
    "compute.collective_outstanding_per_cu=1 MiB",
    "link.bandwidth=100 GB/s",
    "link.direction=per_direction",
    "link.latency=20 ns",
)
KIB_FS = 1024 * 10**15 // 10**11  # a KiB, the tiny system's slice, at 100 GB/s
LATENCY_FS = 20 * 10**6
DELAY_FS = 5 * FS_PER_US


@pytest.fixture(scope="module")
def run(tiny_system):
    """Give a function that runs a sublayer under a scheme: its outcome, and the machine of its last run."""

    def call(sublayer, scheme, *overrides, gpus="mirror"):
        system, machines = tiny_system(*overrides), []
        works = lower(sublayer, system.gemm, system.compute.collective_slice, plans_of(system, sublayer.tp))
        lab = SystemLab(system, sublayer.tp, gpus, machines.append)
        return SimpleNamespace(outcome=get(SCHEME, scheme)().simulate(lab, works), machine=machines[-1])

    return call


@pytest.fixture(scope="module")
def gather(sublayer_of, collective_op):
    """Give a builder of an all-gather alone."""
    return lambda gpus, chunk: sublayer_of(gpus, collective_op("only", "all_gather", gpus * chunk))


def spans(outcome, operation):
    """Give each GPU's time of an operation."""
    found = [span for gpu in outcome.gpus for span in gpu.spans if span.operation == operation]
    return [span.end_fs - span.start_fs for span in found]


def test_half_the_speed_is_twice_the_compute_of_one_gpu(tiny_system, pair):
    """A GEMM bound by its CUs takes as much longer on the slow GPU as all its slabs take, and no longer elsewhere."""
    # 16 tiles of 16 x 16 on 4 CUs are 4 stages of 8 slabs, each 2 x 16 x 16 x 8 FLOP at 256 a cycle and 1.4 GHz.
    slab_fs, half_fs = -(-16 * 10**15 // 1_400_000_000), -(-32 * 10**15 // 1_400_000_000)

    def gemms(*overrides):
        system, sublayer = tiny_system(*FREE_MEMORY, *overrides), pair(2, (64, 64, 64))
        works = lower(sublayer, system.gemm, system.compute.collective_slice, plans_of(system, 2))
        return spans(SystemLab(system, 2, "all").run([GemmPhase(works[0])], "default"), "gemm")

    usual, slow = gemms(), gemms("conditions.gpus.1.speed=0.5")
    assert usual[0] == usual[1] > 32 * slab_fs
    assert slow == [usual[0], usual[1] + 32 * (half_fs - slab_fs)]


@pytest.mark.parametrize("gpus", [3, 4, 8])
def test_the_slowest_link_is_the_pace_maker_of_a_ring(run, gather, gpus):
    """A ring's all-gather takes n - 1 chunks at the rate of its one slow link, and n - 1 latencies at most."""
    chunk = 32 * 1024
    healthy = run(gather(gpus, chunk), "sequential", *FREE_MEMORY).outcome.total_fs
    slow = run(gather(gpus, chunk), "sequential", *FREE_MEMORY, "conditions.links.Link[0->1].rate=0.5").outcome.total_fs
    wire_fs = (gpus - 1) * 32 * KIB_FS
    assert healthy == pytest.approx(wire_fs + (gpus - 1) * LATENCY_FS, rel=0.01)
    assert 2 * wire_fs + LATENCY_FS <= slow <= 1.01 * (2 * wire_fs + (gpus - 1) * LATENCY_FS)


def test_a_link_that_no_data_take_costs_nothing(run, gather):
    """The other direction of the ring is not used, so its rate does not matter."""
    healthy = run(gather(4, 4096), "sequential", gpus="all").outcome
    assert run(gather(4, 4096), "sequential", "conditions.links.Link[1->0].rate=0.01").outcome == healthy


def test_latency_counts_once_a_step(run, gather):
    """Ten times the latency of all links adds nine latencies for each of the n - 1 steps."""
    times = [
        run(gather(4, 4096), "sequential", *FREE_MEMORY, f"conditions.links.all.latency={factor}").outcome.total_fs
        for factor in (1, 10)
    ]
    assert times[1] - times[0] == 3 * 9 * LATENCY_FS


@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca", "ideal-overlap", "ideal-overlap-nmc"])
def test_a_late_start_of_all_shifts_everything(run, pair, scheme):
    """Where all GPUs begin 5 us late, all ends 5 us later, once, also in ideals made of several runs."""
    usual, late = (run(pair(4, (64, 64, 64)), scheme, f"conditions.gpus.all.start={start} us") for start in (0, 5))
    assert late.machine.network.mirrored
    assert late.outcome.total_fs == usual.outcome.total_fs + DELAY_FS
    assert late.outcome.operation_fs == usual.outcome.operation_fs


@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca"])
def test_one_late_gpu_holds_up_the_others(run, pair, scheme):
    """The late GPU begins at its time, the others at once; a ring waits for it, and no longer than that."""
    usual = run(pair(4, (64, 64, 64)), scheme, gpus="all").outcome
    late = run(pair(4, (64, 64, 64)), scheme, "conditions.gpus.2.start=5 us").outcome
    assert [gpu.spans[0].start_fs for gpu in late.gpus] == [0, 0, DELAY_FS, 0]
    assert usual.total_fs + 0.9 * DELAY_FS < late.total_fs <= 1.02 * (usual.total_fs + DELAY_FS)


def test_an_outage_delays_by_its_length(run, gather):
    """Between two GPUs, with the wire always busy, 2 us without the link are 2 us more."""
    usual = run(gather(2, 256 * 1024), "sequential", *FREE_MEMORY, gpus="all").outcome.total_fs
    down = "conditions.links.Link[0->1].down=[{from: 100 ns, to: 600 ns}, {from: 1 us, to: 2500 ns}]"
    assert run(gather(2, 256 * 1024), "sequential", *FREE_MEMORY, down).outcome.total_fs == usual + 2 * FS_PER_US


def test_lost_packets_cost_their_time_on_the_wire_and_the_retry(run, gather):
    """Between two GPUs the time grows by what the link with most losses sends again, each after the retry time."""
    packets = 64
    usual = run(gather(2, packets * 1024), "sequential", *FREE_MEMORY, gpus="all")
    lossy = run(
        gather(2, packets * 1024), "sequential", *FREE_MEMORY, "conditions.links.all={loss: 0.3, retry: 100 ns}"
    )
    again = [link.wire_bytes // 1024 - packets for link in lossy.machine.network.links.values()]
    assert all(0.2 < lost / packets < 0.8 for lost in again), "of 0.3 / 0.7 on average"
    grown = lossy.outcome.total_fs - usual.outcome.total_fs
    assert grown == pytest.approx(max(again) * (KIB_FS + 10**8), rel=0.01)
    assert lossy.outcome.served_bytes == usual.outcome.served_bytes
    assert lossy.outcome.link_bytes == usual.outcome.link_bytes == packets * 1024


@pytest.mark.parametrize("lost", [1, 3])
def test_a_gpu_with_lost_channels_serves_more_slowly(run, pair, lost):
    """With k of 4 channels lost, the same bytes keep the DRAM of that GPU busy 4 / (4 - k) times as long."""
    quiet = ("memory.turnaround=0 ns", f"conditions.gpus.1.lost_channels={lost}")
    outcome = run(pair(2, (64, 64, 64)), "sequential", *quiet).outcome
    whole, less = outcome.gpus
    assert less.served_bytes == whole.served_bytes
    assert less.dram_busy_fs / whole.dram_busy_fs == pytest.approx(4 / (4 - lost), rel=0.01)


def test_a_memory_bank_by_bank_may_lose_channels_too(run, pair):
    """The banked memory runs with an odd number of channels, and is slower."""
    banked = ("memory={extends: banked-hbm2, channels: 4}",)
    usual = run(pair(2, (128, 64, 64)), "t3", *banked, gpus="all").outcome
    less = run(pair(2, (128, 64, 64)), "t3", *banked, "conditions.gpus.all.lost_channels=3", gpus="all").outcome
    assert less.served_bytes == usual.served_bytes
    assert less.total_fs > usual.total_fs


def test_each_kernel_starts_later_by_its_own_jitter(run, pair):
    """A kernel's launch takes its jitter longer; the same kernel on the same GPU the same under another scheme."""
    jitter = "conditions.kernel_start_jitter={distribution: exponential, scale: 3 us}"
    outcomes = [
        run(pair(3, (64, 64, 64)), scheme, jitter, "compute.launch_overhead=1 us").outcome
        for scheme in ("sequential", "t3")
    ]
    launches = [[gpu.spans[0].launch_fs for gpu in outcome.gpus] for outcome in outcomes]
    assert launches[0] == launches[1]
    assert len(set(launches[0])) == 3
    assert all(launch > FS_PER_US for launch in launches[0])
    of_kernels = [span.launch_fs for span in outcomes[1].gpus[0].spans if span.operation != "reduce_scatter"]
    assert len(set(of_kernels)) == 2, "GEMM and all-gather are kernels"


def test_a_dead_link_ends_the_run_with_what_waits(run, pair):
    """Nothing arrives over a link that stays down: the run ends, and the error names link and first message."""
    with pytest.raises(StallError, match=r"Link\[0->1\]: \d+ packets queued, down for good; first: operation 0, piece"):
        run(pair(4, (64, 64, 64)), "t3", "conditions.links.Link[0->1].down=[{from: 0 us}]")


@pytest.mark.parametrize("overrides", [("conditions={}",), ("conditions.gpus={}", "conditions.seed=0")])
def test_no_conditions_are_no_change(tiny_loaded, overrides):
    """A section that says nothing is the same system, to its hash, and one GPU stands for all."""
    plain, empty = tiny_loaded(), tiny_loaded(*overrides)
    assert empty.config_hash == plain.config_hash
    assert "conditions" not in plain.spec.model_dump()
    assert "conditions" in tiny_loaded("conditions.seed=1").spec.model_dump()


def rows(loaded, sublayer, *schemes, gpus="mirror"):
    found = simulate_point(Point(system=loaded, sublayer=sublayer, gpus=gpus), schemes)
    return [{name: value for name, value in row.items() if name != "wall_s"} for row in found]


RANDOM = "conditions.kernel_start_jitter={distribution: uniform, scale: 4 us}"


@pytest.mark.parametrize(("seeds", "median", "p99"), [(1, 0, 0), (2, 0, 1), (5, 2, 4), (8, 3, 7)])
def test_a_row_over_seeds_is_that_of_the_median(tiny_loaded, pair, seeds, median, p99):
    """K seeds are the K runs one by one; the row is the median's, with smallest, median and p99 time beside it."""
    sublayer = pair(3, (64, 64, 64))
    alone = [rows(tiny_loaded(RANDOM, f"conditions.seed={7 + n}"), sublayer, "t3")[0] for n in range(seeds)]
    (row,) = rows(tiny_loaded(RANDOM, "conditions.seed=7", f"conditions.seeds={seeds}"), sublayer, "t3")
    times = sorted(one["total_us"] for one in alone)
    assert len(set(times)) == seeds
    assert (row["seed"], row["seeds"]) == (7, seeds)
    assert row["total_us"] == row["total_us_p50"] == times[median]
    assert (row["total_us_min"], row["total_us_p99"]) == (times[0], times[p99])
    chosen = next(one for one in alone if one["total_us"] == row["total_us"])
    assert all(row[name] == chosen[name] for name in ("gemm_us", "rs_us", "ag_us", "link_util", "dram_total_bytes"))
    assert all(
        (one["seeds"], one["total_us_min"], one["total_us_p99"]) == (1, one["total_us"], one["total_us"])
        for one in alone
    )


def test_p99_leaves_out_one_of_a_hundred_seeds(tiny_loaded, sublayer_of, collective_op):
    """Of 100 seeds the largest but one is the p99."""
    sublayer = sublayer_of(2, collective_op("only", "all_gather", 2048))
    loaded = tiny_loaded(RANDOM, "conditions.seeds=100")
    times = sorted(
        rows(tiny_loaded(RANDOM, f"conditions.seed={seed}"), sublayer, "sequential")[0]["total_us"]
        for seed in range(100)
    )
    (row,) = rows(loaded, sublayer, "sequential")
    assert (row["total_us_min"], row["total_us"], row["total_us_p99"]) == (times[0], times[49], times[98])
    assert times[98] < times[99]


def test_seeds_are_run_only_where_something_is_random(tiny_loaded, pair):
    """Without anything random one run is enough, and the row says so."""
    sublayer = pair(2, (64, 64, 64))
    (many,) = rows(tiny_loaded("conditions.seeds=5", "conditions.gpus.0.speed=0.5"), sublayer, "t3")
    (one,) = rows(tiny_loaded("conditions.gpus.0.speed=0.5"), sublayer, "t3")
    other = {"point_id", "config_hash"}
    assert {k: v for k, v in many.items() if k not in other} == {k: v for k, v in one.items() if k not in other}


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("conditions.gpus.2.speed=0.5", r"conditions\.gpus\.2: no such GPU among 2 GPUs \(known: all, 0, 1\)"),
        (
            "conditions.links.Link[0->2]={}",
            r"conditions\.links\.Link\[0->2\]: no such link among 2 GPUs .*known: .*Link\[1->0\]",
        ),
        (
            "conditions.gpus.all.lost_channels=4",
            r"conditions\.gpus\.all\.lost_channels: none of 4 channels is left, got 4",
        ),
    ],
)
def test_conditions_of_nothing_are_bad_input(tiny_loaded, pair, override, complaint):
    """What a point's GPUs, links and memory do not have is named with its key and what there is."""
    with pytest.raises(InputError, match=complaint):
        rows(tiny_loaded(override), pair(2, (64, 64, 64)), "t3")


def test_observers_see_the_first_seed(tiny_loaded, pair):
    """Of several seeds the machines of the first are shown, once for each run."""
    seen = []
    point = Point(system=tiny_loaded(RANDOM, "conditions.seeds=3"), sublayer=pair(2, (64, 64, 64)))
    simulate_point(point, ["t3"], lambda label, machine: seen.append((label, machine)))
    assert [label for label, _ in seen] == [f"{point.sublayer.label} t3"]
