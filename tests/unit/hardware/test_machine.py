"""The machine: wiring, stalls that say what waits, and checks of its own books."""

import pytest
from simpy.events import Event

from t3sim.errors import SimulationError, StallError
from t3sim.hardware.machine import LinkReport, Machine
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.network.message import Message, Template
from t3sim.hardware.network.topologies.ring import RingSpec
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.trigger_state import COUNT
from t3sim.hardware.probe import Probe
from t3sim.lowering.layout import linear

GEMM_READ, GEMM_WRITE = (Cause("gemm", direction) for direction in Direction)
AG_READ = Cause("all_gather", Direction.READ)
RS_READ = Cause("reduce_scatter", Direction.READ)


class _Hoarder:
    """A program that takes messages and never gives their buffer back."""

    def receive(self, message):
        """Keep it."""

    def missing(self):
        """Say what a stall report should name."""
        return ["the last message"]


class _Sink:
    """A receiver that remembers what came, when, and gives the buffer back at once."""

    def __init__(self, machine, rank):
        self.network, self.env, self.got = machine.network, machine.env, []
        self.network.attach(rank, self.receive)

    def receive(self, message):
        self.got.append((self.env.now, message.nbytes))
        self.network.consumed(message)


@pytest.fixture
def build(tiny_system):
    """Build a machine of a few tiny GPUs in a ring: 75 bytes a nanosecond on links of 20 ns."""
    system = tiny_system()

    def machine(gpus=3, *, mirrored=False):
        return Machine(system.gpu(), RingSpec().wire(system.link, gpus), system.policy("default"), mirrored=mirrored)

    return machine


def message(nbytes=750, source=0, destination=1, operation=0):
    """Make a message."""
    return Message(
        operation=operation,
        home=0,
        move=0,
        piece=0,
        pieces=1,
        source=source,
        destinations=(destination,),
        nbytes=nbytes,
        wire_bytes=nbytes,
    )


def idle(_gpu):
    """Do nothing."""
    yield _gpu.env.timeout(1_000)


def test_message_reaches_its_destination_only(build):
    """What GPU 1 sends to GPU 2 arrives there after serialization and latency, and nowhere else."""
    machine = build()
    sinks = [_Sink(machine, gpu.index) for gpu in machine.gpus]

    def program(gpu):
        if gpu.index == 1:
            machine.network.send(message(750, 1, 2))
        yield gpu.env.timeout(100_000_000)

    assert machine.run(program) == 100_000_000
    assert [sink.got for sink in sinks] == [[], [], [(30_000_000, 750)]]
    assert [machine.report(gpu).link_bytes for gpu in machine.gpus] == [0, 750, 0]
    assert {name: link for name, link in machine.links().items() if link.sent_bytes} == {
        "Link[1->2]": LinkReport(750, 10_000_000)
    }


def test_what_the_mirrored_gpu_sends_to_the_next_comes_to_itself(build):
    """One GPU that stands for three gets what it sends when the next one would."""
    machine = build(mirrored=True)
    (gpu,) = machine.gpus
    sink = _Sink(machine, gpu.index)

    def program(gpu):
        machine.network.send(message(750, 0, 1))
        yield gpu.env.timeout(100_000_000)

    machine.run(program)
    assert sink.got == [(30_000_000, 750)]
    assert machine.report(gpu).link_bytes == 750


def test_one_gpu_stands_only_for_gpus_that_are_all_alike(build, tiny_system):
    """A group on a grid that its cabling does not have is refused when a mirrored machine is built."""
    system = tiny_system()
    wiring = RingSpec().wire(system.link, 4).over((2, 2))
    with pytest.raises(
        ValueError, match=r"^the wiring is not the same from each rank of a grid \(2, 2\): simulate all GPUs$"
    ):
        Machine(system.gpu(), wiring, system.policy("default"), mirrored=True)
    assert len(build(4, mirrored=True).gpus) == 1


