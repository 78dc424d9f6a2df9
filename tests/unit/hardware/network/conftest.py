"""A network with what is sent over it and what arrives."""

from dataclasses import replace

import pytest
import simpy

from t3sim.hardware.clock import call_at
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.network import Network
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.network.wiring import Hop
from t3sim.registry import get

# 10^12 B/s is 1000 fs a byte.
LINK = {
    "bandwidth": 10**12,
    "direction": "per_direction",
    "latency": 5_000,
    "send_buffer": 10_000,
    "receive_buffer": 10_000,
}


class Traffic:
    """A network and what happened on it; GPUs consume what arrives after ``hold_fs``, or never (``None``)."""

    def __init__(self, wiring, *, conditions=None, mirrored=False, hold_fs=0):
        self.env = simpy.Environment(0)
        self.network = Network(self.env, wiring, conditions, mirrored=mirrored)
        self.hold_fs = hold_fs
        self.arrived = []
        """(time, GPU, message), in order."""
        self.accepted = []
        """(time, message), in order."""
        for gpu in [0] if mirrored else range(wiring.gpus):
            self.network.attach(gpu, lambda message, gpu=gpu: self._deliver(gpu, message))

    def _deliver(self, gpu, message):
        self.arrived.append((self.env.now, gpu, message))
        if self.hold_fs is not None:
            call_at(self.env, self.env.now + self.hold_fs, lambda: self.network.consumed(message))

    def send(self, source, destinations, nbytes, *, at=0, **fields):
        """Send a message at a time; by default its home is its source."""
        destinations = (destinations,) if isinstance(destinations, int) else destinations
        given = {"operation": 0, "home": source, "move": 0, "piece": 0, "pieces": 9, "wire_bytes": nbytes}
        message = Message(source=source, destinations=destinations, nbytes=nbytes, **{**given, **fields})
        call_at(
            self.env,
            at,
            lambda: self.network.send(message, lambda: self.accepted.append((self.env.now, message))),
        )

    def run(self):
        """Run until nothing happens any more, and check that all is done and consistent."""
        self.env.run()
        assert self.network.waiting() == []
        assert self.network.faults(int(self.env.now)) == []
        return self

    def times(self, gpu=None):
        """Give the times of all deliveries, or of those at one GPU."""
        return [time for time, at, _ in self.arrived if gpu in {None, at}]


@pytest.fixture(scope="session")
def traffic():
    """Give the class of networks under test."""
    return Traffic


@pytest.fixture(scope="session")
def link():
    """Give a builder of links of 1000 fs a byte with a latency of 5000 fs, changed as asked."""
    return lambda **changes: LinkSpec(**{**LINK, **changes})


@pytest.fixture(scope="session")
def wired():
    """Give a builder of wirings by the name of the topology."""
    return lambda kind, gpus, link, **fields: get(KIND, kind)(**fields).wire(link, gpus)


class _Changed:
    """A cabling with some of what it says changed."""

    def __init__(self, cabling, changes):
        self.cabling = cabling
        self.changes = changes

    def __getattr__(self, name):
        return self.changes.get(name) or getattr(self.cabling, name)


@pytest.fixture(scope="session")
def changed():
    """Give a function that changes what a wiring's cabling says: ``links`` or ``route``."""
    return lambda wiring, **changes: replace(wiring, cabling=_Changed(wiring.cabling, changes))


@pytest.fixture(scope="session")
def one_channel(changed):
    """Give a function that puts all routes of a wiring on channel 0."""

    def put(wiring):
        return changed(wiring, route=lambda *ends: tuple(Hop(hop.edge) for hop in wiring.cabling.route(*ends)))

    return put
