"""The network between GPUs: messages over links, switches and NICs, as packets that go on before all of them is there.

A message is one packet. On its next link it may start when its first byte has come, and its last byte leaves no
earlier than it has come: over links of one rate it takes ``bytes / rate + sum of latencies``. It holds room in the
input buffer of every node on its way until its last byte has left on the next link, and at its destination until
the GPU has consumed it; room comes home one latency later.

**Mirrored**, one GPU, rank 0, stands for all. Links that become each other as ranks are rotated are one link. What
rank 0 sends to rank ``k`` takes the way there over those links and is delivered to rank 0 itself, as what rank ``-k``
sends to it at that moment. All choices are made so that both give the same times, to the femtosecond, where all ranks
do the same and every hop takes some latency.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from heapq import heappop, heappush
from typing import NamedTuple

from t3sim.collectives.grid import rotated, turn
from t3sim.hardware.clock import Action, Environment, Order, call_at
from t3sim.hardware.network import report
from t3sim.hardware.network.conditions import Conditions, Trouble
from t3sim.hardware.network.lane import OWN, Packet, Room
from t3sim.hardware.network.link import Link, LinkSpec
from t3sim.hardware.network.message import Message
from t3sim.hardware.network.reducer import Contribution, Group, Reducer
from t3sim.hardware.network.ways import Leg, Ways
from t3sim.hardware.network.wiring import Edge, Node, Wiring, link_name
from t3sim.hardware.probe import Probe
from t3sim.hardware.standing import LinkStanding
from t3sim.registry import UnknownNameError

Deliver = Callable[[Message], None]


@dataclass(slots=True, eq=False)
class _Room:
    """Room at the receiving end of a link that a packet holds until all copies of it have gone on."""

    link: Link
    channel: int
    nbytes: int
    copies: int

    def release(self) -> None:
        self.copies -= 1
        if not self.copies:
            self.link.passed_on(self.nbytes, self.channel)

    def held_at(self) -> tuple[str, int]:
        return self.link.name, self.channel


class _Due(NamedTuple):
    """A delivery to come."""

    time_fs: int
    kind: int
    """Of the link it comes over; two over one link are never due at once."""
    message: Message


class Network:
    """All links of a group of GPUs, and what travels over them."""

    def __init__(
        self, env: Environment, wiring: Wiring, conditions: Conditions | None = None, *, mirrored: bool
    ) -> None:
        """Build the links: of all GPUs, or ``mirrored`` those of rank 0, which stand for all.

        Raises ``ValueError`` for a condition on a link that does not exist, and when the ranks are not all alike but
        one is to stand for all.
        """
        self.env = env
        self.wiring = wiring
        self.mirrored = mirrored
        conditions = conditions or Conditions()
        if mirrored and not wiring.rotations:
            raise ValueError(f"the wiring is not the same from each rank of a grid {wiring.shape}: simulate all GPUs")
        self._edges = _edges(wiring, mirrored=mirrored)
        self.links: dict[str, Link] = {}
        """By name."""
        for edge, spec in self._edges.items():
            name = link_name(edge)
            self.links[name] = _build(env, spec, name, conditions)
        for name in conditions.links:
            if name not in self.links:
                raise UnknownNameError("link", name, tuple(self.links))
        if mirrored and not conditions.alike(self.links):
            raise ValueError("a condition on a link makes ranks differ: simulate all GPUs, not one for all")
        self._ways = Ways(wiring, self.links, mirrored=mirrored)
        self._serials = 0
        self._turns: dict[int, int] = {}
        self._probe: Probe | None = None
        self._reducers: dict[str, Reducer] = {}
        self._receivers: dict[int, Deliver] = {}
        # Deliveries to come, by GPU: what arrives at one in one instant over several links comes in the order of the
        # kinds of these, which is the same for every rank.
        self._due: dict[int, list[_Due]] = {}

    def attach(self, gpu: int, deliver: Deliver) -> None:
        """Let ``deliver`` take the messages that arrive at ``gpu``."""
        self._receivers[gpu] = deliver
        self._due[gpu] = []

    def send(self, message: Message, accepted: Action | None = None) -> None:
        """Send ``message``. ``accepted`` runs when its first link has taken it into the send buffer.

        Raises ``ValueError`` when there is no way, or nothing on the way can do what the message asks for.
        """
        if self._probe is not None:
            self._probe.message_sent(message.source, message)
            accepted = self._probe.message_accepted(message.source, message, accepted)
        self._put(self._ways.of(message), message, None, accepted)

    def consumed(self, message: Message) -> None:
        """Give back the room that a delivered ``message`` held at its GPU."""
        if self._probe is not None:
            self._probe.message_consumed(message.destinations[0], message)
        link, channel = self._ways.last(message.source, message.destinations[0], message.piece)
        link.consumed(message.nbytes, channel)

    def next_serial(self) -> int:
        """Return a number that no other message of the run has."""
        self._serials += 1
        return self._serials

    def observe(self, probe: Probe) -> None:
        """Let all links report to ``probe``."""
        self._probe = probe
        for link in self.links.values():
            link.probe = probe

    def bytes_per_s(self, source: int, destination: int) -> int:
        """Rate at which ``source`` can send to ``destination``: of its links that the pieces of a message take."""
        return self.wiring.bytes_per_s(source, destination)

    def out_links(self, gpu: int) -> tuple[Link, ...]:
        """List the links that lead out of ``gpu``."""
        return tuple(self.links[link_name(edge)] for edge in self._edges if edge[0] == gpu)

    def route_latency_fs(self, source: int, destination: int) -> int:
        """Time from the last byte sent by ``source`` to its arrival at ``destination``, with nothing in its way."""
        return self._ways.latency_fs(source, destination)

    def waiting(self) -> list[str]:
        """Say what is queued where and why, for a stall report, and which links wait for each other in a circle."""
        sums = [line for reducer in self._reducers.values() for line in reducer.waiting()]
        return [*(line for link in self.links.values() for line in link.waiting()), *sums, *self._circle()]

    def standing(self) -> tuple[tuple[str, LinkStanding], ...] | None:
        """Say how the links that were used stand; ``None`` where something is on its way."""
        now = int(self.env.now)
        if self.waiting() or any(self._due.values()) or any(each.is_busy(now) for each in self._reducers.values()):
            return None
        if any(link.sent_bytes != link.delivered_bytes for link in self.links.values()):
            return None
        return tuple((name, link.standing()) for name, link in self.links.items() if link.lanes)

    def resume(self, links: tuple[tuple[str, LinkStanding], ...]) -> None:
        """Go on from there, at time 0."""
        for name, standing in links:
            self.links[name].resume(standing)

    def _circle(self) -> list[str]:
        def sum_of(message: Message) -> tuple[Reducer, Group]:
            return self._sum_of(self._ways.adder(message), message)

        return report.circle(self.links.values(), self._reducers.values(), sum_of)

    def faults(self, total_fs: int) -> list[str]:
        """Say in what a run of ``total_fs`` that has ended contradicts itself."""
        of_links = (fault for link in self.links.values() for fault in report.faults(link, total_fs))
        return [*of_links, *(fault for reducer in self._reducers.values() for fault in reducer.faults())]

    def _put(self, leg: Leg, message: Message, room: Room | None, accepted: Action | None = None) -> None:
        """Queue ``message`` for the link of ``leg``."""
        packet = Packet(
            message.nbytes,
            message.wire_bytes,
            accepted=accepted,
            room=room,
            channel=leg.channel,
            flow=OWN if room is None else leg.flow,
            message=message,
        )
        if leg.onward:
            packet.begins = partial(self._begins, leg, message)
            packet.left = None if room is None else room.release
        else:
            (gpu,) = leg.destinations
            packet.left = partial(self._expect, 0 if self.mirrored else gpu, leg, message, room)
            packet.deliver = partial(self._deliver, 0 if self.mirrored else gpu)
        if room is None:
            leg.link.send(packet)
        else:
            leg.link.forward(packet)

    def _begins(self, leg: Leg, message: Message, first_fs: int, last_fs: int) -> None:
        """Plan how ``message`` goes on after ``leg``, where its first and last byte will be at these times."""
        if leg.sums:
            room = _Room(leg.link, leg.channel, message.nbytes, 1)
            reducer, group = self._sum_of(leg.end, message)
            onward = partial(self._go_on, leg)
            order = (message.move, turn(message.home, message.source, self.wiring.shape), leg.flow)
            contribution = Contribution(group, order, message, last_fs, room, onward, len(leg.onward))
            call_at(self.env, first_fs, partial(reducer.offer, contribution), Order.FORWARD)
        else:
            room = _Room(leg.link, leg.channel, message.nbytes, len(leg.onward))
            self._go_on(leg, message, room, first_fs, last_fs)

    def _go_on(self, leg: Leg, message: Message, room: Room, first_fs: int, last_fs: int) -> None:
        """Queue ``message`` for all links that it takes from the end of ``leg``, as soon as it may start there."""
        for onward in leg.onward:
            # On a faster link it starts later, so that it does not hold the wire while it waits for its last byte.
            start = max(first_fs, last_fs - onward.link.duration_fs(message.wire_bytes))
            call_at(self.env, start, partial(self._put, onward, _copy(message, leg, onward), room), Order.FORWARD)

    def _sum_of(self, node: Node, message: Message) -> tuple[Reducer, Group]:
        """Name the sum that ``message`` contributes to at ``node``, and the adder and buffer that it takes.

        Those are of the output to its destination, or with several destinations to its home.
        """
        shape = self.wiring.shape
        output = message.destinations[0] if len(message.destinations) == 1 else message.home
        by = turn(output, 0, shape) if self.mirrored else 0
        destinations = tuple(sorted(rotated(each, by, shape) for each in message.destinations))
        group = (message.operation, rotated(message.home, by, shape), message.key, message.piece, destinations)
        place = self.wiring.cabling.moved(node, partial(rotated, by=by, shape=shape))
        name = f"{place} output {rotated(output, by, shape)}"
        reducer = self._reducers.get(name)
        if reducer is None:
            spec = self.wiring.switches[str(node)]
            reducer = self._reducers[name] = Reducer(self.env, spec, name)
        return reducer, group

    def _expect(self, gpu: int, leg: Leg, message: Message, room: Room | None) -> None:
        """Note the delivery of what has just left on its last link."""
        if room is not None:
            room.release()
        if self.mirrored:
            message = self._as_received(message, leg.destinations[0])
        heappush(self._due[gpu], _Due(int(self.env.now) + leg.link.spec.latency, leg.kind, message))

    def _deliver(self, gpu: int) -> None:
        message = heappop(self._due[gpu]).message
        if self._probe is not None:
            self._probe.message_delivered(gpu, message)
        self._receivers[gpu](message)

    def _as_received(self, message: Message, destination: int) -> Message:
        """Give the message that comes to rank 0 as ``message`` goes from it to ``destination``."""
        shape = self.wiring.shape
        by = self._turns.get(destination)
        if by is None:
            by = self._turns[destination] = turn(destination, 0, shape)
        return message.redirected(rotated(message.source, by, shape), (0,), rotated(message.home, by, shape))


def _edges(wiring: Wiring, *, mirrored: bool) -> dict[Edge, LinkSpec]:
    """List the links to simulate."""
    if mirrored:
        return dict(wiring.cabling.links(0))
    return {edge: wiring.graph.edges[edge]["link"] for edge in wiring.graph.edges}


def _build(env: Environment, spec: LinkSpec, name: str, conditions: Conditions) -> Link:
    condition = conditions.links.get(name)
    if condition is None:
        return Link(env, spec, name)
    changes = {
        "bandwidth": max(2, int(spec.bandwidth * condition.rate)),
        "latency": int(spec.latency * condition.latency),
    }
    return Link(env, spec.model_copy(update=changes), name, Trouble(condition, conditions.seed, name))


def _copy(message: Message, leg: Leg, onward: Leg) -> Message:
    """Give what goes on over one of the legs: itself, or one of several copies."""
    if len(leg.onward) == 1:
        return message
    return replace(message, destinations=onward.destinations, value=copy(message.value))
