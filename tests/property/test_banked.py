"""The banked memory under random load: nothing is lost, and nobody notices when it is looked at."""

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.hardware.clock import Order, call_at
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.arbitration import KIND
from t3sim.hardware.memory.arbitration.mca import Mca, Threshold
from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.banked.mappings.mop4_xor import Mop4Xor
from t3sim.hardware.memory.banked.mappings.ro_ba_co import RoBaCo
from t3sim.hardware.memory.banked.memory import BankedMemory
from t3sim.hardware.memory.banked.spec import BankedSpec
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.model import MOST_CAUSES
from t3sim.lowering.layout import linear
from t3sim.registry import get, names

HBM2 = load_dram("hbm2").spec
CLOCK_FS = 10**15 // HBM2.clock


def memory(**changes):
    """Make a spec of 4 channels with short queues."""
    fields = {
        "dram": HBM2,
        "channels": 4,
        "simulated_channels": 1,
        "interleave": 256,
        "channel_hash": True,
        "path_entries": 8,
        "least_reads": 16,
        "address_mapping": Mop4Xor(),
        "read_latency": 30_000,
        "scheduler": "frfcfs-row-hit",
        "hit_cap": 0,
        "read_entries": 8,
        "write_entries": 8,
        "drain_from": 0.8,
        "drain_to": 0.2,
        "refresh": True,
    }
    return BankedSpec(**{**fields, **changes})


def memories():
    """Draw memories of few and of all simulated channels, with short queues, under every scheduler."""
    return st.builds(
        memory,
        simulated_channels=st.sampled_from([1, 2, 4]),
        channel_hash=st.booleans(),
        path_entries=st.sampled_from([1, 3, 64]),
        least_reads=st.sampled_from([0, 2, 16]),
        scheduler=st.sampled_from(["frfcfs-row-hit", "frfcfs", "fcfs"]),
        hit_cap=st.sampled_from([0, 2]),
        read_entries=st.sampled_from([1, 4, 16]),
        write_entries=st.sampled_from([1, 4, 16]),
        refresh=st.booleans(),
    )


def policies():
    """Draw any registered policy, or MCA with its limits close by."""
    tight = st.builds(
        lambda first, now, patience: Mca(
            thresholds=(Threshold(intensity=0.5, occupancy=first), Threshold(intensity=0.0, occupancy=None)),
            occupancy=now,
            starvation_limit=patience,
        ),
        st.integers(1, 5),
        st.none() | st.integers(1, 5),
        st.integers(1, 5),
    )
    return st.sampled_from(names(KIND)).map(lambda name: get(KIND, name)()) | tight


@dataclass(frozen=True)
class Burst:
    """One submission, and whether somebody waits for it."""

    time: int
    stream: Stream
    access: Access
    nbytes: int
    address: int
    cause: Cause
    is_awaited: bool


CAUSES = [Cause(operation, direction) for operation in ("gemm", "reduce_scatter") for direction in Direction]
GEMM_READ, GEMM_WRITE, RS_READ, RS_WRITE = CAUSES
# Times on the grid of the DRAM's clock too, and few of them, so that arrivals meet completions.
TIMES = st.integers(0, 200).map(lambda cycle: cycle * CLOCK_FS) | st.integers(0, 3 * 10**8)
BURSTS = st.builds(
    Burst,
    time=TIMES,
    stream=st.sampled_from(Stream),
    access=st.sampled_from(Access),
    nbytes=st.integers(1, 300) | st.integers(1000, 20_000),
    address=st.integers(0, 2**20),
    cause=st.sampled_from(CAUSES),
    is_awaited=st.sampled_from([True, True, True, False]),
)
LOADS = st.lists(BURSTS, min_size=1, max_size=25)
INTENSITIES = st.sampled_from([0.0, 0.5, 1.0])