def test_consumed_buffer_goes_back_to_the_sender(build):
    """GPU 2 gives buffer space back to the link from GPU 1, which can then send more than the buffer holds."""
    machine = build()
    sink = _Sink(machine, 2)

    def program(gpu):
        for _ in range(3 if gpu.index == 1 else 0):
            machine.network.send(message(8192, 1, 2))
        yield gpu.env.timeout(10**9)

    machine.run(program)
    assert [nbytes for _, nbytes in sink.got] == [8192, 8192, 8192]


def test_total_is_the_end_of_the_last_gpu(build):
    """A run ends when the slowest GPU does."""
    machine = build()

    def program(gpu):
        yield gpu.env.timeout(1_000 * (gpu.index + 1))

    assert machine.run(program) == 3_000


def test_a_cache_that_misses_more_than_it_was_asked_for_is_a_fault(build):
    """Books of the LLC that do not add up end the run, by name."""
    machine = build(2)
    machine.gpus[1].compute.loaded(100, 101)
    with pytest.raises(SimulationError, match=r"Gpu\[1\]\.Llc: 101 B missed of 100 B asked for"):
        machine.run(idle)


def test_faults_of_the_memory_model_end_the_run(build, monkeypatch):
    """What a memory model finds wrong with itself is an error of the run."""
    machine = build(2)
    monkeypatch.setattr(machine.gpus[0].memory.channel, "faults", lambda: ["a row is lost"])
    with pytest.raises(SimulationError, match=r"Gpu\[0\]\.Memory: a row is lost"):
        machine.run(idle)


def test_stall_names_what_waits(build, tracked_tiles):
    """A run in which nothing can happen any more says which tiles, updates and packets are stuck, and where."""
    machine = build(2)
    hoarder = _Hoarder()
    machine.network.attach(1, hoarder.receive)
    machine.gpus[1].programs.append((0, hoarder))
    first = tracked_tiles(plane_of(machine.env), machine.gpus[0].tracker, (True,) * 6, 8)

    def program(gpu):
        if gpu.index == 0:
            plane_of(gpu.env).perform(COUNT, first + 5, 4)
            for _ in range(3):
                machine.network.send(message(4096))
        yield Event(gpu.env)

    with pytest.raises(StallError) as stalled:
        machine.run(program)
    first, *waiting = str(stalled.value).split("\n  ")
    assert first == "nothing can happen any more at 0.129 us, but the run is not done:"
    assert waiting == [
        "Gpu[0].Tracker: 1 tiles still expect updates, the first is 5",
        "Gpu[1]: operation 0 misses the last message",
        "Link[0->1]: 1 packets queued, waiting for receiver buffer space; first: operation 0, piece 0 of 1 from 0 to 1",
    ]


def test_stall_without_a_waiting_component_says_so(build):
    """A program that waits for nothing in particular is a stall too."""
    machine = build(mirrored=True)

    def program(gpu):
        yield Event(gpu.env)

    with pytest.raises(StallError, match=r"no component waits for another: a program waits for what nobody does$"):
        machine.run(program)


def test_error_in_a_program_is_no_stall(build):
    """A fault inside a program comes out as it is."""
    machine = build(mirrored=True)

    def program(gpu):
        yield gpu.env.timeout(1)
        raise RuntimeError("broken program")

    with pytest.raises(RuntimeError, match=r"^broken program$"):
        machine.run(program)


def test_error_in_an_event_is_no_stall(build):
    """A fault in a component's event handler comes out as it is, even a RuntimeError."""
    machine = build(mirrored=True)

    def fail():
        raise RuntimeError("broken component")

    def program(gpu):
        gpu.memory.submit(Stream.COMPUTE, Access.READ, 64, GEMM_READ, lambda: linear(0, 64), fail)
        yield Event(gpu.env)

    with pytest.raises(RuntimeError, match=r"^broken component$"):
        machine.run(program)


