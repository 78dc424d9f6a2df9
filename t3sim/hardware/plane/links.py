"""Links: a serial wire, a send buffer and credits for the receiver's buffer in each virtual channel; compiled.

A packet holds send-buffer space from acceptance until its last byte is on the wire, and receiver space from its
first byte until the receiver has consumed it. Its last byte arrives ``bytes / bandwidth + latency`` after the first
was sent. Space given back reaches the sender one latency later.

What the node at the sending end sends itself goes first in, first out. Once packets from other links come through,
the virtual channels take turns, and in each of them the flows, of which the node's own packets are one. Who goes next
is then decided at the end of an instant, when all that comes in it is there, so that it does not depend on which GPU
was built first. A packet that waits for credit keeps its turn in its channel: no flow starves.
"""

from typing import Final

import numpy as np

from t3sim.compiled import part
from t3sim.hardware.clock import Order
from t3sim.hardware.plane.kinds import ACCEPT, CHOOSE, GO, NOTHING
from t3sim.hardware.plane.queue import append, give, push, schedule, take
from t3sim.hardware.plane.state import FLOWS, NONE, OWN, RETURNS, State
from t3sim.units import FS_PER_S

CREDIT: Final = int(Order.CREDIT)
FORWARDING: Final = int(Order.FORWARD)


