"""A network in plain Python: every message on a link is a record of times, and every instant looks at all of them.

Used as the truth for the compiled links, routes and adders of switches. Little is counted or remembered but whose turn
was last: what a buffer holds, what is queued and who may go is worked out from the records at each instant.

What happens in one instant: own messages are accepted; links that nothing has come through yet start the next of them;
adders take what has come; then each link that is free chooses among all that is there; and those that are free still
may start what an adder has made in this instant. Every link takes some latency, so nothing of this leads to more now.
"""

import heapq
from collections import defaultdict
from dataclasses import dataclass, field
from math import inf

from t3sim.collectives.grid import turn
from t3sim.units import transfer_fs

OWN = (-1, 0)
"""The flow of what a node sends itself: before all others."""


@dataclass(eq=False)
class Passage:
    """A message on one link of its way; times that are not known yet are ``inf``."""

    message: object
    hop: object
    flow: tuple
    before: object = None
    onward: list = field(default_factory=list)
    adder: object = None
    """The one at the end of this link that it is for."""
    hold: int = 0
    """How long its receiver holds it before it gives the room back."""
    accepted: float = inf
    ready: tuple = (inf, 0)
    """When it may start, and 1 if an adder made it in that very instant."""
    start: float = inf
    end: float = inf
    arrived: float = inf
    freed: float = inf
    """When the receiver's room is given back."""


def after(last, places):
    """Put places that take turns in order: those after the last one, then from the first on."""
    places = sorted(set(places))
    return [each for each in places if each > last] + [each for each in places if each <= last]


class Line:
    """One link."""

    def __init__(self, spec):
        self.spec = spec
        self.own, self.through, self.sent = [], [], []
        """Messages: the node's own and those from other links that wait, in order, and those that have started."""
        self.last_channel = -1
        self.last_flow = defaultdict(lambda: (inf, 0))
        self.shared_from = inf
        """When the first message from another link comes."""

    def time(self, nbytes):
        """Time that bytes hold the wire."""
        return transfer_fs(nbytes, self.spec.bytes_per_s)

    def accept(self, now):
        """Take own messages into the send buffer, in order; one larger than all of it when it is empty."""
        for passage in self.own:
            if passage.accepted == inf:
                leaving = [each for each in self.sent if each.flow == OWN and each.end > now]
                held = [each for each in self.own if each.accepted <= now]
                nbytes = sum(each.message.nbytes for each in leaving + held)
                if nbytes and nbytes + passage.message.nbytes > self.spec.send_buffer:
                    return
                passage.accepted = now

    def has_room(self, passage, now):
        """Whether the receiver has room, as far as the sender knows; for more than all of it, when it is empty."""
        sent = [each for each in self.sent if each.hop.channel == passage.hop.channel]
        held = sum(each.message.nbytes for each in sent if each.freed + self.spec.latency > now)
        return held + min(passage.message.nbytes, self.spec.receive_buffer) <= self.spec.receive_buffer

    def first_own(self, now):
        """Give the first of the node's own messages, if it is accepted: the others wait for it."""
        return [each for each in self.own[:1] if each.accepted <= now]

    def queued(self, now, late):
        """List what may start: flow by flow in order."""
        there = [each for each in self.through if each.ready <= (now, late)]
        return self.first_own(now) + sorted(there, key=lambda each: each.ready)

    def next_of(self, queued, now):
        """Say who goes: channels take turns, and in each the flows; whose turn it is keeps it until it has room."""
        if self.sent and self.sent[-1].end > now:
            return None
        for channel in after(self.last_channel, [each.hop.channel for each in queued]):
            inside = [each for each in queued if each.hop.channel == channel]
            flow = after(self.last_flow[channel], [each.flow for each in inside])[0]
            passage = next(each for each in inside if each.flow == flow)
            if self.has_room(passage, now):
                self.last_channel, self.last_flow[channel] = channel, flow
                return passage
        return None


class Adder:
    """The adder of one output of a switch, which has entries for some sums."""

    def __init__(self, spec, network):
        self.spec = spec
        self.network = network
        self.coming, self.blocked, self.sums = [], [], []
        """Contributions: all with the times of their first bytes, those without an entry; lists of those with one."""
        self.busy_until = 0

    def work(self, now):
        """Add what has come. Without an entry it waits; the sum that waits longest gets the next one."""
        came = sorted((each for time, each in self.coming if time == now), key=self.network.rank)
        while True:
            has_entry = sum(not self.has_left(found, now) for found in self.sums) < self.spec.entries
            if self.blocked and has_entry:
                key = key_of(self.blocked[0])
                self.sums.append([])
                for each in [each for each in self.blocked if key_of(each) == key]:
                    self.blocked.remove(each)
                    self.add(self.sums[-1], each, now)
            elif came:
                one = came.pop(0)
                found = [each for each in self.sums if key_of(each[0]) == key_of(one)]
                if found:
                    self.add(found[0], one, now)
                else:
                    self.blocked.append(one)
            else:
                return

    def has_left(self, found, now):
        """Whether a sum is on all links that it takes, to its last byte."""
        return all(copy.end <= now for copy in self.network.first(found).onward)

    def add(self, found, one, now):
        """Add a contribution. It is through when all bytes have had their time here and its last one is there.

        With the first bytes of all contributions the sum goes on, and ends no earlier than they are through.
        """
        self.busy_until = max(self.busy_until, now) + transfer_fs(one.message.nbytes, self.spec.adder_rate)
        self.network.free(one, max(self.busy_until, one.arrived))
        found.append(one)
        if len(found) == one.message.merges:
            self.network.go_on(self.network.first(found), now, max(each.freed for each in found), now)