def replay(spec, policy, bursts, *, looks=(), tunes=()):
    """Run bursts through a controller that is also looked at in between: when each was answered, and the controller."""
    env = simpy.Environment(0)
    controller = MemoryController(env, spec, policy, 0)
    answers = {}

    def submit(number, burst):
        done = partial(lambda number: answers.setdefault(number, int(env.now)), number)
        place = partial(linear, burst.address, burst.nbytes)
        waits = done if burst.is_awaited else None
        controller.submit(burst.stream, burst.access, burst.nbytes, burst.cause, place, waits)

    for number, burst in enumerate(bursts):
        call_at(env, burst.time, partial(submit, number, burst))
    for time, intensity in tunes:
        call_at(env, time, partial(controller.tune, intensity))
    for time, order in looks:
        call_at(env, time, controller.served_bytes, order)
    env.run()
    call_at(env, int(env.now) + 10**10, lambda: None)  # what nobody waits for is served as well
    env.run()
    return answers, controller


@settings(max_examples=100)
@given(memories(), policies(), LOADS, st.lists(st.tuples(TIMES, INTENSITIES), max_size=2))
def test_what_is_submitted_is_served(spec, policy, bursts, tunes):
    """All bursts are served, with their bytes by cause; each awaited one is answered once it can be."""
    answers, controller = replay(spec, policy, bursts, tunes=tunes)
    expected = Counter()
    for burst in bursts:
        expected[burst.cause] += burst.nbytes
    assert controller.served_bytes() == expected
    assert controller.pending() == 0
    assert not controller.waiting()
    assert controller.channel.occupancy() == 0
    assert set(answers) == {number for number, burst in enumerate(bursts) if burst.is_awaited}
    assert all(answers[number] > bursts[number].time for number in answers)


@settings(max_examples=150)
@given(
    memories(),
    policies(),
    LOADS,
    st.lists(st.tuples(TIMES, st.sampled_from(Order)), min_size=1, max_size=20),
    st.lists(st.tuples(TIMES, INTENSITIES), max_size=2),
)
def test_looking_at_it_changes_nothing(spec, policy, bursts, looks, tunes):
    """Advancing the channels at any moment, also when something arrives or completes, moves no answer."""
    undisturbed, before = replay(spec, policy, bursts, tunes=tunes)
    at_answers = [(time, order) for time in undisturbed.values() for order in (Order.DELIVERY, Order.MEMORY)]
    watched, after = replay(spec, policy, bursts, looks=[*looks, *at_answers], tunes=tunes)
    assert watched == undisturbed
    assert after.busy_fs() == before.busy_fs()