@part
def transfer_fs(nbytes: int, bytes_per_s: int) -> int:
    """Return the femtoseconds that ``nbytes`` take at a rate, rounded up, as ``units.transfer_fs`` does.

    The product does not fit 64 bits, but what is left of it when the quotient's nearest number is taken off does.
    """
    near = np.int64(float(nbytes) * float(FS_PER_S) / float(bytes_per_s))
    rest = np.int64(nbytes) * np.int64(FS_PER_S) - near * np.int64(bytes_per_s)
    return int(near + rest // bytes_per_s + (rest % bytes_per_s > 0))


@part
def send(state: State, packet: int) -> None:
    """Queue a packet of the node's own at the link of its channel."""
    packets = state.packets
    number = state.channels[packets[packet].channel].link
    link = state.links[number]
    link.own_first = append(packets, link.own_first, link.own_last, packet)
    link.own_last = packet
    if link.own_unaccepted == NONE:
        link.own_unaccepted = packet
    push(state, GO, number, 0, 0)
    push(state, ACCEPT, number, 0, 0)


@part
def accept(state: State, number: int) -> None:
    """Take packets into the send buffer in order; one larger than the whole buffer passes when it is empty."""
    link = state.links[number]
    while link.own_unaccepted != NONE:
        packet = state.packets[link.own_unaccepted]
        if link.buffered and link.buffered + packet.nbytes > link.send_buffer:
            return
        link.buffered += packet.nbytes
        link.accepted += 1
        link.own_unaccepted = packet.next
        if packet.kind != NOTHING:
            push(state, ACCEPT, number, 0, 0)
            push(state, packet.kind, packet.a, packet.b, 0)
            return


@part
def forward(state: State, packet: int) -> None:
    """Queue a packet that has come over another link behind those of its flow."""
    packets, flows = state.packets, state.flows
    channel = state.channels[packets[packet].channel]
    number = packets[packet].flow
    link = state.links[channel.link]
    link.shared = 1
    if channel.first_flow == NONE:
        link.waiting += 1
    before, here = NONE, channel.first_flow
    while here != NONE and flows[here].number < number:
        before, here = here, flows[here].next
    packets[packet].next = NONE
    if here != NONE and flows[here].number == number:
        packets[flows[here].last].next = packet
        flows[here].last = packet
    else:
        new = take(state, FLOWS, flows)
        flows[new].number = number
        flows[new].first = packet
        flows[new].last = packet
        flows[new].next = here
        if before == NONE:
            channel.first_flow = new
        else:
            flows[before].next = new
    choose_later(state, channel.link)


@part
def choose_later(state: State, number: int) -> None:
    """Choose the next packet at the end of this instant."""
    link = state.links[number]
    if link.sending == NONE and link.choosing == 0 and (link.accepted or link.waiting):
        link.choosing = 1
        schedule(state, state.clock[0].now, FORWARDING, CHOOSE, number, 0, 0)


@part
def give_back(state: State, number: int, nbytes: int) -> None:
    """Send space of a channel's buffer home."""
    latency = state.links[state.channels[number].link].latency
    return_at(state, number, state.clock[0].now + latency, nbytes)


@part
def return_at(state: State, number: int, time: int, nbytes: int) -> None:
    """Let space of a channel's buffer be home at ``time``."""
    channel, returns = state.channels[number], state.returns
    row = take(state, RETURNS, returns)
    returns[row].time = time
    returns[row].nbytes = nbytes
    channel.first_return = append(returns, channel.first_return, channel.last_return, row)
    channel.last_return = row


@part
def has_room(state: State, number: int, nbytes: int) -> bool:
    """Whether the receiver has room; if not, look again when more space is known to be free.

    More than all of its buffer passes when that is empty. Credits cost an event only when a packet waits for them.
    """
    channel, returns, now = state.channels[number], state.returns, state.clock[0].now
    while channel.first_return != NONE and returns[channel.first_return].time <= now:
        row = channel.first_return
        channel.credit += returns[row].nbytes
        channel.first_return = returns[row].next
        give(state, RETURNS, returns, row)
    if channel.credit >= min(nbytes, channel.capacity):
        return True
    if channel.first_return != NONE and returns[channel.first_return].time != channel.look_again:
        channel.look_again = returns[channel.first_return].time
        schedule(state, channel.look_again, CREDIT, GO, channel.link, 0, 0)
    return False


@part
def pick(state: State, number: int) -> int:
    """Choose the packet to start, from the next channel whose turn it is and that has room at the receiver."""
    link, channels = state.links[number], state.channels
    own = link.own_first if link.accepted else NONE
    if link.waiting == 0:
        if own == NONE:
            return NONE
        channel = channels[state.packets[own].channel]
        if not has_room(state, state.packets[own].channel, state.packets[own].nbytes):
            return NONE
        link.last_channel = channel.number
        channel.last_flow = OWN
        return int(own)
    last = link.last_channel
    for turn in range(2):
        here = link.first_channel
        while here != NONE:
            if (channels[here].number > last) == (turn == 0):
                packet = _next_of(state, here, own)
                if packet != NONE and has_room(state, here, state.packets[packet].nbytes):
                    _take(state, here, packet)
                    return int(packet)
            here = channels[here].next
    return NONE


@part
def _next_of(state: State, number: int, own: int) -> int:
    """Say whose turn it is in a channel, ``NONE`` if nobody's: the flows take turns in the order of their numbers."""
    channel, flows = state.channels[number], state.flows
    if own != NONE and state.packets[own].channel != number:
        own = NONE
    here = channel.first_flow
    if here == NONE:
        return own
    while here != NONE and flows[here].number <= channel.last_flow:
        here = flows[here].next
    if here != NONE:
        return int(flows[here].first)
    return int(own if own != NONE else flows[channel.first_flow].first)


@part
def _take(state: State, number: int, packet: int) -> None:
    """Note that it is a packet's turn, which leaves the queue of its flow."""
    channel, flows, packets = state.channels[number], state.flows, state.packets
    link, flow = state.links[channel.link], packets[packet].flow
    channel.last_flow = flow
    link.last_channel = channel.number
    if flow == OWN:
        return
    before, here = NONE, channel.first_flow
    while flows[here].number != flow:
        before, here = here, flows[here].next
    flows[here].first = packets[packet].next
    if flows[here].first != NONE:
        return
    if before == NONE:
        channel.first_flow = flows[here].next
    else:
        flows[before].next = flows[here].next
    give(state, FLOWS, flows, here)
    if channel.first_flow == NONE:
        link.waiting -= 1


@part
def carry(state: State, number: int, wire_bytes: int) -> int:
    """Put a packet on the wire now; say when the try that succeeds begins, ``NONE`` if it never gets through.

    It ends at the link's ``last_end``. Of a link in trouble, what is on the wire as it goes down goes on after.
    """
    link, now = state.links[number], state.clock[0].now
    duration = transfer_fs(wire_bytes, link.rate)
    begin, end, tries = now, now + duration, 1
    if link.trouble != NONE:
        trouble = state.troubles[link.trouble]
        if trouble.lossy:
            tries = state.tries[trouble.next_try]
            trouble.next_try += 1
            if trouble.next_try == trouble.end_try:
                state.clock[0].need = 1
        begin = now
        for last in range(tries):
            begin = _up_from(state, link.trouble, begin)
            end = _end(state, link.trouble, begin, duration) if begin != NONE else NONE
            if end == NONE:
                link.overlaps += now < link.last_end
                return NONE
            if last < tries - 1:
                begin = end + trouble.retry
    link.overlaps += now < link.last_end
    link.last_end = end
    link.busy += duration * tries
    link.wire_bytes += wire_bytes * tries
    return int(begin)


@part
def _up_from(state: State, trouble: int, time: int) -> int:
    """First moment from ``time`` on at which the link is up."""
    first = state.troubles[trouble].first_outage
    for row in range(first, first + state.troubles[trouble].outages):
        outage = state.outages[row]
        if outage.start <= time:
            if outage.end == NONE:
                return NONE
            time = max(time, outage.end)
    return int(time)


@part
def _end(state: State, trouble: int, begin: int, duration: int) -> int:
    """When ``duration`` of carrying are over that begin at ``begin``."""
    end = begin + duration
    first = state.troubles[trouble].first_outage
    for row in range(first, first + state.troubles[trouble].outages):
        outage = state.outages[row]
        if begin <= outage.start < end:
            if outage.end == NONE:
                return NONE
            end += outage.end - outage.start
    return int(end)
