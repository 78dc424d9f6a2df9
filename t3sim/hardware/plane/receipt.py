"""What becomes of messages at the GPU that they are for; compiled."""

from t3sim.compiled import part
from t3sim.hardware.memory.access import Access, Stream
from t3sim.hardware.plane.kinds import (
    CONSUMED,
    FORGET,
    GO,
    LANDED,
    MARK,
    RECEIVE,
    TELL_CAME,
    TELL_CONSUMED,
    TELL_DELIVERED,
    TELL_PUT,
    TELL_RECEIVED,
)
from t3sim.hardware.plane.links import give_back
from t3sim.hardware.plane.memory import submit
from t3sim.hardware.plane.queue import give, push, take
from t3sim.hardware.plane.state import DUES, INCOMING, NONE, State
from t3sim.hardware.plane.trigger_state import COUNT, TELL_TILE_CAME, TELL_TILE_PUT, TILE_LANDED

_WRITES = 2 * int(Stream.COMMUNICATION) + (int(Access.WRITE) > 0)


@part
def deliver(state: State, number: int, link: int, nbytes: int) -> None:
    """Hand the message that is due at a GPU to its receiver."""
    state.links[link].delivered_bytes += nbytes
    end, dues = state.ends[number], state.dues
    row = end.first_due
    due = dues[row]
    end.first_due = due.next
    message = due.message
    leg = state.legs[due.leg]
    template = state.templates[state.messages[message].template]
    arrival = state.receivers[template.first_receiver + leg.destination]
    if arrival == NONE:
        push(state, FORGET, message, 0, 0)
        push(state, TELL_RECEIVED, number, message, due.leg)
    else:
        push(state, RECEIVE, message, due.leg, 0)
    if state.clock[0].probing:
        push(state, TELL_DELIVERED, number, message, due.leg)
    give(state, DUES, dues, row)


@part
def receive(state: State, message: int, leg: int, number: int) -> None:
    """Write the pieces that a message stands for to memory, from the ``number``-th on.

    Where sender and receiver cut a chunk alike, that is the one of its own number.
    """
    found = state.messages[message]
    template = state.templates[found.template]
    row = state.receivers[template.first_receiver + state.legs[leg].destination]
    arrival = state.arrivals[row]
    first = found.piece * arrival.pieces // found.pieces
    end = (found.piece + 1) * arrival.pieces // found.pieces
    if first == end:
        _consumed(state, message, leg)
        return
    piece = first + number
    if piece + 1 < end:
        push(state, RECEIVE, message, leg, number + 1)
    new = take(state, INCOMING, state.incoming)
    incoming = state.incoming[new]
    incoming.arrival = row
    incoming.piece = piece
    incoming.message = message
    incoming.leg = leg
    incoming.is_last = piece + 1 == end
    nbytes = state.pieces[arrival.first_piece + piece]
    if arrival.station == NONE:
        kernel_row = state.kernels[arrival.kernel]
        controller, cause, kind = kernel_row.controller, kernel_row.write_cause, LANDED
    else:
        unit = state.units[state.stations[arrival.station].unit]
        controller, cause, kind = unit.controller, unit.write_cause, TILE_LANDED
    submit(state, controller, _WRITES, nbytes, cause, arrival.is_update, kind, new, 0)
    if state.clock[0].values:
        push(state, TELL_CAME if arrival.station == NONE else TELL_TILE_CAME, new, 0, 0)


@part
def landed(state: State, row: int) -> None:
    """Count a piece that is in memory; with its last piece a message's buffer is given back."""
    incoming = state.incoming[row]
    arrival, piece = incoming.arrival, incoming.piece
    number = state.arrivals[arrival].station
    if number == NONE:
        push(state, MARK, arrival, piece, 0)
    else:
        station = state.stations[number]
        push(state, COUNT, state.places[station.first_place + piece], state.units[station.unit].wavefronts, 0)
    if incoming.is_last:
        _consumed(state, incoming.message, incoming.leg)
    if state.clock[0].values:
        push(state, TELL_PUT if number == NONE else TELL_TILE_PUT, row, arrival, piece)
    give(state, INCOMING, state.incoming, row)


@part
def _consumed(state: State, message: int, number: int) -> None:
    leg = state.legs[number]
    push(state, FORGET, message, 0, 0)
    push(state, CONSUMED, leg.link, leg.channel, state.messages[message].nbytes)
    if state.clock[0].probing:
        push(state, TELL_CONSUMED, message, number, 0)


@part
def consumed(state: State, link: int, channel: int, nbytes: int) -> None:
    """Give back the receiver's buffer space of a packet; the sender learns it a latency later."""
    give_back(state, channel, nbytes)
    push(state, GO, link, 0, 0)
