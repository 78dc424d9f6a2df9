"""The compiled server behind two queues, event by event, against a slow and obvious one."""

import importlib.util
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.hardware.memory.access import Access, Stream
from t3sim.hardware.memory.arbitration import QueueView
from t3sim.hardware.memory.fluid.tables import Queues, ServiceTimes, new_front_end

_found = importlib.util.spec_from_file_location("memory_properties", Path(__file__).with_name("test_memory.py"))
memory_properties = importlib.util.module_from_spec(_found)
_found.loader.exec_module(memory_properties)

GRANULE = 8
CYCLE = 1_000


@dataclass(frozen=True)
class _Spec:
    """What the controller asks of a memory's spec."""

    rules: Queues
    times: ServiceTimes
    read_latency: int
    can_resume = False
    uses_places = False
    peak_bytes_per_s = 10**12
    granule = GRANULE

    @property
    def queue_entries(self):
        return self.rules.read_entries + self.rules.write_entries

    def channel(self):
        return new_front_end(self.rules, self.times)


class _Slow:
    """Two queues as one would explain them: lines of bursts, a FIFO a stream, a queue of reads and one of writes."""

    def __init__(self, spec, policy):
        self.rules, self.times, self.latency, self.policy = spec.rules, spec.times, spec.read_latency, policy
        self.lines = {(stream, is_write): deque() for stream in Stream for is_write in (False, True)}
        self.paths = {stream: deque() for stream in Stream}
        self.wrote_last = dict.fromkeys(Stream, True)
        self.queues = {False: deque(), True: deque()}
        self.room = {False: self.rules.read_entries, True: self.rules.write_entries}
        self.writing, self.reads_in_turn = True, 0
        self.last_direction, self.last_stream, self.passed_over = None, Stream.COMMUNICATION, 0
        self.free_at = self.clock = self.entry = self.busy = 0
        self.refresh_due = self.times.refresh_after
        self.counts = {False: 0, True: 0}
        self.late = {False: deque(), True: deque()}
        self.done = {}

    def run(self, happenings):
        """Serve (time, burst or intensity) in order of time; give the time at which each burst was answered."""
        for now in sorted({time for time, _ in happenings}):
            self._serve_until(now)
            if not self._anything_on_its_way():
                self.entry = max(self.entry, now)
            self.clock = now
            for time, what in happenings:
                if time == now:
                    self._take(what)
        self._serve_until(10**15)
        return self.done

    def _take(self, what):
        if isinstance(what, float):
            self.policy = self.policy.tuned(what)
            return
        stream, access, nbytes, name = what
        sizes = [GRANULE] * (nbytes // GRANULE) + [nbytes % GRANULE] * (nbytes % GRANULE > 0)
        for number, size in enumerate(sizes):
            last = name if number == len(sizes) - 1 else None
            self.lines[stream, access is not Access.READ].append((size, access, last))

    def _anything_on_its_way(self):
        return any(self.lines.values()) or any(self.paths.values())

    def _serve_until(self, until):
        while (start := max(self.free_at, self.clock)) < until:
            if self.refresh_due <= start:
                self.free_at = max(self.free_at, self.refresh_due) + self.times.refresh
                self.refresh_due += self.times.refresh_after
                continue
            self._let_in(start)
            self._turn()
            if self.queues[self.writing]:
                self._serve(start)
            elif self._anything_on_its_way():
                self.clock = max(start, self.entry)
            else:
                return

    def _let_in(self, now):
        while self.entry <= now:
            if not self._let_one_in():
                self.entry = now
                return
            self.entry += self.rules.cycle

    def _let_one_in(self):
        for stream in Stream:
            self._fill(stream)
        offered = {stream: bool(self.paths[stream]) and self._may_enter(self.paths[stream][0]) for stream in Stream}
        if not any(offered.values()):
            return False
        if not self.paths[Stream.COMMUNICATION]:
            self.passed_over = 0
        occupancy = sum(map(len, self.queues.values()))
        counted = min(self.passed_over, self.policy.passed_over_limit())
        stream = self.policy.pick(QueueView(*offered.values(), occupancy, self.last_stream, counted))
        if stream is None:
            return False
        request = self.paths[stream].popleft()
        self.queues[request[1] is not Access.READ].append(request)
        self.last_stream = stream
        passes = stream is Stream.COMPUTE and offered[Stream.COMMUNICATION]
        self.passed_over = self.passed_over + 1 if passes else (0 if stream else self.passed_over)
        return True

    def _fill(self, stream):
        while len(self.paths[stream]) < self.rules.path_entries:
            waiting = [is_write for is_write in (False, True) if self.lines[stream, is_write]]
            if not waiting:
                return
            kind = waiting[0] if len(waiting) == 1 else not self.wrote_last[stream]
            self.paths[stream].append(self.lines[stream, kind].popleft())
            self.wrote_last[stream] = kind

    def _may_enter(self, request):
        is_write = request[1] is not Access.READ
        if len(self.queues[is_write]) == self.room[is_write]:
            return False
        if not is_write or not self.queues[False]:
            return True
        starts_drain = len(self.queues[True]) + 1 >= self.rules.drain_from
        return not (self.writing or (starts_drain and self.reads_in_turn < self.rules.least_reads))

    def _turn(self):
        reads, writes = len(self.queues[False]), len(self.queues[True])
        if self.writing and reads and writes < self.rules.drain_to:
            self.writing, self.reads_in_turn = False, 0
        elif not self.writing and (writes >= self.rules.drain_from or not reads):
            self.writing = True

    def _serve(self, start):
        size, access, name = self.queues[self.writing].popleft()
        times = self.times
        full = {Access.READ: times.read, Access.WRITE: times.write, Access.UPDATE: times.update}[access]
        cost = -(-full * size // GRANULE)
        if self.last_direction is not None and self.last_direction != self.writing:
            switch = times.to_write if self.writing else times.to_read
            cost += max(switch - (start - self.free_at), 0)
        self.reads_in_turn += not self.writing
        self.last_direction = self.writing
        self.free_at = start + cost
        self.busy += cost
        self.counts[self.writing] += 1
        late = self.late[self.writing]
        if name is not None:
            late.append((self.counts[self.writing] + (times.late_writes if self.writing else times.late_reads), name))
        after = times.write_after if self.writing else times.read_after + self.latency
        while late and (not self.queues[self.writing] or late[0][0] <= self.counts[self.writing]):
            self.done[late.popleft()[1]] = self.free_at + after


def memories():
    """Draw queues of a few entries before a server of about 1000 fs a byte."""
    few, fs = st.integers(1, 6), st.sampled_from([0, 700, 3_000, 20_000])
    rules = st.builds(
        lambda reads, writes, path, drain_from, drain_to, least: Queues(
            in_order=0,
            read_entries=reads,
            write_entries=writes,
            path_entries=path,
            cycle=CYCLE,
            drain_from=min(drain_from, writes),
            drain_to=min(drain_to, writes),
            least_reads=least,
        ),
        few,
        few,
        few,
        few,
        few,
        st.integers(0, 4),
    )
    times = st.builds(
        ServiceTimes,
        granule=st.just(GRANULE),
        read=st.sampled_from([2_000, 8_000]),
        write=st.sampled_from([2_000, 9_999]),
        update=st.sampled_from([2_500, 16_000]),
        to_read=fs,
        to_write=fs,
        stream_switch=fs,
        read_after=fs,
        write_after=fs,
        refresh=fs,
        refresh_after=st.sampled_from([50_000, 10**12]),
        late_reads=st.integers(0, 5),
        late_writes=st.integers(0, 5),
    )
    return st.builds(_Spec, rules, times, st.sampled_from([0, 3_000]))


@settings(max_examples=400)
@given(
    memories(),
    memory_properties.policies(),
    st.lists(memory_properties.CHAIN, max_size=10),
    st.lists(st.tuples(memory_properties.TIMES, memory_properties.INTENSITIES), max_size=2),
)
def test_two_queues_equal_the_slow_ones(spec, policy, chains, tunes):
    """Every burst is answered at the femtosecond that plain queues and a plain server give, whatever the load."""
    happenings, answers, busy = memory_properties.replay(spec, policy, chains, tunes)
    slow = _Slow(spec, policy)
    assert answers == slow.run(happenings)
    assert busy == slow.busy
    assert len(answers) == sum(len(bursts) for _, bursts in chains)
