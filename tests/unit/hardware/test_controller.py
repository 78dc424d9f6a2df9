"""The memory controller: when requesters hear back, and that one instant is arbitrated once."""

from itertools import permutations

import pytest
import simpy

from t3sim.errors import SimulationError
from t3sim.hardware.clock import Order, call_at
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.arbitration import KIND
from t3sim.hardware.memory.arbitration.mca import Mca, Threshold
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.fluid.in_order_spec import InOrderSpec
from t3sim.hardware.memory.model import MOST_CAUSES
from t3sim.lowering.layout import linear
from t3sim.registry import get, names

COMPUTE, COMMUNICATION = Stream
READ, WRITE, UPDATE = Access
CAUSES = [
    Cause(operation, direction) for operation in ("gemm", "reduce_scatter", "all_gather") for direction in Direction
]
GEMM_READ, GEMM_WRITE, _, RS_WRITE, *_ = CAUSES


class _Rig:
    """A controller over a channel of 1000 fs a byte in entries of 128 B, and when each burst was answered."""

    def __init__(self, policy=None, spec=None, **changes):
        fields = {
            "bandwidth": 10**12,
            "efficiency": 1.0,
            "channels": 2,
            "access": 64,
            "queue_entries": 2,
            "read_latency": 40_000,
            "update_cost": 2.0,
            "turnaround": 0,
            "stream_switch": 0,
        }
        self.env = simpy.Environment(0)
        spec = spec or InOrderSpec(**{**fields, **changes})
        self.memory = MemoryController(self.env, spec, policy or get(KIND, "round-robin")(), 0)
        self.answered = {}

    def submit(self, name, stream, access, nbytes=128, cause=GEMM_READ):
        """Submit an awaited burst now."""
        self.memory.submit(
            stream, access, nbytes, cause, lambda: linear(0, nbytes), lambda: self.answered.update({name: self.env.now})
        )

    def at(self, time, *arguments):
        """Submit an awaited burst later."""
        call_at(self.env, time, lambda: self.submit(*arguments))


@pytest.fixture(params=["in-order", "banked"])
def either(request, hbm2_banks):
    """Give a controller of each memory model, and when each burst was answered."""

    def build(policy="round-robin", **fluid):
        if request.param == "banked":
            return _Rig(get(KIND, policy)(), hbm2_banks(channels=2, read_entries=2, write_entries=2))
        return _Rig(get(KIND, policy)(), **fluid)

    return build


def test_read_is_answered_a_latency_after_its_service():
    """A read's data arrive a read latency after it was served; the next read is served meanwhile."""
    rig = _Rig()
    rig.submit("first", COMPUTE, READ)
    rig.submit("second", COMPUTE, READ)
    rig.env.run()
    assert rig.answered == {"first": 168_000, "second": 296_000}


def test_write_and_update_are_answered_when_in_memory():
    """A write is done when it was served, an update after its longer service; no latency is added."""
    rig = _Rig()
    rig.submit("write", COMPUTE, WRITE)
    rig.submit("update", COMPUTE, UPDATE)
    rig.env.run()
    assert rig.answered == {"write": 128_000, "update": 128_000 + 256_000}


def test_late_arrival_does_not_disturb_what_is_in_service():
    """A burst that arrives in the middle of another's service starts when that one ends."""
    rig = _Rig()
    rig.submit("first", COMPUTE, WRITE)
    rig.at(100_000, "second", COMPUTE, WRITE)
    rig.at(1_000_000, "third", COMPUTE, WRITE)
    rig.env.run()
    assert rig.answered == {"first": 128_000, "second": 256_000, "third": 1_128_000}


def test_late_arrival_changes_the_plan():
    """Compute that arrives late is answered before communication that was planned earlier and still waits."""
    rig = _Rig(get(KIND, "compute-first")(), queue_entries=1)
    rig.submit("long", COMMUNICATION, WRITE, 128 * 4)
    rig.at(200_000, "short", COMPUTE, WRITE)
    rig.env.run()
    # Entries end at 128, 256 and 384 us/1000; at 200 the queue already holds the third, so compute comes fourth.
    assert rig.answered == {"short": 512_000, "long": 640_000}