def _nothing():
    """Hear of something and do nothing."""


def _lose_update(machine):
    plane_of(machine.env).rows("trackers")["issued"] += 1


def _change(machine, link, field, value):
    """Add to what the data plane has counted of a link."""
    plane_of(machine.env).rows("links")[field][machine.network.links[link].number] += value


def _lose_bytes(machine):
    machine.gpus[0].memory.submit(Stream.COMMUNICATION, Access.READ, 64, RS_READ, lambda: linear(0, 64), _nothing)
    memory = machine.gpus[0].memory
    plane_of(machine.env).asked["nbytes"][memory.number, memory.number_of(RS_READ)] += 64


def _lose_packet(machine):
    _change(machine, "Link[0->1]", "delivered_bytes", -1)


def _speed(machine):
    _change(machine, "Link[0->1]", "wire_bytes", 75 * 10**9)


def _overwork(machine):
    machine.gpus[0].memory.busy_fs = lambda: 10**9


def _overwork_link(machine):
    _change(machine, "Link[0->2]", "busy", 1_001)


def _keep_credit(machine):
    machine.network.first_leg(Template(0, 0, 0, 0, (2,), 0, 0, 0), 0)
    channel = machine.network.links["Link[0->2]"].channels[0]
    plane_of(machine.env).rows("channels")["credit"][channel] -= 1


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (_lose_update, "Gpu[0].Tracker: 1 updates issued, 0 counted"),
        (_lose_bytes, "Gpu[0].Memory: 128 B of reduce_scatter read asked, 64 B served"),
        (_lose_packet, "Link[0->1]: 0 B sent, -1 B received"),
        (_speed, "Link[0->1]: 75000000000 B in 1000 fs is above its rate"),
        (_overwork, "Gpu[0].Memory: busy for longer than the run took"),
        (_overwork_link, "Link[0->2]: busy for 1001 fs of 1000 fs"),
        (_keep_credit, "Link[0->2]: credits of channel 0 are not home, 8191 B of 8192 B"),
    ],
)
def test_books_that_do_not_balance_fail_the_run(build, tamper, fault):
    """A run whose counters contradict each other fails and names the contradiction; the same run untouched passes."""
    assert build(mirrored=True).run(idle) == 1_000
    machine = build(mirrored=True)
    tamper(machine)
    with pytest.raises(SimulationError) as failed:
        machine.run(idle)
    assert not isinstance(failed.value, StallError)
    assert str(failed.value) == f"the run contradicts itself:\n  {fault}"


def test_tile_that_is_left_in_the_tracker_fails_the_run(build, tracked_tiles):
    """A run that ends while a tile still expects updates fails, and names it."""
    machine = build(mirrored=True)
    first = tracked_tiles(plane_of(machine.env), machine.gpus[0].tracker, (True,) * 10, 8)
    plane_of(machine.env).perform(COUNT, first + 9, 0)
    with pytest.raises(SimulationError) as failed:
        machine.run(idle)
    fault = "left in a queue: Gpu[0].Tracker: 1 tiles still expect updates, the first is 9"
    assert str(failed.value) == f"the run contradicts itself:\n  {fault}"


def test_link_at_its_full_rate_passes_the_check(build):
    """A link that was busy all the time is within its rate; one byte more is not."""
    for surplus in (0, 1):
        machine = build(mirrored=True)
        _change(machine, "Link[0->1]", "wire_bytes", 75 + surplus)

        def program(gpu):
            yield gpu.env.timeout(1_000_000)

        if surplus:
            with pytest.raises(SimulationError, match="above its rate"):
                machine.run(program)
        else:
            assert machine.run(program) == 1_000_000