@settings(max_examples=100)
@given(policies(), LOADS)
def test_moment_within_a_cycle_does_not_matter(policy, bursts):
    """What arrives between two edges of the DRAM's clock competes as if it had come with the first of them."""
    spec = memory(simulated_channels=4)
    late = [replace(burst, address=burst.address // 64 * 64) for burst in sorted(bursts, key=lambda burst: burst.time)]
    early = [replace(burst, time=burst.time // CLOCK_FS * CLOCK_FS) for burst in late]
    assert replay(spec, policy, late)[0] == replay(spec, policy, early)[0]


@settings(max_examples=60)
@given(memories(), policies(), LOADS, st.randoms(use_true_random=False))
def test_lanes_of_one_instant_may_submit_in_any_order(spec, policy, bursts, shuffler):
    """Submissions of one femtosecond may be reordered across lanes without changing any answer."""

    def lane_of(burst):
        return burst.stream, burst.access is Access.READ

    def answers_by_lane(ordered):
        answers, _ = replay(spec, policy, ordered)
        lanes = {}
        for number, burst in enumerate(ordered):
            lanes.setdefault(lane_of(burst), []).append(answers.get(number))
        return lanes

    in_time = sorted(bursts, key=lambda burst: burst.time)
    turns = {lane: shuffler.random() for lane in {lane_of(burst) for burst in in_time}}
    reordered = sorted(in_time, key=lambda burst: (burst.time, turns[lane_of(burst)]))
    assert answers_by_lane(reordered) == answers_by_lane(in_time)


@pytest.mark.parametrize("policy", names(KIND))
def test_many_bursts_wait_at_once(policy):
    """3000 bursts on one lane, the first of them long and on a bank of its own, are answered and counted."""
    spec = memory(channels=1, scheduler="frfcfs")
    bursts = [Burst(0, Stream.COMPUTE, Access.READ, 1 << 19, 0, GEMM_READ, is_awaited=True)]
    for number in range(3000):
        stream, access = tuple(Stream)[number % 2], tuple(Access)[number % 3]
        nbytes, address = (64, 1 << 22 | number * 64) if number % 5 else (32, 1 << 22 | number * 64 + 8)
        bursts.append(Burst(number // 7, stream, access, nbytes, address, RS_READ, is_awaited=True))
    answers, controller = replay(spec, get(KIND, policy)(), bursts)
    assert len(answers) == len(bursts)
    assert controller.served_bytes()[RS_READ] == sum(burst.nbytes for burst in bursts[1:])
    assert controller.pending() == 0


@pytest.mark.parametrize("gap", [1, 255, 256, 511])
def test_bursts_that_touch_nothing_leave_others_alone(gap, banked_channels):
    """A burst that is still served when hundreds have passed it, on this channel or not, is answered in the end."""
    spec = memory(channels=2, channel_hash=False)
    channel = banked_channels(spec, get(KIND, "round-robin")())
    sizes = [1 << 16, *([64] * gap), *([1 << 12] * 700)]
    # Blocks of the other channel: nothing of these bursts falls to the simulated one.
    places = [0, *([256] * gap), *(1 << 20 for _ in range(700))]
    for nbytes, address in zip(sizes, places, strict=True):
        channel.push(1, nbytes, 3, linear(address, nbytes))
    done, now = [], 0
    while now := channel.admit(now):
        done += channel.advance(now)
    assert sorted(number for number, _ in done) == list(range(len(sizes)))
    assert channel.channel.served()[3] == sum(sizes)


@pytest.mark.parametrize("access", Access)
def test_one_channel_stands_for_all(access):
    """A stream of 8 MiB takes as long on one simulated channel as on all 32, within 2%."""
    times = []
    for simulated in (1, 32):
        spec = memory(channels=32, simulated_channels=simulated, read_entries=64, write_entries=64)
        bursts = [
            Burst(0, Stream.COMPUTE, access, 1 << 16, number << 16, GEMM_READ, is_awaited=True) for number in range(128)
        ]
        answers, _ = replay(spec, get(KIND, "round-robin")(), bursts)
        times.append(max(answers.values()))
    assert times[0] == pytest.approx(times[1], rel=0.02)


@pytest.mark.parametrize("limit", [4, 16])
def test_starvation_limit_holds_where_writes_fill_their_queue(limit):
    """Compute writes without end, and a read now and then: a write of communication waits for ``limit`` of them."""
    spec = memory(channels=1, read_entries=64, write_entries=4, refresh=False)
    flood = Burst(0, Stream.COMPUTE, Access.WRITE, 1 << 17, 1 << 22, GEMM_WRITE, is_awaited=True)
    reads = [
        Burst(10 * number * CLOCK_FS, Stream.COMPUTE, Access.READ, 64, 1 << 16, GEMM_READ, is_awaited=True)
        for number in range(1, 60)
    ]
    held = Burst(50 * CLOCK_FS, Stream.COMMUNICATION, Access.WRITE, 64, 1 << 23, RS_WRITE, is_awaited=True)
    answers, _ = replay(spec, Mca(occupancy=1, starvation_limit=limit), [flood, held, *reads])
    # What passes it and what is in the queue before it, each with a turn of the bus, and the opening of its row.
    turn = HBM2.nCWL + HBM2.nBL + HBM2.nWTRL
    bound = ((limit + 4) * turn + 100) * CLOCK_FS
    assert answers[1] - held.time < bound < answers[0] / 5


@pytest.mark.parametrize("stream", Stream)
@pytest.mark.parametrize("log_bytes", [16, 19])
def test_a_read_does_not_wait_for_a_flood_of_writes(stream, log_bytes):
    """However many writes wait, a read is served after what came to the channel before it and one drain."""
    spec = memory(channels=1, path_entries=8, read_entries=64, write_entries=16, refresh=False)
    flood = Burst(0, Stream.COMPUTE, Access.WRITE, 1 << log_bytes, 1 << 22, GEMM_WRITE, is_awaited=True)
    reads = [
        Burst(cycle * CLOCK_FS, stream, Access.READ, 64, 1 << 16, GEMM_READ, is_awaited=True)
        for cycle in range(300, 1500, 100)
    ]
    answers, _ = replay(spec, get(KIND, "round-robin")(), [flood, *reads])
    a_write = answers[0] / ((1 << log_bytes) / HBM2.access)
    before = spec.path_entries + spec.write_entries
    # Its bank may have to close a row that was just written and open its own, twice: the last write does so as well.
    row = HBM2.nCWL + HBM2.nBL + HBM2.nWR + HBM2.nRP + HBM2.nRCDRD
    bound = before * a_write + (2 * row + HBM2.nCL + HBM2.nBL) * CLOCK_FS + spec.read_latency
    assert max(answers[number] - read.time for number, read in enumerate(reads, start=1)) < bound < answers[0] / 5


def test_writes_that_come_while_nothing_is_read_drain_at_once():
    """A stream of writes alone is served without a pause for reads that are not there."""
    spec = memory(channels=1, refresh=False, read_entries=64, write_entries=64)
    flood = Burst(0, Stream.COMPUTE, Access.WRITE, 1 << 19, 0, GEMM_WRITE, is_awaited=True)
    answers, _ = replay(spec, get(KIND, "round-robin")(), [flood])
    assert answers[0] == pytest.approx((1 << 19) / HBM2.access * HBM2.nBL * CLOCK_FS, rel=0.02)


def test_region_of_several_blocks_is_served_whole():
    """A burst with rows apart counts as served when all its rows are."""
    env = simpy.Environment(0)
    controller = MemoryController(env, memory(), get(KIND, "round-robin")(), 0)
    region = np.array([[0, 8, 512, 4096], [1 << 20, 1, 64, 0]], np.int64)
    controller.submit(Stream.COMPUTE, Access.READ, 8 * 512 + 64, GEMM_READ, lambda: region, lambda: None)
    env.run()
    assert controller.served_bytes()[GEMM_READ] == 8 * 512 + 64


@pytest.mark.parametrize("simulated", [1, 4])
def test_counters_are_those_of_all_simulated_channels(simulated):
    """Bursts over all 4 channels: each simulated one counts its own accesses, and what it counts adds up."""
    spec = memory(simulated_channels=simulated, refresh=False)
    sizes = {Access.READ: 1 << 14, Access.WRITE: 1 << 13, Access.UPDATE: 1 << 12}
    bursts = [
        Burst(0, Stream.COMPUTE, access, nbytes, number << 20, GEMM_READ, is_awaited=True)
        for number, (access, nbytes) in enumerate(sizes.items())
    ]
    _, controller = replay(spec, get(KIND, "round-robin")(), bursts)
    counters = controller.channel.counters()
    accesses = {access: nbytes // HBM2.access * simulated // 4 for access, nbytes in sizes.items()}
    assert counters["reads"] == accesses[Access.READ]
    assert counters["writes"] == accesses[Access.WRITE]
    assert counters["updates"] == accesses[Access.UPDATE]
    assert counters["row_hits"] + counters["row_misses"] + counters["row_conflicts"] == sum(accesses.values())
    assert controller.busy_fs() == sum(accesses.values()) * HBM2.nBL * CLOCK_FS // simulated


def test_commands_of_a_stream_are_counted_for_all_channels():
    """Twice a row of each of 16 banks on each of 4 channels, of which one is simulated: 64 rows open, then 64 others.

    The first accesses find their banks closed, the next rows the first ones open; all others of a row of 32 hit.
    """
    spec = memory(channel_hash=False, address_mapping=RoBaCo(), refresh=False)
    banks, columns = 4 * HBM2.banks, HBM2.page // HBM2.access
    row_bytes = banks * columns * HBM2.access
    bursts = [
        Burst(number * 10**10, Stream.COMPUTE, Access.READ, row_bytes, number * row_bytes, GEMM_READ, is_awaited=True)
        for number in range(2)
    ]
    _, controller = replay(spec, get(KIND, "round-robin")(), bursts)
    counted = {name: count for name, count in controller.commands().items() if count}
    assert counted == {
        "activates": 2 * banks,
        "precharges": banks,
        "row_hits": 2 * banks * (columns - 1),
        "row_misses": banks,
        "row_conflicts": banks,
        "reads": 2 * banks * columns,
    }
    assert controller.faults() == []


@pytest.mark.parametrize("refresh", [True, False])
def test_an_idle_channel_is_refreshed_all_the_time(refresh):
    """Each of the four channels is refreshed once an interval, whatever it serves, and never without refresh."""
    spec = memory(refresh=refresh)
    interval_fs = HBM2.nREFI * CLOCK_FS
    bursts = [
        Burst(time, Stream.COMPUTE, Access.READ, 1024, 0, GEMM_READ, is_awaited=True)
        for time in (0, 10 * interval_fs + interval_fs // 2)
    ]
    _, controller = replay(spec, get(KIND, "round-robin")(), bursts)
    passed = controller.env.now // interval_fs
    assert passed >= 10
    assert controller.commands()["refreshes"] == (4 * passed if refresh else 0)


def test_pseudo_channels_move_data_at_once():
    """A channel of two pseudo channels reads as fast as a wide one, each of its buses busy nearly all the time."""
    times = {}
    for name in ("hbm2", "hbm2-2pc64"):
        spec = memory(dram=load_dram(name).spec, channels=1, refresh=False, read_entries=64)
        burst = Burst(0, Stream.COMPUTE, Access.READ, 1 << 16, 0, GEMM_READ, is_awaited=True)
        answers, controller = replay(spec, get(KIND, "round-robin")(), [burst])
        times[name] = answers[0]
        assert controller.busy_fs() == (1 << 16) // 64 * HBM2.nBL * CLOCK_FS
        assert not controller.faults()
    assert times["hbm2-2pc64"] == pytest.approx(times["hbm2"], rel=0.02)


@pytest.mark.parametrize("name", ["row_hits", "row_conflicts", "reads"])
def test_a_request_that_is_not_counted_by_its_row_is_a_fault(name, monkeypatch):
    """Requests served are hits, misses and conflicts of their rows, each one of these: anything else is named."""
    spec = memory(channels=1)
    bursts = [Burst(0, Stream.COMPUTE, Access.READ, 1024, 0, GEMM_READ, is_awaited=True)]
    _, controller = replay(spec, get(KIND, "round-robin")(), bursts)
    assert controller.faults() == []
    (counted,) = BankedMemory.by_channel(controller.channel)
    monkeypatch.setattr(BankedMemory, "by_channel", lambda _: [{**counted, name: counted[name] + 1}])
    (fault,) = controller.faults()
    assert fault.startswith("Gpu[0].Memory: channel 0: 1")
    assert "requests served" in fault


def test_bytes_are_counted_for_causes_made_at_run_time(banked_channels):
    """A cause is a number below 64, whether or not it has a name."""
    spec = memory(channels=1)
    channel = banked_channels(spec, get(KIND, "round-robin")())
    for cause in (0, 17, MOST_CAUSES - 1):
        channel.push(0, cause + 1, cause, linear(0, 64))
    now = 0
    while now := channel.admit(now):
        channel.advance(now)
    served = channel.channel.served()
    assert {cause: count for cause, count in enumerate(served) if count} == {0: 1, 17: 18, 63: 64}


def test_a_plan_is_made_anew_under_another_policy(banked_channels):
    """What completes first is what the policy of now serves first, also if another one was asked before."""

    def first(*policies):
        channel = banked_channels(memory(channels=1, refresh=False), get(KIND, policies[0])())
        channel.push(0, 1 << 16, 0, linear(0, 1 << 16))
        channel.push(2, 64, 0, linear(1 << 22, 64))
        for policy in policies:
            channel.use_policy(get(KIND, policy)())
            end = channel.admit(0)
        return end

    alternating, compute_first = first("round-robin"), first("compute-first")
    assert alternating < compute_first
    assert first("round-robin", "compute-first") == compute_first
    assert first("compute-first", "round-robin") == alternating