def test_bursts_nobody_waits_for_are_served():
    """A burst without a callback takes its time in the channel all the same."""
    rig = _Rig()
    rig.memory.submit(COMPUTE, WRITE, 128, GEMM_WRITE, lambda: linear(0, 128))
    rig.submit("behind", COMPUTE, WRITE)
    rig.env.run()
    assert rig.answered == {"behind": 256_000}
    assert rig.memory.served_bytes()[GEMM_WRITE] == 128
    assert rig.memory.busy_fs() == 256_000


@pytest.mark.parametrize("policy", names(KIND))
def test_order_within_a_femtosecond_does_not_matter(policy, either):
    """However the parts of a GPU submit within one femtosecond, each lane is answered at the same time."""
    bursts = [
        ("operands", COMPUTE, READ, 300),
        ("stores", COMPUTE, UPDATE, 200),
        ("dma", COMMUNICATION, READ, 100),
        ("incoming", COMMUNICATION, WRITE, 400),
    ]
    answers = []
    for order in permutations(bursts):
        rig = either(policy, turnaround=500, stream_switch=70)
        for number, burst in enumerate(order):
            # The first at the end of memory's own turn, others before it: all before arbitration.
            turn = Order.DELIVERY if number == 0 else Order.LOCAL
            call_at(rig.env, 1_000, lambda rig=rig, burst=burst: rig.submit(*burst), turn)
        rig.env.run()
        answers.append(rig.answered)
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 4


def test_arrivals_at_the_end_of_a_burst_meet_in_one_arbitration():
    """Compute that arrives exactly when a burst ends is considered together with what that end itself submits."""
    rig = _Rig(get(KIND, "compute-first")(), queue_entries=1)
    rig.memory.submit(
        COMMUNICATION,
        WRITE,
        128,
        RS_WRITE,
        lambda: linear(0, 128),
        lambda: rig.submit("next", COMMUNICATION, WRITE),
    )
    call_at(rig.env, 128_000, lambda: rig.submit("compute", COMPUTE, WRITE), Order.DELIVERY)
    rig.env.run()
    assert rig.answered == {"compute": 256_000, "next": 384_000}


def test_tuned_policy_arbitrates_from_now_on():
    """MCA without a limit fills the queue with communication; tuned to one entry it leaves room for compute."""
    steps = (Threshold(intensity=0.5, occupancy=1), Threshold(intensity=0.0, occupancy=None))
    answers = []
    for intensity in (0.5, 0.49):
        rig = _Rig(Mca(thresholds=steps), queue_entries=8)
        rig.memory.tune(intensity)
        rig.submit("communication", COMMUNICATION, WRITE, 128 * 4)
        rig.at(1_000, "compute", COMPUTE, WRITE)
        rig.env.run()
        answers.append(rig.answered)
    # One entry in service and one in the queue go before compute; without a limit all four do.
    assert answers[0] == {"compute": 384_000, "communication": 640_000}
    assert answers[1] == {"compute": 640_000, "communication": 512_000}


def test_only_a_gemm_that_runs_is_protected():
    """While a kernel runs, one entry is left to communication, as configured; before and after it there is no limit."""
    policy = Mca(
        thresholds=(Threshold(intensity=0.5, occupancy=1), Threshold(intensity=0.0, occupancy=None)), occupancy=1
    )
    answers = []
    for prepare in ((), ("start_kernel",), ("start_kernel", "end_kernel")):
        rig = _Rig(policy, queue_entries=8)
        for step in prepare:
            getattr(rig.memory, step)()
        rig.submit("communication", COMMUNICATION, WRITE, 128 * 4)
        rig.at(1_000, "compute", COMPUTE, WRITE)
        rig.env.run()
        answers.append(rig.answered)
    assert answers[1] == {"compute": 384_000, "communication": 640_000}
    assert answers[0] == answers[2] == {"compute": 640_000, "communication": 512_000}


