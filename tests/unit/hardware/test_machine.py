"""The machine: wiring, stalls that say what waits, and checks of its own books."""

from functools import partial

import networkx as nx
import pytest
from simpy.events import Event

from t3sim.errors import SimulationError, StallError
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message, pieces_completed
from t3sim.lowering.layout import linear


class _Hoarder:
    """A receiver that takes messages and never gives their buffer back."""

    def receive(self, message):
        """Keep it."""

    def missing(self):
        """Say what a stall report should name."""
        return ["the last message"]


RING = [(0, 1), (1, 2), (2, 0)]


class _Sink:
    """A receiver that remembers what came, when, and gives the buffer back at once."""

    def __init__(self, gpu):
        self.gpu, self.got = gpu, []

    def receive(self, message):
        self.got.append((self.gpu.env.now, message.nbytes))
        self.gpu.consumed(message)


@pytest.fixture
def build(tiny_system):
    """Build a machine of a few tiny GPUs: 75 bytes a nanosecond on links of 20 ns."""
    system = tiny_system()
    return lambda edges: Machine(system.gpu(), system.link, nx.DiGraph(edges), system.policy("default"))


def message(nbytes=750, phase=0, largest=1):
    """Make a message."""
    return Message(
        phase=phase,
        position=0,
        piece=0,
        pieces=1,
        nbytes=nbytes,
        wire_bytes=nbytes,
        chunk_bytes=nbytes,
        largest_chunk_bytes=largest * nbytes,
    )


def idle(_gpu):
    """Do nothing."""
    yield _gpu.env.timeout(1_000)


def test_message_reaches_the_successor_only(build):
    """What GPU 1 sends arrives at GPU 2 after serialization and latency, and nowhere else."""
    machine = build(RING)
    sinks = [_Sink(gpu) for gpu in machine.gpus]
    for gpu, sink in zip(machine.gpus, sinks, strict=True):
        gpu.receivers[0] = sink

    def program(gpu):
        if gpu.index == 1:
            gpu.send(message(750))
        yield gpu.env.timeout(100_000_000)

    assert machine.run(program) == 100_000_000
    assert [sink.got for sink in sinks] == [[], [], [(30_000_000, 750)]]
    assert [machine.report(gpu).link_bytes for gpu in machine.gpus] == [0, 750, 0]


def test_consumed_buffer_goes_back_to_the_predecessor(build):
    """GPU 2 gives buffer space back to the link from GPU 1, which can then send more than the buffer holds."""
    machine = build(RING)
    machine.gpus[2].receivers[0] = sink = _Sink(machine.gpus[2])

    def program(gpu):
        for _ in range(3 if gpu.index == 1 else 0):
            gpu.send(message(8192))
        yield gpu.env.timeout(10**9)

    machine.run(program)
    assert [nbytes for _, nbytes in sink.got] == [8192, 8192, 8192]


def test_total_is_the_end_of_the_last_gpu(build):
    """A run ends when the slowest GPU does."""
    machine = build(RING)

    def program(gpu):
        yield gpu.env.timeout(1_000 * (gpu.index + 1))

    assert machine.run(program) == 3_000


@pytest.mark.parametrize(
    "edges", [[(0, 1), (1, 0), (0, 2), (2, 0)], [(0, 1)]], ids=["two links each way", "open chain"]
)
def test_gpu_needs_one_link_each_way(build, edges):
    """A GPU with two links out, or with none, is refused when the machine is built."""
    with pytest.raises(ValueError, match=r"^every GPU of a ring has one link out and one in$"):
        build(edges)


def test_stall_names_what_waits(build):
    """A run in which nothing can happen any more says which tiles, updates and packets are stuck, and where."""
    machine = build([(0, 1), (1, 0)])
    machine.gpus[1].receivers[0] = _Hoarder()

    def program(gpu):
        if gpu.index == 0:
            gpu.tracker.count(5, 4, 8, lambda: None)
            for _ in range(3):
                gpu.send(message(4096))
        yield Event(gpu.env)

    with pytest.raises(StallError) as stalled:
        machine.run(program)
    first, *waiting = str(stalled.value).split("\n  ")
    assert first == "nothing can happen any more at 0.129 us, but the run is not done:"
    assert waiting == [
        "Gpu[0].Tracker: 1 tiles still expect updates, the first is 5",
        "Link[0->1]: 1 packets queued, waiting for receiver buffer space",
        "Gpu[1]: operation 0 misses the last message",
    ]


def test_stall_without_a_waiting_component_says_so(build):
    """A program that waits for nothing in particular is a stall too."""
    machine = build([(0, 0)])

    def program(gpu):
        yield Event(gpu.env)

    with pytest.raises(StallError, match=r"no component waits for another: a program waits for what nobody does$"):
        machine.run(program)


def test_error_in_a_program_is_no_stall(build):
    """A fault inside a program comes out as it is."""
    machine = build([(0, 0)])

    def program(gpu):
        yield gpu.env.timeout(1)
        raise RuntimeError("broken program")

    with pytest.raises(RuntimeError, match=r"^broken program$"):
        machine.run(program)


def test_error_in_an_event_is_no_stall(build):
    """A fault in a component's event handler comes out as it is, even a RuntimeError."""
    machine = build([(0, 0)])

    def fail():
        raise RuntimeError("broken component")

    def program(gpu):
        gpu.memory.submit(Stream.COMPUTE, Access.READ, 64, Cause.GEMM_READ, lambda: linear(0, 64), fail)
        yield Event(gpu.env)

    with pytest.raises(RuntimeError, match=r"^broken component$"):
        machine.run(program)


