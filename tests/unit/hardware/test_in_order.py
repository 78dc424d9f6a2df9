"""The in-order memory in closed form: service times, costs of switching, the finite queue, and its bookkeeping."""

import pytest
import simpy
from pydantic import ValidationError

from t3sim.compiled import compiled
from t3sim.hardware.memory.arbitration import KIND, decision_table
from t3sim.hardware.memory.controller import FluidView
from t3sim.hardware.memory.fluid.in_order_engine import MODEL
from t3sim.hardware.memory.fluid.in_order_spec import InOrderSpec
from t3sim.hardware.memory.model import MOST_CAUSES
from t3sim.hardware.plane.engine import SUBMIT
from t3sim.hardware.plane.models import admit_and_predict, serve
from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.plane.state import opened_as
from t3sim.registry import get

# 2 channels x 64 B make a queue entry of 128 B; at 10^12 B/s it takes 128 000 fs.
BASE = {
    "bandwidth": 10**12,
    "efficiency": 1.0,
    "channels": 2,
    "access": 64,
    "queue_entries": 4,
    "read_latency": 0,
    "update_cost": 2.0,
    "turnaround": 500,
    "stream_switch": 70,
}
READ, WRITE, COMM_READ, COMM_WRITE = range(4)
FAR = 10**15
CAUSE = 0
opened = opened_as(MODEL)


@compiled
def _serve(where, until):
    return serve(opened(where), 0, until)


@compiled
def _admit(where, now):
    return admit_and_predict(opened(where), 0, now)


class Channel(FluidView):
    """The in-order memory of one controller, driven by hand."""

    def __init__(self, spec, policy):
        self.env = simpy.Environment(0)
        self.plane = Plane(self.env)
        super().__init__(self.plane, self.plane.add_controller(spec.channel(), 0))
        self.plane.table(decision_table(policy, spec.queue_entries))

    def push(self, lane, nbytes, cause, *, is_update, notify):
        """Append a burst to a lane."""
        self.plane.do(SUBMIT, 0, lane, nbytes, cause, is_update, int(notify), 0)

    def admit(self, now):
        """Let in what was pushed, at ``now``; give the end of the next awaited burst if nothing more comes, or 0."""
        return _admit(self.plane.address, now)

    def advance(self, now):
        """Serve all that starts before ``now``; give (lane, end) of the awaited bursts this completed."""
        count = _serve(self.plane.address, now)
        return [(int(row["lane"]), int(row["end"])) for row in self.plane.memory.completed[0, :count]]


class _Rig:
    """A channel that is given bursts and says when each ends."""

    def __init__(self, policy="round-robin", **changes):
        self.channel = Channel(InOrderSpec(**{**BASE, **changes}), get(KIND, policy)())

    def push(self, lane, nbytes, *, update=False, notify=True):
        """Queue one burst."""
        self.channel.push(lane, nbytes, CAUSE, is_update=update, notify=notify)

    def advance(self, now):
        """Serve up to ``now`` and give (lane, end) of each burst this completed."""
        return self.channel.advance(now)

    def run(self, *lanes, now=0):
        """Queue bursts of 128 B in these lanes and give (lane, end) of each."""
        for lane in lanes:
            self.push(lane, 128)
        self.channel.admit(now)
        return self.advance(FAR)


def test_burst_takes_its_bytes_over_the_bandwidth():
    """A burst of 300 B takes 300 byte times, however many queue entries it is."""
    rig = _Rig()
    rig.push(READ, 300)
    assert rig.channel.admit(1_000) == 301_000
    assert rig.advance(FAR) == [(READ, 301_000)]


def test_efficiency_stretches_service():
    """At half the efficiency a burst takes twice as long."""
    assert _Rig(efficiency=0.5).run(READ) == [(READ, 256_000)]


def test_partial_entries_round_up():
    """At 3 x 10^12 B/s an entry of 128 B takes 42 667 fs, and a burst of one byte 334."""
    rig = _Rig(bandwidth=3 * 10**12)
    rig.push(READ, 129)
    assert rig.channel.admit(0) == 42_667 + 334


def test_update_occupies_the_channel_longer():
    """An update takes its cost times as long as a write."""
    write, update = _Rig(), _Rig(update_cost=1.5)
    write.push(WRITE, 256)
    update.push(WRITE, 256, update=True)
    assert write.channel.admit(0) == 256_000
    assert update.channel.admit(0) == 384_000


@pytest.mark.parametrize(
    ("lanes", "ends"),
    [
        ((READ, READ), [128_000, 256_000]),
        ((READ, WRITE), [128_000, 256_500]),
        ((READ, COMM_READ), [128_000, 256_070]),
        ((COMM_WRITE, COMM_READ), [128_000, 256_500]),
        ((WRITE, WRITE), [128_000, 256_000]),
    ],
)
def test_switching_costs(lanes, ends):
    """A change of direction costs the turnaround, a change of stream alone the stream switch, none nothing."""
    assert sorted(end for _, end in _Rig().run(*lanes)) == ends


def test_change_of_stream_and_direction_costs_one_turnaround():
    """When stream and direction change together only the turnaround is paid."""
    assert _Rig().run(READ, COMM_WRITE) == [(READ, 128_000), (COMM_WRITE, 256_500)]