def test_kernels_do_not_inherit_what_was_tuned():
    """A kernel that starts is treated as configured, whatever the one before was measured to take."""
    policy = Mca(
        thresholds=(Threshold(intensity=0.5, occupancy=1), Threshold(intensity=0.0, occupancy=None)), occupancy=1
    )
    rig = _Rig(policy, queue_entries=8)
    rig.memory.start_kernel()
    rig.memory.tune(0.1)
    assert rig.memory.policy.occupancy is None
    rig.memory.start_kernel()
    assert rig.memory.policy == policy


def test_bytes_are_counted_by_cause(either):
    """Submitted and served bytes are kept by cause and agree at the end."""
    rig = either()
    for number, cause in enumerate(CAUSES):
        rig.submit(cause, COMPUTE, READ, 100 + number, cause)
    expected = {cause: 100 + number for number, cause in enumerate(CAUSES)}
    assert rig.memory.submitted == expected
    rig.env.run()
    assert rig.memory.served_bytes() == expected


def test_causes_are_known_by_their_names(either):
    """Bytes of one cause add up however often it is made anew; those of another are counted apart."""
    rig = either()
    for number, operation in enumerate(("send", "send", "broadcast")):
        rig.submit(number, COMMUNICATION, WRITE, 64, Cause(operation, Direction.WRITE))
    rig.env.run()
    assert rig.memory.served_bytes() == {("send", "write"): 128, ("broadcast", "write"): 64}


def test_more_causes_than_can_be_told_apart_are_refused(either):
    """As many causes as there are counters are counted; one more is an error and not somebody else's bytes."""
    rig = either()
    for number in range(MOST_CAUSES):
        rig.submit(number, COMPUTE, READ, 64, Cause(f"operation {number}", Direction.READ))
    with pytest.raises(SimulationError, match=r"^Gpu\[0\].Memory: more than 64 causes of traffic$"):
        rig.submit("last", COMPUTE, READ, 64, Cause("one more", Direction.READ))
    rig.env.run()
    assert set(rig.memory.served_bytes().values()) == {64}


def test_waiting_names_the_lanes(either):
    """A stall report names what is queued in each lane; an idle memory reports nothing."""
    rig = either()
    rig.submit("a", COMPUTE, READ)
    rig.submit("b", COMMUNICATION, UPDATE)
    rig.submit("c", COMMUNICATION, WRITE)
    assert rig.memory.pending() == 3
    assert rig.memory.waiting() == [
        "Gpu[0].Memory: 1 bursts of compute reads",
        "Gpu[0].Memory: 2 bursts of communication writes",
    ]
    rig.env.run()
    assert rig.memory.waiting() == []


@pytest.mark.parametrize("limit", [4, 8, 16])
def test_starvation_limit_counts_across_pauses(limit):
    """Communication that its threshold holds is passed by no more compute requests than the limit, pauses or not."""
    rig = _Rig(Mca(occupancy=1, starvation_limit=limit), queue_entries=8)
    rig.submit("first", COMPUTE, READ, 2 * 128)
    rig.at(1, "held", COMMUNICATION, WRITE)
    for number in range(40):  # as fast as they are served: the lane empties each time, the queue never does
        rig.at(2 + number * 128_000, f"compute {number}", COMPUTE, READ)
    rig.env.run()
    served_before = sum(time - 40_000 < rig.answered["held"] for name, time in rig.answered.items() if name != "held")
    # Those that passed it, and what was in the queue when it came and when it was admitted.
    assert limit <= served_before <= limit + 2 + 2


def test_memories_of_two_models_are_refused(hbm2_banks):
    """What moves bytes is compiled for one model: a second one in the same environment is named as the mistake."""
    rig = _Rig()
    with pytest.raises(SimulationError, match="memories of one model"):
        MemoryController(rig.env, hbm2_banks(), get(KIND, "round-robin")(), 1)