def key_of(passage):
    """Say what contributions to one sum have in common."""
    message = passage.message
    return message.operation, message.home, message.key, message.destinations, message.piece


class ReferenceNetwork:
    """All links of a wiring."""

    def __init__(self, wiring):
        self.wiring = wiring
        self.lines = {edge: Line(wiring.graph.edges[edge]["link"]) for edge in wiring.graph.edges}
        self.adders = {}
        self.times = []
        self.passages = []

    def run(self, sends):
        """Send (time, message, hold) in order of time; a GPU holds what arrives for so long.

        Give the times at which messages were accepted, by serial, and arrived, by serial and GPU.
        """
        waiting = list(sends)
        self.times = sorted({time for time, _, _ in sends})
        while self.times:
            now = heapq.heappop(self.times)
            while waiting and waiting[0][0] <= now:
                _, message, hold = waiting.pop(0)
                (passage,) = self.way(message, hold)
                self.lines[passage.hop.edge].own.append(passage)
            self.instant(now)
        own = {each.message.serial: each.accepted for each in self.passages if each.accepted < inf}
        ends = [each for each in self.passages if not each.onward and each.arrived < inf]
        return own, {(each.message.serial, each.hop.edge[1]): each.arrived for each in ends}

    def instant(self, now):
        """Do what can be done at a time."""
        lines = [line for line in self.lines.values() if line.own or line.through]
        for line in lines:
            line.accept(now)
            if now <= line.shared_from:
                self.start_next(line, line.first_own(now), now)
        for adder in self.adders.values():
            adder.work(now)
        for late in (0, 1):
            for line in self.lines.values():
                self.start_next(line, line.queued(now, late), now)

    def way(self, message, hold, depth=0, before=None, routes=None):
        """Lay out the passages of a message after ``depth`` hops: one for each link that its destinations need."""
        if routes is None:
            routes = {end: self.wiring.route(message.source, end, message.piece) for end in message.destinations}
        made = []
        for hop in dict.fromkeys(route[depth] for route in routes.values() if len(route) > depth):
            through = {end: route for end, route in routes.items() if route[depth] == hop}
            offset = min(turn(message.source, end, self.wiring.shape) for end in through)
            passage = Passage(message, hop, (depth, offset) if depth else OWN, before, hold=hold)
            passage.adder = self.adder_at(hop.edge[1], message, before)
            passage.onward = self.way(message, hold, depth + 1, passage, through)
            made.append(passage)
        self.passages += made
        return made

    def adder_at(self, node, message, before):
        """Give the adder that a message is for at a node, if any: those are in the first switch on its way."""
        if not message.merges or before is not None:
            return None
        switch = self.wiring.switches[node]
        output = message.destinations[0] if len(message.destinations) == 1 else message.home
        return self.adders.setdefault((node, output), Adder(switch, self))

    def rank(self, passage):
        """Order contributions: by the move of their plan, then by their distance from home."""
        return passage.message.move, turn(passage.message.home, passage.message.source, self.wiring.shape)

    def first(self, contributions):
        """Give the contribution as which a sum goes on."""
        return min(contributions, key=self.rank)

    def start_next(self, line, queued, now):
        """Put the message on the wire whose turn it is, and plan how it goes on."""
        passage = line.next_of(queued, now)
        if passage is None:
            return
        (line.own if passage.flow == OWN else line.through).remove(passage)
        line.sent.append(passage)
        passage.start, passage.end = now, now + line.time(passage.message.wire_bytes)
        passage.arrived = passage.end + line.spec.latency
        first = now + line.spec.latency
        self.wake(passage.end)
        if passage.adder:
            passage.adder.coming.append((first, passage))
            self.wake(first)
        elif passage.onward:
            self.go_on(passage, first, passage.arrived, now)
        else:
            self.free(passage, passage.arrived + passage.hold)
        if passage.before and not passage.before.adder:
            last = max(copy.end for copy in passage.before.onward)
            if last < inf:
                self.free(passage.before, last)

    def go_on(self, passage, first, last, now):
        """Let a message start on its next links when its first byte is there and its last one will be by the end."""
        for copy in passage.onward:
            line = self.lines[copy.hop.edge]
            begin = max(first, last - line.time(copy.message.wire_bytes))
            copy.ready = begin, int(begin == now)
            line.through.append(copy)
            line.shared_from = min(line.shared_from, begin)
            if begin > now:
                self.wake(begin)

    def free(self, passage, time):
        """Give back the room that a message holds at the end of a link; the sender knows it a latency later."""
        passage.freed = time
        self.wake(time + self.lines[passage.hop.edge].spec.latency)

    def wake(self, time):
        """Look at everything again at a time."""
        if time not in self.times:
            heapq.heappush(self.times, time)
