"""Messages on their way: one packet on each link, which goes on before all of it is there; compiled.

On its next link a packet may start when its first byte has come, and its last byte leaves no earlier than it has come.
It holds room in the input buffer of every node on its way until its last byte has left on the next link, and at its
destination until the GPU has consumed it.
"""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.clock import Order
from t3sim.hardware.plane.kinds import (
    ACCEPT,
    DELIVER,
    FORGET,
    FORWARD,
    GO,
    NOTHING,
    OFFER,
    SENT,
    TELL,
    TELL_SENT,
    TELL_WIRE,
)
from t3sim.hardware.plane.links import FORWARDING, carry, choose_later, give_back, pick, transfer_fs
from t3sim.hardware.plane.links import forward as queue_behind
from t3sim.hardware.plane.links import send as queue_own
from t3sim.hardware.plane.queue import give, push, schedule, take
from t3sim.hardware.plane.state import CONTRIBUTIONS, DUES, MESSAGES, NONE, OWN, PACKETS, ROOMS, State
from t3sim.hardware.plane.sums import choose_sums_later

LOCAL: Final = int(Order.LOCAL)
DELIVERY: Final = int(Order.DELIVERY)


@part
def new_message(state: State, template: int, piece: int, pieces: int, nbytes: int, wire_bytes: int) -> int:
    """Make a message; it is forgotten when nothing refers to it any more."""
    messages, clock = state.messages, state.clock[0]
    row = take(state, MESSAGES, messages)
    message = messages[row]
    clock.serials += 1
    message.template = template
    message.piece = piece
    message.pieces = pieces
    message.nbytes = nbytes
    message.wire_bytes = wire_bytes
    message.serial = clock.serials
    message.references = 0
    return row


@part
def forget(state: State, row: int) -> None:
    """Note that one thing less refers to a message."""
    message = state.messages[row]
    message.references -= 1
    if message.references == 0:
        give(state, MESSAGES, state.messages, row)


@part
def send_message(state: State, message: int, leg: int, kind: int, a: int, b: int) -> None:
    """Hand a message to the first link of its way; the frame is done when that has taken it."""
    packet = _new_packet(state, message, leg, NONE)
    row = state.packets[packet]
    row.kind = kind
    row.a = a
    row.b = b
    queue_own(state, packet)
    if state.clock[0].probing:
        push(state, TELL_SENT, packet, 0, 0)


@part
def post(state: State, message: int, leg: int, action: int) -> None:
    """Send a message of Python's."""
    send_message(state, message, leg, TELL if action else NOTHING, action, 0)


@part
def go_on_over(state: State, leg: int, message: int, room: int) -> None:
    """Queue a message for its next link."""
    packet = _new_packet(state, message, leg, room)
    state.messages[message].references -= 1  # the event's
    queue_behind(state, packet)


@part
def _new_packet(state: State, message: int, leg: int, room: int) -> int:
    row = take(state, PACKETS, state.packets)
    packet = state.packets[row]
    packet.nbytes = state.messages[message].nbytes
    packet.wire_bytes = state.messages[message].wire_bytes
    packet.message = message
    packet.leg = leg
    packet.room = room
    packet.channel = state.legs[leg].channel
    packet.flow = OWN if room == NONE else state.legs[leg].flow
    packet.kind = NOTHING
    packet.next = NONE
    state.messages[message].references += 1
    return row


@part
def go(state: State, number: int) -> None:
    """Start the next packet: at once where only the node's own packets go, first in, first out."""
    if state.links[number].shared:
        choose_later(state, number)
    else:
        start(state, number)


@part
def choose(state: State, number: int) -> None:
    """Start the packet whose turn it is."""
    state.links[number].choosing = 0
    start(state, number)


@part
def start(state: State, number: int) -> None:
    """Put the next packet on the wire, if the wire is free and a packet has room at the other end."""
    link = state.links[number]
    if link.sending != NONE:
        return
    row = pick(state, number)
    if row == NONE:
        return
    packet = state.packets[row]
    state.channels[packet.channel].credit -= packet.nbytes
    link.sending = row
    begin = carry(state, number, packet.wire_bytes)
    if begin == NONE:
        link.stuck = 1
        return
    if state.clock[0].probing:
        push(state, TELL_WIRE, number, packet.message, link.last_end)
    link.sent_bytes += packet.nbytes
    leg = state.legs[packet.leg]
    if leg.onward:
        _begins(state, row, begin + link.latency, link.last_end + link.latency)
    schedule(state, link.last_end, LOCAL, SENT, number, 0, 0)