def _lose_update(machine):
    machine.gpus[0].tracker.issued += 1


def _lose_bytes(machine):
    machine.gpus[0].memory.submitted[Cause.RS_READ] += 64


def _lose_packet(machine):
    machine.links[0].delivered_bytes -= 1


def _speed(machine):
    link = machine.links[0]
    link.sent_bytes = link.delivered_bytes = link.spec.bytes_per_s


def _overwork(machine):
    machine.gpus[0].memory.busy_fs = lambda: 1_001


def _leave_entry(machine):
    machine.gpus[0].tracker.count(9, 0, 8, lambda: None)


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (_lose_update, "Gpu[0].Tracker: 1 updates issued, 0 counted"),
        (_lose_bytes, "Gpu[0].Memory: 64 B of RS_READ asked, 0 B served"),
        (_lose_packet, "Link[0->0]: 0 B sent, -1 B received"),
        (_speed, "Link[0->0]: 75000000000 B in 1000 fs is above its rate"),
        (_overwork, "Gpu[0].Memory: busy for longer than the run took"),
        (_leave_entry, "left in a queue: Gpu[0].Tracker: 1 tiles still expect updates, the first is 9"),
    ],
)
def test_books_that_do_not_balance_fail_the_run(build, tamper, fault):
    """A run whose counters contradict each other fails and names the contradiction; the same run untouched passes."""
    assert build([(0, 0)]).run(idle) == 1_000
    machine = build([(0, 0)])
    tamper(machine)
    with pytest.raises(SimulationError) as failed:
        machine.run(idle)
    assert not isinstance(failed.value, StallError)
    assert str(failed.value) == f"the run contradicts itself:\n  {fault}"


def test_link_at_its_full_rate_passes_the_check(build):
    """A link that was busy all the time is within its rate; one byte more is not."""
    for surplus in (0, 1):
        machine = build([(0, 0)])
        link = machine.links[0]
        link.sent_bytes = link.delivered_bytes = 75 + surplus

        def program(gpu):
            yield gpu.env.timeout(1_000_000)

        if surplus:
            with pytest.raises(SimulationError, match="above its rate"):
                machine.run(program)
        else:
            assert machine.run(program) == 1_000_000


def test_report_reads_the_counters(build):
    """A GPU's report has the bytes it served by cause and its own link's bytes."""
    machine = build([(0, 0)])
    machine.gpus[0].receivers[0] = _Sink(machine.gpus[0])

    def program(gpu):
        done = Event(gpu.env)
        gpu.memory.submit(Stream.COMMUNICATION, Access.READ, 300, Cause.AG_READ, lambda: linear(0, 300), done.succeed)
        gpu.memory.submit(Stream.COMPUTE, Access.WRITE, 200, Cause.GEMM_WRITE, lambda: linear(0, 200))
        gpu.send(message(75))
        yield done
        yield gpu.env.timeout(100_000_000)

    machine.run(program)
    report = machine.report(machine.gpus[0])
    assert {cause.name: served for cause, served in report.served_bytes.items() if served} == {
        "AG_READ": 300,
        "GEMM_WRITE": 200,
    }
    assert (report.link_bytes, report.link_busy_fs) == (75, 1_000_000)


def test_pieces_of_equal_cuts_are_themselves():
    """Where both ends cut a chunk alike, each piece completes its own."""
    assert [list(pieces_completed(piece, 5, 5)) for piece in range(5)] == [[0], [1], [2], [3], [4]]


@pytest.mark.parametrize(("sent", "own"), [(3, 7), (7, 3), (1, 4), (4, 1)])
def test_pieces_of_unequal_cuts_complete_each_once(sent, own):
    """Where the ends differ, all sent pieces together complete each own piece once, in order."""
    assert [done for piece in range(sent) for done in pieces_completed(piece, sent, own)] == list(range(own))


def test_deliver_goes_to_the_operation_that_the_message_names(build):
    """A message of phase 1 reaches the receiver of phase 1 and not the one of phase 0."""
    machine = build([(0, 0)])
    gpu = machine.gpus[0]
    gpu.receivers[0], gpu.receivers[1] = _Sink(gpu), _Sink(gpu)
    partial(gpu.deliver, message(8, phase=1))()
    assert (gpu.receivers[0].got, gpu.receivers[1].got) == ([], [(0, 8)])


@pytest.mark.parametrize(("edges", "busy_fs"), [([(0, 0)], 3_000_000), ([(0, 1), (1, 0)], 1_000_000)])
def test_mirrored_gpu_keeps_the_pace_of_the_largest_chunk(build, edges, busy_fs):
    """A chunk a third as large as the ring's largest holds the mirrored wire three times as long, a ring's as it is."""
    machine = build(edges)
    for gpu in machine.gpus:
        gpu.receivers[0] = _Sink(gpu)

    def program(gpu):
        if gpu.index == 0:
            gpu.send(message(75, largest=3))
        yield gpu.env.timeout(100_000_000)

    machine.run(program)
    report = machine.report(machine.gpus[0])
    assert (report.link_bytes, report.link_busy_fs) == (75, busy_fs)
