"""The compiled memory, event by event, against a slow and obvious scheduler."""

import math
from collections import deque
from functools import partial

import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.hardware.clock import call_at
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.arbitration import KIND, QueueView
from t3sim.hardware.memory.arbitration.mca import Mca, Threshold
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.fluid.in_order_spec import InOrderSpec
from t3sim.lowering.layout import linear
from t3sim.registry import get, names

ENTRY_BYTES = 8
ENTRY_FS = 8_000


class _Slow:
    """The memory as one would explain it: four waiting lines, a queue, a server; one request at a time."""

    def __init__(self, spec, policy):
        self.spec, self.policy = spec, policy
        self.lines = {(stream, is_write): deque() for stream in Stream for is_write in (False, True)}
        self.queue = deque()
        self.free_at = 0
        self.last_line = None
        self.last_stream = Stream.COMMUNICATION
        self.passed_over = 0
        self.busy = 0
        self.done = {}

    def run(self, happenings):
        """Serve (time, burst or intensity) in order of time; give the time at which each burst was served."""
        times = sorted({time for time, _ in happenings})
        now = 0
        while times or self.queue:
            start = max(self.free_at, now) if self.queue else math.inf
            if times and times[0] <= start:
                now = times.pop(0)
                for time, what in happenings:
                    if time == now:
                        self._take(what)
            else:
                now = start
                self._serve(now)
            self._admit()
        return self.done

    def _take(self, what):
        if isinstance(what, float):
            self.policy = self.policy.tuned(what)
            return
        stream, access, nbytes, name = what
        sizes = [ENTRY_BYTES] * (nbytes // ENTRY_BYTES) + [nbytes % ENTRY_BYTES] * (nbytes % ENTRY_BYTES > 0)
        for number, size in enumerate(sizes):
            is_last = number == len(sizes) - 1
            self.lines[stream, access is not Access.READ].append((size, access, name if is_last else None))

    def _admit(self):
        while len(self.queue) < self.spec.queue_entries:
            waits = {stream: bool(self.lines[stream, False] or self.lines[stream, True]) for stream in Stream}
            if not any(waits.values()):
                return
            if not waits[Stream.COMMUNICATION]:
                self.passed_over = 0
            counted = min(self.passed_over, self.policy.passed_over_limit())
            view = QueueView(*waits.values(), len(self.queue), self.last_stream, counted)
            stream = self.policy.pick(view)
            if stream is None:
                return
            line = (stream, False) if self.lines[stream, False] else (stream, True)
            self.queue.append((line, *self.lines[line].popleft()))
            self.last_stream = stream
            passes = stream is Stream.COMPUTE and waits[Stream.COMMUNICATION]
            self.passed_over = self.passed_over + 1 if passes else 0

    def _serve(self, now):
        line, size, access, name = self.queue.popleft()
        cost = size * 1_000 * (self.spec.update_cost if access is Access.UPDATE else 1)
        idle = now - self.free_at
        if self.last_line is not None and line[1] != self.last_line[1]:
            cost += max(self.spec.turnaround - idle, 0)
        elif self.last_line is not None and line[0] != self.last_line[0]:
            cost += max(self.spec.stream_switch - idle, 0)
        self.last_line = line
        self.free_at = now + int(cost)
        self.busy += int(cost)
        if name is not None:
            latency = self.spec.read_latency if access is Access.READ else 0
            self.done[name] = self.free_at + latency


def policies():
    """Draw any registered policy as configured by default, or MCA with its limits close by."""
    registered = st.sampled_from(names(KIND)).map(lambda name: get(KIND, name)())
    limits = st.none() | st.integers(1, 5)
    tight = st.builds(
        lambda first, second, now, patience: Mca(
            thresholds=(Threshold(intensity=0.5, occupancy=first), Threshold(intensity=0.0, occupancy=second)),
            occupancy=now,
            starvation_limit=patience,
        ),
        limits,
        limits,
        limits,
        st.integers(1, 5),
    )
    return registered | tight


def memories():
    """Draw a memory of 1000 fs a byte with a short queue."""
    return st.builds(
        lambda entries, latency, update, turnaround, switch: InOrderSpec(
            bandwidth=2 * 10**12,
            efficiency=0.5,
            channels=2,
            access=4,
            queue_entries=entries,
            read_latency=latency,
            update_cost=update,
            turnaround=turnaround,
            stream_switch=switch,
        ),
        st.integers(1, 6),
        st.sampled_from([0, 1, 3_000, 100_000]),
        st.sampled_from([1.0, 1.5, 2.0]),
        st.sampled_from([0, 1_000, 12_345]),
        st.sampled_from([0, 1_000, 777]),
    )


# Times on the grid of service times too, so that arrivals meet completions in the same femtosecond.
CAUSE = Cause("gemm", Direction.READ)
TIMES = st.integers(0, 40).map(lambda n: n * ENTRY_FS) | st.integers(0, 300_000)
BURST = st.tuples(st.sampled_from(Stream), st.sampled_from(Access), st.integers(1, 4 * ENTRY_BYTES))
CHAIN = st.tuples(TIMES, st.lists(BURST, min_size=1, max_size=4))
INTENSITIES = st.sampled_from([0.0, 0.25, 0.5, 1.0])


def replay(spec, policy, chains, tunes):
    """Run bursts through the controller, each of a chain when the one before is answered.

    Give what happened when, in order, the answers, and the busy time.
    """
    env = simpy.Environment(0)
    memory = MemoryController(env, spec, policy, 0)
    memory.start_kernel()
    happenings, answers = [], {}

    def submit(chain, number):
        stream, access, nbytes = chains[chain][1][number]
        happenings.append((env.now, (stream, access, nbytes, (chain, number))))
        place, done = partial(linear, 0, nbytes), partial(answered, chain, number)
        memory.submit(stream, access, nbytes, CAUSE, place, done)

    def answered(chain, number):
        answers[chain, number] = env.now
        if number + 1 < len(chains[chain][1]):
            submit(chain, number + 1)

    def tune(intensity):
        happenings.append((env.now, intensity))
        memory.tune(intensity)

    for number, (time, _) in enumerate(chains):
        call_at(env, time, lambda number=number: submit(number, 0))
    for time, intensity in tunes:
        call_at(env, time, lambda intensity=intensity: tune(intensity))
    env.run()
    return happenings, answers, memory.busy_fs()


@settings(max_examples=400)
@given(memories(), policies(), st.lists(CHAIN, max_size=10), st.lists(st.tuples(TIMES, INTENSITIES), max_size=2))
def test_controller_and_channel_equal_the_slow_scheduler(spec, policy, chains, tunes):
    """Every burst is answered at the femtosecond a plain scheduler gives, whatever the policy and the load."""
    happenings, answers, busy = replay(spec, policy, chains, tunes)
    slow = _Slow(spec, policy)
    assert answers == slow.run(happenings)
    assert busy == slow.busy
    assert len(answers) == sum(len(bursts) for _, bursts in chains)


@settings(max_examples=100)
@given(memories(), policies(), st.lists(st.tuples(TIMES, BURST), max_size=12), st.randoms(use_true_random=False))
def test_lanes_of_one_instant_may_submit_in_any_order(spec, policy, bursts, shuffler):
    """Submissions of one femtosecond may be reordered across lanes without changing any answer."""

    def answers_by_lane(ordered):
        _, answers, _ = replay(spec, policy, [(time, [burst]) for time, burst in ordered], [])
        lanes = {}
        for number, (_, (stream, access, _)) in enumerate(ordered):
            lanes.setdefault((stream, access is Access.READ), []).append(answers[number, 0])
        return lanes

    def lane_of(item):
        return item[1][0], item[1][1] is Access.READ

    in_time = sorted(bursts, key=lambda item: item[0])
    turns = {lane: shuffler.random() for lane in {lane_of(item) for item in in_time}}
    reordered = sorted(in_time, key=lambda item: (item[0], turns[lane_of(item)]))
    assert answers_by_lane(reordered) == answers_by_lane(in_time)


@settings(max_examples=100)
@given(memories(), policies(), st.lists(CHAIN, max_size=8))
def test_same_load_gives_the_same_answers(spec, policy, chains):
    """Two runs of the same load agree in every answer."""
    assert replay(spec, policy, chains, []) == replay(spec, policy, chains, [])
