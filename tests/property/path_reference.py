"""The path to a DRAM channel in plain Python: every request an object in a list, every cycle looked at.

Used as the truth for the compiled path, before the plain channel of ``dram_reference``.
"""

from dataclasses import dataclass, field

from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.arbitration import QueueView


@dataclass
class ReferencePath:
    """Four unbounded lanes of requests, two FIFOs, and the port that lets one request a cycle into the channel."""

    channel: object
    policy: object
    entries: int
    least_reads: int
    lanes: dict = field(default_factory=lambda: {(s, kind): [] for s in Stream for kind in "RW"})
    fifos: dict = field(default_factory=lambda: {stream: [] for stream in Stream})
    last_kind: dict = field(default_factory=lambda: dict.fromkeys(Stream, "W"))
    last_stream: Stream = Stream.COMMUNICATION
    passed_over: int = 0
    was_reads_turn: bool = True
    reads_before: int = 0
    """Reads that the channel had served when the turn of reads began."""

    def arrive(self, stream, request):
        """Add a request to the lane of its kind."""
        self.lanes[stream, kind_of(request)].append(request)

    def is_empty(self):
        """Say whether nothing is on its way."""
        return not any(self.lanes.values()) and not any(self.fifos.values())

    def fill(self, stream):
        """Move requests from the lanes to the FIFO: kinds in turn where both wait."""
        while len(self.fifos[stream]) < self.entries:
            waiting = [kind for kind in "RW" if self.lanes[stream, kind]]
            if not waiting:
                return
            kind = waiting[0] if len(waiting) == 1 else {"R": "W", "W": "R"}[self.last_kind[stream]]
            self.fifos[stream].append(self.lanes[stream, kind].pop(0))
            self.last_kind[stream] = kind

    def look(self):
        """Note where a turn of reads has begun."""
        if not self.channel.writes_first and not self.was_reads_turn:
            self.reads_before = self.channel.counts["RD"]
        self.was_reads_turn = not self.channel.writes_first

    def may_enter(self, request):
        """Say whether its queue has room and, for a write, that reads do not wait for it which should not."""
        if not self.channel.has_room(request.kind):
            return False
        inside = [*self.channel.queues["R"], *self.channel.opened_for]
        if kind_of(request) == "R" or not any(kind_of(each) == "R" for each in inside):
            return True
        if self.channel.writes_first:
            return False  # the drain is over first
        served = self.channel.counts["RD"] - self.reads_before
        starts_drain = len(self.channel.queues["W"]) + 1 > self.channel.drain_from * self.channel.write_entries
        return not starts_drain or served >= self.least_reads

    def let_in(self):
        """Let one request into the channel, in what the channel calls now."""
        for stream in Stream:
            self.fill(stream)
        self.look()
        if not self.fifos[Stream.COMMUNICATION]:
            self.passed_over = 0
        offered = {stream for stream in Stream if self.fifos[stream] and self.may_enter(self.fifos[stream][0])}
        if not offered:
            return
        occupancy = len(self.channel.queues["R"]) + len(self.channel.queues["W"])
        both = Stream.COMPUTE in offered, Stream.COMMUNICATION in offered
        stream = self.policy.pick(QueueView(*both, occupancy, self.last_stream, self.passed_over))
        if stream is None:
            return
        if stream is Stream.COMMUNICATION:
            self.passed_over = 0
        elif both[1]:
            self.passed_over = min(self.passed_over + 1, self.policy.passed_over_limit())
        self.last_stream = stream
        request = self.fifos[stream].pop(0)
        request.arrived = self.channel.now
        self.channel.add(request)


def kind_of(request):
    return "R" if request.kind == "RD" else "W"


def run_path(path, arrivals):
    """Run ``arrivals`` (cycle, stream, request), in time; return the cycle of each request's last data, by number."""
    waiting, channel = list(arrivals), path.channel
    while waiting or not path.is_empty() or len(channel.done) < len(arrivals):
        while waiting and waiting[0][0] <= channel.now:
            _, stream, request = waiting.pop(0)
            path.arrive(stream, request)
        path.let_in()
        channel.cycle()
        assert channel.now < 40_000, "nothing moves any more"
    return channel.done
