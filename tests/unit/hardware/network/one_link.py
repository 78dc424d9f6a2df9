"""One link by itself: a network of two GPUs, of which the first sends."""

import simpy

from t3sim.hardware.network.message import Message
from t3sim.hardware.network.network import Network
from t3sim.hardware.network.topologies import KIND
from t3sim.hardware.plane.kinds import CONSUMED
from t3sim.hardware.plane.plane import plane_of
from t3sim.registry import get


class OneLink:
    """A link from GPU 0 to GPU 1; each packet has its own receiver."""

    def __init__(self, spec, env=None):
        self.env = env or simpy.Environment(0)
        self.network = Network(self.env, get(KIND, "ring")().wire(spec, 2), mirrored=False)
        self.link = self.network.links["Link[0->1]"]
        self._deliver = {}
        self.network.attach(1, lambda message: self._deliver.pop(message.serial)())

    def send(self, nbytes, deliver, accepted=None, wire_bytes=None):
        """Send a packet now."""
        serial = self.network.next_serial()
        self._deliver[serial] = deliver
        message = Message(
            operation=0,
            home=0,
            move=0,
            piece=0,
            pieces=1,
            source=0,
            destinations=(1,),
            nbytes=nbytes,
            wire_bytes=wire_bytes or nbytes,
            serial=serial,
        )
        self.network.send(message, accepted)

    def consumed(self, nbytes):
        """Give back space of the receiver's buffer, of a packet or a part of it."""
        plane_of(self.env).perform(CONSUMED, self.link.number, self.link.channels[0], nbytes)