def test_report_reads_the_counters(build):
    """A GPU's report has the bytes it served by cause and its own link's bytes."""
    machine = build(mirrored=True)
    _Sink(machine, 0)

    def program(gpu):
        done = Event(gpu.env)
        gpu.memory.submit(Stream.COMMUNICATION, Access.READ, 300, AG_READ, lambda: linear(0, 300), done.succeed)
        gpu.memory.submit(Stream.COMPUTE, Access.WRITE, 200, GEMM_WRITE, lambda: linear(0, 200))
        machine.network.send(message(75))
        yield done
        yield gpu.env.timeout(100_000_000)

    machine.run(program)
    report = machine.report(machine.gpus[0])
    assert report.served_bytes == {AG_READ: 300, GEMM_WRITE: 200}
    assert (report.link_bytes, report.link_busy_fs) == (75, 1_000_000)


def test_bytes_of_all_own_links_are_reported(build):
    """A GPU that sends to both its neighbours has the bytes of both links, and is as busy as the busier one."""
    machine = build()
    for gpu in machine.gpus:
        _Sink(machine, gpu.index)

    def program(gpu):
        if gpu.index == 0:
            machine.network.send(message(75))
            machine.network.send(message(150, 0, 2))
        yield gpu.env.timeout(100_000_000)

    machine.run(program)
    reports = [machine.report(gpu) for gpu in machine.gpus]
    assert [(report.link_bytes, report.link_busy_fs) for report in reports] == [(225, 2_000_000), (0, 0), (0, 0)]


def test_message_that_nobody_expects_is_a_fault(build):
    """What comes to a GPU that no operation there waits for ends the run, and is named."""
    machine = build()

    def program(gpu):
        if gpu.index == 0:
            machine.network.send(message(75, operation=1))
        yield gpu.env.timeout(100_000_000)

    fault = r"^Gpu\[1\]: piece 0 of part 0, sent by GPU 0 in operation 1, is not for it$"
    with pytest.raises(SimulationError, match=fault):
        machine.run(program)


class _Everything(Probe):
    """Who called, by part."""

    def __init__(self):
        self.told = []

    def command_triggered(self, rank, command):
        self.told.append(("dma", rank, command.nbytes))

    def memory_advanced(self, rank):
        if ("memory", rank) not in self.told:
            self.told.append(("memory", rank))

    def tracker_changed(self, rank):
        self.told.append(("tracker", rank))

    def message_sent(self, rank, message):
        self.told.append(("network", rank, message.nbytes))

    def message_on_wire(self, link, message, start_fs, end_fs):
        self.told.append((link, message.nbytes, start_fs, end_fs))


@pytest.mark.parametrize("watched", [False, True])
def test_every_part_reports_to_the_probe(watched, build, tracked_tiles, commands):
    """A machine that is observed tells its probe what each GPU's parts and the links do; one that is not tells none."""
    probe, machine = _Everything(), build(2)
    if watched:
        machine.observe(probe)
    for gpu in machine.gpus:
        _Sink(machine, gpu.index)
    tiles = [tracked_tiles(plane_of(machine.env), gpu.tracker, expected=8) for gpu in machine.gpus]
    triggers = [commands(machine, rank, 1 - rank) for rank in (0, 1)]

    def program(gpu):
        gpu.memory.submit(Stream.COMPUTE, Access.WRITE, 200, GEMM_WRITE, lambda: linear(0, 200), _nothing)
        plane_of(gpu.env).perform(COUNT, tiles[gpu.index], 8)
        triggers[gpu.index](300)
        if gpu.index:
            machine.network.send(message(75, 1, 0))
        yield gpu.env.timeout(100_000_000)

    machine.run(program)
    wire = ("Link[1->0]", 75, 0, 1_000_000)
    each = [(part, rank, *more) for rank in (0, 1) for part, *more in (("tracker",), ("memory",), ("dma", 300))]
    sent = [("network", 0, 300), ("network", 1, 300), ("network", 1, 75)]
    told = [said for said in probe.told if not said[0].startswith("Link") or said == wire]
    assert sorted(told) == (sorted([*each, *sent, wire]) if watched else [])
