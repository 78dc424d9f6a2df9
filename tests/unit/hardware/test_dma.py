"""The DMA engine: command latency, order, and how many commands are in flight."""

import pytest

from t3sim.hardware.clock import call_at
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Cause, Direction
from t3sim.hardware.network.topologies.ring import RingSpec
from t3sim.hardware.probe import Probe

CAUSE = Cause("all_to_all", Direction.READ)
READ_LATENCY = 100_000


class _Rig(Probe):
    """The DMA engine of GPU 0 of two, and what it did when; links carry a byte a picosecond."""

    def __init__(self, tiny_system, commands, outstanding, command_latency, *overrides):
        system = tiny_system(
            f"dma={{outstanding: {outstanding}, command_latency: {command_latency} fs}}",
            f"memory.read_latency={READ_LATENCY} fs",
            "link.bandwidth=1000 GB/s",
            "link.receive_buffer=1 MiB",
            *overrides,
        )
        wiring = RingSpec().wire(system.link, 2)
        self.machine = Machine(system.gpu(), wiring, system.policy("default"), mirrored=False)
        self.gpu, network, self.env = self.machine.gpus[0], self.machine.network, self.machine.env
        network.attach(1, network.consumed)
        self.trigger = commands(self.machine, 0, 1)
        """Triggers commands of some sizes now."""
        self.times, self.sizes = {}, {}
        self.machine.observe(self)

    def at(self, what):
        """Say when commands did something, by size in the order in which they did."""
        return self.times.get(what, {})

    def _note(self, what, nbytes):
        self.times.setdefault(what, {})[nbytes] = int(self.env.now)

    def command_triggered(self, rank, command):
        assert rank == 0
        self._note("triggered", command.nbytes)
        self.sizes[command] = command.nbytes

    def command_started(self, rank, command):
        assert rank == 0
        self._note("started", self.sizes[command])

    def command_read(self, rank, command):
        assert rank == 0
        self._note("read", self.sizes[command])

    def message_sent(self, rank, message):
        assert rank == 0
        self._note("sent", message.nbytes)

    def command_handed_over(self, rank, command):
        assert rank == 0
        self._note("handed over", self.sizes[command])

    def command_ended(self, rank, command):
        assert rank == 0
        self._note("ended", self.sizes[command])


@pytest.fixture
def rig(tiny_system, commands):
    """Give a function that makes an engine."""
    return lambda *arguments: _Rig(tiny_system, commands, *arguments)


def test_read_starts_a_command_latency_after_the_trigger(rig):
    """The first read request leaves exactly one command latency after the trigger."""
    made = rig(1, 300)
    call_at(made.env, 1_000, lambda: made.trigger(64))
    made.env.run(until=1_300)
    assert made.at("started") == {}
    made.env.run()
    assert made.at("started") == {64: 1_300}
    assert made.gpu.memory.submitted == {CAUSE: 64}


def test_data_are_sent_when_read(rig):
    """What was read is sent at once, in full, and that is after the memory's read latency."""
    made = rig(1, 0)
    made.trigger(64)
    made.env.run()
    (read,) = made.at("read").values()
    assert read > READ_LATENCY
    assert made.at("read") == made.at("sent") == made.at("handed over") == {64: read}


def test_at_most_outstanding_commands_are_in_flight(rig):
    """Of four ready commands two start; the others wait for a link's acceptance, not for a read's end."""
    # The send buffer takes one command's data at a time: the second one waits until the first has left.
    made = rig(2, 0, "link.send_buffer=8000 B")
    made.trigger(8_001, 8_002, 8_003, 8_004)
    made.env.run(until=1)
    assert list(made.at("started")) == [8_001, 8_002]
    assert made.gpu.dma.waiting() == ["Gpu[0].Dma: 2 commands ready, 2 in flight"]
    made.env.run()
    started, read, ended = made.at("started"), made.at("read"), made.at("ended")
    assert ended[8_002] >= ended[8_001] + 8_001_000
    assert read[8_002] < ended[8_002]
    assert (started[8_003], started[8_004]) == (ended[8_001], ended[8_002])
    assert made.gpu.dma.waiting() == []


def test_commands_start_in_the_order_they_became_ready(rig):
    """Commands start first come, first served, whenever slots become free."""
    made = rig(1, 10)
    call_at(made.env, 5, lambda: made.trigger(7, 9))
    call_at(made.env, 6, lambda: made.trigger(8))
    made.env.run()
    assert list(made.at("started")) == list(made.at("ended")) == [7, 9, 8]
    assert made.gpu.dma.waiting() == []
