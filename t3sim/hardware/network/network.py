"""The network between GPUs: messages over links, switches and NICs, as packets that go on before all of it is there.

A message is one packet. On its next link it may start when its first byte has come, and its last byte leaves no
earlier than it has come: over links of one rate it takes ``bytes / rate + sum of latencies``. It holds room in the
input buffer of every node on its way until its last byte has left on the next link, and at its destination until
the GPU has consumed it; room comes home one latency later.

**Mirrored**, one GPU, rank 0, stands for all. Links that become each other as ranks are rotated are one link. What
rank 0 sends to rank ``k`` takes the way there over those links and is delivered to rank 0 itself, as what rank ``-k``
sends to it at that moment. All choices are made so that both give the same times, to the femtosecond, where all ranks
do the same and every hop takes some latency.

Here links and ways become rows of the data plane, which moves the messages (``hardware.plane.routes``).
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from t3sim.collectives.grid import rotated, turn
from t3sim.collectives.plan import MoveId
from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.network import report
from t3sim.hardware.network.conditions import Conditions, Tries, tries_of
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.message import Message, Template
from t3sim.hardware.network.view import Link, Sums
from t3sim.hardware.network.ways import Leg, Ways
from t3sim.hardware.network.wiring import Edge, Node, Wiring, link_name
from t3sim.hardware.plane import kinds
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.state import BEFORE_ALL, MESSAGES, NONE
from t3sim.hardware.probe import Probe
from t3sim.hardware.standing import LinkStanding
from t3sim.registry import UnknownNameError
from t3sim.units import transfer_fs

Deliver = Callable[[Message], None]

_DRAWN = 256  # packets for which tries are drawn at a time


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
        self._plane = plane_of(env)
        self._edges = _edges(wiring, mirrored=mirrored)
        self._tries: dict[int, Tries] = {}
        self.links: dict[str, Link] = {}
        """By name."""
        for edge, spec in self._edges.items():
            name = link_name(edge)
            self.links[name] = self._build(spec, name, conditions)
        for name in conditions.links:
            if name not in self.links:
                raise UnknownNameError("link", name, tuple(self.links))
        if mirrored and not conditions.alike(self.links):
            raise ValueError("a condition on a link makes ranks differ: simulate all GPUs, not one for all")
        self._by_number = {link.number: link for link in self.links.values()}
        self._ways = Ways(wiring, self.links, mirrored=mirrored)
        self.values: dict[int, Any] = {}
        """In data mode: what each message carries, by its row in the plane."""
        self._turns: dict[int, int] = {}
        self._probe: Probe | None = None
        self._reducers: dict[str, Sums] = {}
        self._keys: dict[tuple[Any, ...], int] = {}
        self._first_legs: dict[tuple[int, tuple[int, ...], int, bool], int] = {}
        self._templates: list[Template] = []
        self._template_of: dict[Template, int] = {}
        self._as_came: dict[tuple[int, int], Template] = {}
        self._receivers: dict[int, Deliver] = {}
        self._end = self._plane.add("ends", [(NONE,)] * (1 if mirrored else wiring.gpus))
        self._arrivals: dict[tuple[int, int, int, int], int] = {}
        self._expected: dict[tuple[int, int, int, int], list[int]] = {}
        self._plane.refill = self._refill
        self._plane.handlers |= {
            kinds.TELL_SENT: self._tell_sent,
            kinds.TELL_WIRE: self._tell_wire,
            kinds.TELL_DELIVERED: self._tell_delivered,
            kinds.TELL_RECEIVED: self._tell_received,
            kinds.TELL_CONSUMED: self._tell_consumed,
            kinds.TELL_ADDED: self._tell_added,
        }

    def attach(self, gpu: int, deliver: Deliver) -> None:
        """Let ``deliver`` take the messages that arrive at ``gpu`` and that no row of the plane is to take."""
        self._receivers[gpu] = deliver

    def expect(self, gpu: int, operation: int, arrivals: Mapping[MoveId, int]) -> None:
        """Let rows of the plane take what moves of an operation bring to ``gpu``: by home and number of the move."""
        for (home, move), row in arrivals.items():
            key = gpu, operation, home, move
            self._arrivals[key] = row
            for receiver in self._expected.get(key, ()):
                self._plane.rows("receivers")[receiver] = row

    def send(self, message: Message, accepted: Action | None = None) -> None:
        """Send ``message``. ``accepted`` runs when its first link has taken it into the send buffer.

        Raises ``ValueError`` when there is no way, or nothing on the way can do what the message asks for.
        """
        template = Template(
            message.operation,
            message.home,
            message.move,
            message.source,
            message.destinations,
            message.merges,
            message.key,
            message.part,
        )
        leg = self.first_leg(template, message.piece)
        sizes = message.piece, message.pieces, message.nbytes, message.wire_bytes
        serial = message.serial or self.next_serial()
        row = self._plane.take(MESSAGES, (self.template(template), *sizes, serial, 0))
        self._plane.perform(kinds.POST, row, leg, 0 if accepted is None else self._plane.action(accepted))
        if message.value is not None:
            self.values[row] = message.value
            self._plane.keep_values()

    def consumed(self, message: Message) -> None:
        """Give back the room that a delivered ``message`` held at its GPU."""
        if self._probe is not None:
            self._probe.message_consumed(message.destinations[0], message)
        link, channel = self._ways.last(message.source, message.destinations[0], message.piece)
        self._plane.perform(kinds.CONSUMED, link.number, self._channel(link, channel), message.nbytes)

    def next_serial(self) -> int:
        """Return a number that no other message of the run has."""
        return self._plane.next_serial()

    def observe(self, probe: Probe) -> None:
        """Let all links report to ``probe``."""
        self._probe = probe
        self._plane.observe()

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
        now, ends = int(self.env.now), self._plane.rows("ends")["first_due"][self._end :]
        on_the_way = (ends[: 1 if self.mirrored else self.wiring.gpus] != NONE).any()
        if self.waiting() or on_the_way or any(each.is_busy(now) for each in self._reducers.values()):
            return None
        if any(link.sent_bytes != link.delivered_bytes for link in self.links.values()):
            return None
        standings = ((name, link.standing()) for name, link in self.links.items())
        return tuple((name, standing) for name, standing in standings if standing.lanes)

    def resume(self, links: tuple[tuple[str, LinkStanding], ...]) -> None:
        """Go on from there, at time 0."""
        for name, standing in links:
            link = self.links[name]
            for lane in standing.lanes:
                self._channel(link, lane.number)
            link.resume(standing)

    def _circle(self) -> list[str]:
        return report.circle(self.links.values(), self._reducers.values(), self._missed_by)

    def faults(self, total_fs: int) -> list[str]:
        """Say in what a run of ``total_fs`` that has ended contradicts itself."""
        of_links = (fault for link in self.links.values() for fault in report.faults(link, total_fs))
        return [*of_links, *(fault for reducer in self._reducers.values() for fault in reducer.faults())]

    # Rows of the plane.

    @property
    def spread(self) -> int:
        """After how many pieces of a message the ways repeat."""
        return self.wiring.cabling.spread

    def first_legs(self, template: Template) -> list[int]:
        """Give the rows of the first legs of the ways of a move's pieces: as many as there are different ones."""
        return [self.first_leg(template, piece) for piece in range(self.spread)]

    def first_leg(self, template: Template, piece: int) -> int:
        """Give the row of the first leg of a piece's way. Raises ``ValueError`` as ``send`` does."""
        key = (template.source, template.destinations, piece % self.spread, template.merges > 0)
        row = self._first_legs.get(key)
        if row is None:
            row = self._first_legs[key] = self._way(self._ways.of(*key), template.destinations)
        return row

    def template(self, template: Template) -> int:
        """Give the row of what the messages of a move have in common."""
        row = self._template_of.get(template)
        if row is None:
            row = self._template_of[template] = self._new_template(template)
        return row

    def message(self, row: int, leg: int | None = None) -> Message:
        """Read a message; with the ``leg`` that it came by, as it is at its receiver."""
        number, piece, pieces, nbytes, wire_bytes, serial, *_ = self._plane.rows("messages")[row].item()
        template, value = self._templates[number], self.values.get(row)
        if leg is not None:
            several = len(template.destinations) > 1
            place = int(self._plane.rows("legs")["destination"][leg]) if several else 0
            value = copy(value) if several else value
            template = self._received(number, place)
        message: Message = template.message(piece, pieces, nbytes, wire_bytes, serial, value)
        return message

    def _received(self, number: int, place: int) -> Template:
        """Give a template as it is at its destination number ``place``."""
        found = self._as_came.get((number, place))
        if found is None:
            template = self._templates[number]
            found = self._as_came[number, place] = self._as_received(template, template.destinations[place])
        return found

    def place_of(self, link: int, channel: int) -> tuple[str, int] | None:
        """Name a link by its row, and the number of its channel; ``None``: it is none."""
        if link == NONE:
            return None
        return self._by_number[link].name, int(self._plane.rows("channels")["number"][channel])

    def _new_template(self, template: Template) -> int:
        received = []
        for destination in template.destinations:
            gpu, home = self._destination(template.home, destination)
            received.append((gpu, template.operation, home, template.move))
        first = self._plane.add("receivers", [self._arrivals.get(key, NONE) for key in received])
        for place, key in enumerate(received, first):
            self._expected.setdefault(key, []).append(place)
        key_number, adders = NONE, []
        if template.merges:
            for piece in range(self.spread):
                adder, group = self._sum_of(self._ways.adder(template.source, template.destinations, piece), template)
                adders.append(adder.number)
                key_number = self._keys.setdefault(group, len(self._keys))
        distance = turn(template.home, template.source, self.wiring.shape)
        row = (
            first,
            template.merges,
            self._plane.add("adders", adders) if adders else 0,
            self.spread,
            key_number,
            template.move,
            distance,
        )
        self._templates.append(template)
        return self._plane.add("templates", [row])

    def _way(self, first: Leg, destinations: tuple[int, ...]) -> int:
        """Add a way to the plane, from its ends on; give the row of its first leg."""
        legs = [first]
        for leg in legs:
            legs.extend(leg.onward)
        rows: dict[Leg, int] = {}
        for leg in reversed(legs):
            rows[leg] = self._leg(leg, [rows[each] for each in leg.onward], destinations)
        return rows[first]

    def _leg(self, leg: Leg, onward: Sequence[int], destinations: tuple[int, ...]) -> int:
        self._plane.margin(len(onward))
        end = destination = NONE
        if not onward:
            (gpu,) = leg.destinations
            end, destination = self._end + (0 if self.mirrored else gpu), destinations.index(gpu)
        first = self._plane.add("onward", onward)
        channel = self._channel(leg.link, leg.channel)
        row = leg.link.number, channel, leg.flow, leg.kind, end, destination, first, len(onward), int(leg.sums)
        return self._plane.add("legs", [row])

    def _channel(self, link: Link, number: int) -> int:
        """Give the row of a virtual channel."""
        row = link.channels.get(number)
        if row is None:
            capacity = link.spec.receive_buffer
            new = link.number, number, capacity, capacity, -1, BEFORE_ALL, NONE, NONE, NONE, NONE
            row = link.channels[number] = self._plane.add("channels", [new])
            chain = [link.channels[each] for each in sorted(link.channels)]
            self._plane.rows("links")["first_channel"][link.number] = chain[0]
            self._plane.rows("channels")["next"][chain] = [*chain[1:], NONE]
        return row

    def _build(self, spec: LinkSpec, name: str, conditions: Conditions) -> Link:
        condition, trouble = conditions.links.get(name), NONE
        if condition is not None:
            changes = {
                "bandwidth": max(2, int(spec.bandwidth * condition.rate)),
                "latency": int(spec.latency * condition.latency),
            }
            spec = spec.model_copy(update=changes)
            downs = [(down.start, NONE if down.end is None else down.end) for down in condition.down]
            outage, tries = self._plane.add("outages", downs), tries_of(condition, conditions.seed, name)
            drawn = [] if tries is None else tries.next(_DRAWN).tolist()
            first = self._plane.add("tries", drawn)
            of_trouble = condition.retry, outage, len(downs), int(tries is not None), first, first, first + len(drawn)
            trouble = self._plane.add("troubles", [of_trouble])
            if tries is not None:
                self._tries[trouble] = tries
        empty = [NONE, 0, 0, 0, 0, 0, 0, NONE, 0, NONE, NONE, NONE, NONE, trouble]
        row = (spec.bytes_per_s, spec.latency, spec.send_buffer, 0, 0, 0, 0, 0, *empty)
        return Link(self, self._plane, self._plane.add("links", [row]), spec, name)

    def _refill(self) -> None:
        """Draw for more packets where all that was drawn is used up."""
        troubles = self._plane.rows("troubles")
        for number, tries in self._tries.items():
            trouble = troubles[number]
            if trouble["next_try"] == trouble["end_try"]:
                first = int(trouble["first_try"])
                self._plane.rows("tries")[first : int(trouble["end_try"])] = tries.next(_DRAWN)
                trouble["next_try"] = first

    def _sum_of(self, node: Node, template: Template) -> tuple[Sums, tuple[Any, ...]]:
        """Name the sum that messages contribute to at ``node``, and the adder and buffer that it takes.

        Those are of the output to its destination, or with several destinations to its home.
        """
        shape = self.wiring.shape
        output = template.destinations[0] if len(template.destinations) == 1 else template.home
        by = turn(output, 0, shape) if self.mirrored else 0
        destinations = tuple(sorted(rotated(each, by, shape) for each in template.destinations))
        group = (template.operation, rotated(template.home, by, shape), template.key, destinations)
        place = self.wiring.cabling.moved(node, partial(rotated, by=by, shape=shape))
        name = f"{place} output {rotated(output, by, shape)}"
        reducer = self._reducers.get(name)
        if reducer is None:
            spec = self.wiring.switches[str(node)]
            row = (spec.adder_rate, spec.entries, spec.entries, 0, 0, *[NONE] * 7)
            reducer = self._reducers[name] = Sums(self, self._plane, self._plane.add("reducers", [row]), name)
        return reducer, group

    def _missed_by(self, message: Message) -> list[str]:
        """Name the output that has begun the sum which ``message`` is to contribute to."""
        if not message.merges:
            return []
        template = Template(*(getattr(message, name) for name in Template._fields))
        node = self._ways.adder(message.source, message.destinations, message.piece)
        reducer, group = self._sum_of(node, template)
        key = self._keys[group]
        return [reducer.name] if any((key, message.piece) == found[:2] for found in reducer.open()) else []

    def _as_received(self, template: Template, destination: int) -> Template:
        """Give what comes to a GPU: mirrored, to rank 0 as ``template`` goes from it to ``destination``."""
        source, (gpu, home) = template.source, self._destination(template.home, destination)
        if self.mirrored:
            source = rotated(source, self._turns[destination], self.wiring.shape)
        return template._replace(source=source, destinations=(gpu,), home=home)

    def _destination(self, home: int, destination: int) -> tuple[int, int]:
        """Give the GPU at which something arrives, and its home as it is there."""
        if not self.mirrored:
            return destination, home
        by = self._turns.get(destination)
        if by is None:
            by = self._turns[destination] = turn(destination, 0, self.wiring.shape)
        return 0, rotated(home, by, self.wiring.shape)

    # What the plane tells.

    def _gpu(self, end: int) -> int:
        return end - self._end

    def _tell_sent(self, packet: int, _b: int, _c: int) -> None:
        assert self._probe is not None
        row = self._plane.rows("packets")[packet]
        message = self.message(int(row["message"]))
        self._probe.message_sent(message.source, message)
        kind, a, b = int(row["kind"]), int(row["a"]), int(row["b"])
        accepted = None if kind == kinds.NOTHING else lambda: self._plane.perform(kind, a, b)
        accepted = self._probe.message_accepted(message.source, message, accepted)
        if accepted is not None:
            row["kind"], row["a"], row["b"] = kinds.TELL, self._plane.action(accepted), 0

    def _tell_wire(self, number: int, row: int, end_fs: int) -> None:
        assert self._probe is not None
        link, message = self._by_number[number], self.message(row)
        start_fs = end_fs - transfer_fs(message.wire_bytes, link.bytes_per_s)
        self._probe.message_on_wire(link.name, message, start_fs, end_fs)

    def _tell_delivered(self, end: int, row: int, leg: int) -> None:
        assert self._probe is not None
        self._probe.message_delivered(self._gpu(end), self.message(row, leg))

    def _tell_received(self, end: int, row: int, leg: int) -> None:
        self._receivers[self._gpu(end)](self.message(row, leg))

    def _tell_consumed(self, row: int, leg: int, _c: int) -> None:
        assert self._probe is not None
        message = self.message(row, leg)
        self._probe.message_consumed(message.destinations[0], message)

    def _tell_added(self, one: int, other: int, result: int) -> None:
        self.values[result] = self.values[one] + self.values[other]


def _edges(wiring: Wiring, *, mirrored: bool) -> dict[Edge, LinkSpec]:
    """List the links to simulate."""
    if mirrored:
        return dict(wiring.cabling.links(0))
    return {edge: wiring.graph.edges[edge]["link"] for edge in wiring.graph.edges}