def test_turns_are_counted():
    """A change of stream alone, then of direction; none; and one of both after a pause, which counts as a turn."""
    rig = _Rig()
    assert rig.channel.counters() == {"bus_turnarounds": 0, "stream_switches": 0}
    rig.run(READ, COMM_READ, COMM_WRITE)
    assert rig.channel.counters() == {"bus_turnarounds": 1, "stream_switches": 1}
    rig.run(COMM_WRITE, now=10**9)
    rig.run(READ, now=2 * 10**9)
    assert rig.channel.counters() == {"bus_turnarounds": 2, "stream_switches": 1}


def test_looking_ahead_counts_nothing():
    """What is predicted is neither served nor counted until it is."""
    rig = _Rig()
    for lane in (READ, WRITE):
        rig.push(lane, 128)
    rig.channel.admit(0)
    assert rig.channel.counters()["bus_turnarounds"] == 0
    assert not any(rig.channel.served())
    assert rig.channel.busy_fs() == 0


def test_bytes_are_counted_for_causes_made_at_run_time():
    """A cause is a number below 64, whether or not it has a name."""
    channel = _Rig().channel
    for cause in (0, 17, MOST_CAUSES - 1):
        channel.push(READ, cause + 1, cause, is_update=False, notify=True)
    channel.admit(0)
    channel.advance(FAR)
    assert {cause: count for cause, count in enumerate(channel.served()) if count} == {0: 1, 17: 18, 63: 64}


@pytest.mark.parametrize(("idle", "paid"), [(0, 500), (200, 300), (499, 1), (500, 0), (10**9, 0)])
def test_bus_turns_while_the_channel_idles(idle, paid):
    """Of a turnaround of 500 fs, an access pays what the idle time before it leaves."""
    rig = _Rig()
    assert rig.run(READ) == [(READ, 128_000)]
    start = 128_000 + idle
    assert rig.run(WRITE, now=start) == [(WRITE, start + 128_000 + paid)]


def test_reads_pass_writes_of_their_stream():
    """Inside a stream a waiting read enters the queue before a write that came earlier."""
    rig = _Rig(turnaround=0)
    assert rig.run(WRITE, READ) == [(READ, 128_000), (WRITE, 256_000)]


def test_reads_do_not_pass_what_is_in_the_queue():
    """Requests leave the queue in the order they entered it."""
    rig = _Rig(turnaround=0)
    rig.push(WRITE, 256)
    rig.channel.admit(0)
    rig.push(READ, 128)
    assert rig.advance(1) == []
    rig.channel.admit(1)
    assert rig.advance(FAR) == [(WRITE, 256_000), (READ, 384_000)]


@pytest.mark.parametrize(("entries", "first"), [(1, READ), (4, COMM_READ)])
def test_queue_depth_decides_what_arbitration_can_still_change(entries, first):
    """A late compute read passes communication that still waits outside the queue, and none that is inside."""
    rig = _Rig("compute-first", queue_entries=entries, stream_switch=0)
    rig.push(COMM_READ, 128 * 3)
    rig.channel.admit(0)
    rig.push(READ, 128)
    rig.advance(1_000)
    rig.channel.admit(1_000)
    assert rig.advance(FAR)[0][0] == first


def test_only_what_starts_before_now_is_served():
    """A request that starts at 128 000 fs is served by an advance to 128 001, and not to 128 000."""
    rig = _Rig()
    rig.push(READ, 128)
    rig.push(READ, 128)
    rig.channel.admit(0)
    assert rig.advance(128_000) == [(READ, 128_000)]
    assert rig.channel.pending()[READ] == 1
    assert rig.advance(128_001) == [(READ, 256_000)]
    assert rig.channel.pending()[READ] == 0


def test_prediction_is_the_next_awaited_end():
    """Admission tells the end of the next burst somebody waits for, and 0 if nobody waits; it serves nothing."""
    rig = _Rig()
    rig.push(READ, 128, notify=False)
    assert rig.channel.admit(0) == 0
    rig.push(READ, 128)
    assert rig.channel.admit(0) == 256_000
    assert rig.channel.pending()[READ] == 2
    assert rig.advance(FAR) == [(READ, 256_000)]


def test_many_bursts_keep_their_order_and_bytes():
    """Lanes grow with what waits: 2000 bursts of growing size come out in order and in full, also half served."""
    rig = _Rig()
    for size in range(1, 701):
        rig.push(READ, size)
    rig.channel.admit(0)
    halfway = 1_000 * (300 * 301 // 2)
    ends = rig.advance(halfway)
    for size in range(701, 2001):
        rig.push(READ, size)
    rig.channel.admit(halfway)
    ends += rig.advance(FAR)
    assert [end for _, end in ends] == [1_000 * (size * (size + 1) // 2) for size in range(1, 2001)]
    assert rig.channel.served()[CAUSE] == 2000 * 2001 // 2


@pytest.mark.parametrize(
    "wrong", [{"efficiency": 0.0}, {"efficiency": 1.01}, {"update_cost": 0.9}, {"queue_entries": 0}, {"channels": 0}]
)
def test_impossible_memory_is_refused(wrong):
    """No efficiency, more than the peak, updates cheaper than writes, an empty queue, no channel: refused."""
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        InOrderSpec(**{**BASE, **wrong})
