"""The DMA engine: command latency, order, and how many commands are in flight."""

from functools import partial

import simpy

from t3sim.hardware.clock import call_at
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.t3.dma import Command, DmaEngine, DmaSpec
from t3sim.lowering.layout import linear

CAUSE = Cause("all_to_all", Direction.READ)


class _Rig:
    """A DMA engine between a memory and a link that answer when the test says so."""

    def __init__(self, outstanding, command_latency):
        self.env = simpy.Environment(0)
        self.reads, self.sends = [], []
        spec = DmaSpec(outstanding=outstanding, command_latency=command_latency)
        self.dma = DmaEngine(self.env, spec, self, 2)

    def submit(self, stream, access, nbytes, cause, place, done):
        """Stand for the memory: take what the engine reads."""
        assert (stream, access, cause) == (Stream.COMMUNICATION, Access.READ, CAUSE)
        assert place()[0].tolist() == [nbytes, 1, nbytes, 0]
        self.reads.append((self.env.now, nbytes, done))

    def trigger(self, *sizes):
        """Trigger commands of these sizes now."""
        for nbytes in sizes:
            self.dma.trigger(Command(nbytes, partial(linear, nbytes, nbytes), CAUSE, partial(self._send, nbytes)))

    def _send(self, nbytes, accepted):
        self.sends.append((self.env.now, nbytes, accepted))

    def read_sizes(self):
        """Say which reads have started."""
        return [nbytes for _, nbytes, _ in self.reads]


def test_read_starts_a_command_latency_after_the_trigger():
    """The first read request leaves exactly one command latency after the trigger."""
    rig = _Rig(outstanding=1, command_latency=300)
    call_at(rig.env, 1_000, lambda: rig.trigger(64))
    rig.env.run(until=1_300)
    assert rig.reads == []
    rig.env.run()
    assert [(time, nbytes) for time, nbytes, _ in rig.reads] == [(1_300, 64)]


def test_data_are_sent_when_read():
    """What was read is sent at once, in full."""
    rig = _Rig(outstanding=1, command_latency=0)
    rig.trigger(64)
    rig.env.run()
    assert rig.sends == []
    call_at(rig.env, 500, rig.reads[0][2])
    rig.env.run()
    assert [(time, nbytes) for time, nbytes, _ in rig.sends] == [(500, 64)]


def test_at_most_outstanding_commands_are_in_flight():
    """Of three ready commands two start; the third waits for a link's acceptance, not for a read's end."""
    rig = _Rig(outstanding=2, command_latency=0)
    rig.trigger(1, 2, 3)
    rig.env.run()
    assert rig.read_sizes() == [1, 2]
    assert rig.dma.waiting() == ["Gpu[2].Dma: 1 commands ready, 2 in flight"]
    rig.reads[0][2]()
    assert rig.read_sizes() == [1, 2]
    rig.sends[0][2]()
    assert rig.read_sizes() == [1, 2, 3]
    assert rig.dma.waiting() == ["Gpu[2].Dma: 0 commands ready, 2 in flight"]


def test_commands_start_in_the_order_they_became_ready():
    """Commands start first come, first served, whenever slots become free."""
    rig = _Rig(outstanding=1, command_latency=10)
    call_at(rig.env, 5, lambda: rig.trigger(7, 9))
    call_at(rig.env, 6, lambda: rig.trigger(8))
    rig.env.run()
    for number in range(3):
        rig.reads[number][2]()
        rig.sends[number][2]()
    assert rig.read_sizes() == [7, 9, 8]
    assert rig.dma.waiting() == []