@part
def _begins(state: State, row: int, first: int, last: int) -> None:
    """Plan how a packet goes on, whose first and last byte will be at the other end at these times."""
    packet = state.packets[row]
    leg = state.legs[packet.leg]
    room = new_room(state, leg.link, packet.channel, packet.nbytes, 1 if leg.sums else leg.onward, NONE)
    if not leg.sums:
        go_on(state, packet.leg, packet.message, room, first, last)
        return
    contribution = take(state, CONTRIBUTIONS, state.contributions)
    new = state.contributions[contribution]
    new.message = packet.message
    new.leg = packet.leg
    new.last = last
    new.room = room
    new.next = NONE
    state.messages[packet.message].references += 1
    schedule(state, first, FORWARDING, OFFER, contribution, 0, 0)


@part
def new_room(state: State, link: int, channel: int, nbytes: int, copies: int, reducer: int) -> int:
    """Make room that is held until so many copies have gone on: of a link's buffer, or an entry of a reducer's."""
    row = take(state, ROOMS, state.rooms)
    room = state.rooms[row]
    room.link = link
    room.channel = channel
    room.nbytes = nbytes
    room.copies = copies
    room.reducer = reducer
    return row


@part
def go_on(state: State, number: int, message: int, room: int, first: int, last: int) -> None:
    """Queue a message for all links that it takes from the end of a leg, as soon as it may start there."""
    leg = state.legs[number]
    for place in range(leg.first_onward, leg.first_onward + leg.onward):
        onward = state.onward[place]
        # On a faster link it starts later, so that it does not hold the wire while it waits for its last byte.
        rate = state.links[state.legs[onward].link].rate
        begin = max(first, last - transfer_fs(state.messages[message].wire_bytes, rate))
        state.messages[message].references += 1
        schedule(state, begin, FORWARDING, FORWARD, onward, message, room)


@part
def release(state: State, row: int) -> None:
    """Give back room for one copy; that of the last one goes home."""
    room = state.rooms[row]
    room.copies -= 1
    if room.copies:
        return
    if room.reducer == NONE:
        state.links[room.link].delivered_bytes += room.nbytes
        give_back(state, room.channel, room.nbytes)
        choose_later(state, room.link)
    else:
        state.reducers[room.reducer].free += 1
        choose_sums_later(state, room.reducer)
    give(state, ROOMS, state.rooms, row)


@part
def sent(state: State, number: int) -> None:
    """Let go of a packet whose last byte is on the wire, and start the next one."""
    link, now = state.links[number], state.clock[0].now
    row = link.sending
    packet = state.packets[row]
    link.sending = NONE
    if packet.flow == OWN:
        link.own_first = packet.next
        link.accepted -= 1
        link.buffered -= packet.nbytes
    leg = state.legs[packet.leg]
    push(state, GO, number, 0, 0)
    push(state, ACCEPT, number, 0, 0)
    if packet.room != NONE:
        release(state, packet.room)
    if leg.onward:
        push(state, FORGET, packet.message, 0, 0)
    else:
        _expect(state, packet.message, packet.leg, now + link.latency)
        schedule(state, now + link.latency, DELIVERY, DELIVER, leg.end, number, packet.nbytes)
    give(state, PACKETS, state.packets, row)


@part
def _expect(state: State, message: int, number: int, time: int) -> None:
    """Note a delivery to come.

    What arrives at a GPU in one instant over several links comes in the order of the kinds of these, which is the same
    for every rank.
    """
    leg, dues = state.legs[number], state.dues
    end = state.ends[leg.end]
    row = take(state, DUES, dues)
    due = dues[row]
    due.time = time
    due.kind = leg.kind
    due.message = message
    due.leg = number
    before, here = NONE, end.first_due
    while here != NONE and (dues[here].time < time or (dues[here].time == time and dues[here].kind < leg.kind)):
        before, here = here, dues[here].next
    due.next = here
    if before == NONE:
        end.first_due = row
    else:
        dues[before].next = row
