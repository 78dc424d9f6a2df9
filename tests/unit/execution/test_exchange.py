"""Messages of one operation: what they are made of, what the receiver makes of them, and the pace of a mirrored GPU."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim.collectives.plan import MoveId, Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.execution.exchange import Exchange, pieces_completed
from t3sim.lowering.chunks import Chunks

RING = make_plan(Operation.REDUCE_SCATTER, "ring", NetworkFacts(ranks=3, shape=(3,)))
IN_SWITCH = make_plan(
    Operation.ALL_REDUCE,
    "in-switch",
    NetworkFacts(ranks=3, shape=(3,), switch_reduces=True, switch_multicasts=True),
)
CHUNKS = Chunks(piece_bytes=((8, 8, 8, 6), (8, 2), ()))
NUMBER = 5


class _Port:
    """One end of a network, and the receiver of what arrives there."""

    rank = 1

    def __init__(self, *, mirrored=False):
        self.mirrored = mirrored
        self.sent, self.given_back, self.arrivals, self.receivers = [], [], [], {}

    def open(self, operation, receive):
        self.receivers[operation] = receive

    def next_serial(self):
        return 100 + len(self.sent)

    def send(self, message, accepted):
        self.sent.append(message)
        accepted()

    def consumed(self, message):
        self.given_back.append(message)

    def arrived(self, move, piece, message, *, last):
        assert message in self.sent
        self.arrivals.append((move, piece, last))


def exchange(port, plan=RING, chunks=CHUNKS, parts=None):
    """Open an exchange whose moves bring the parts given."""
    made = Exchange(port, NUMBER, plan, chunks)
    made.open(port, parts or {})
    return made


def send(made, move, part, piece=0, *, pieces=4, nbytes=8, **more):
    """Send a piece to GPU 2."""
    made.send(move, part, (2,), piece, pieces, nbytes, accepted=lambda: None, **more)


def test_message_says_what_it_is_a_part_of():
    """A message has the number of its operation and move, its place in its chunk, its way and a serial number."""
    port = _Port()
    made = exchange(port)
    send(made, MoveId(2, 1), 0, 3, nbytes=6, value="numbers")
    send(made, MoveId(0, 0), 1, pieces=2)
    first, second = port.sent
    assert (first.operation, first.home, first.move, first.piece, first.pieces) == (NUMBER, 2, 1, 3, 4)
    assert (first.source, first.destinations, first.nbytes, first.wire_bytes) == (1, (2,), 6, 6)
    assert (first.key, first.part, first.merges, first.value) == (0, 0, 0, "numbers")
    assert (second.home, second.move, second.key, second.part, second.pieces) == (0, 0, 0, 1, 2)
    assert first.serial != second.serial


def test_acceptance_is_the_links():
    """Who sends hears when the link has taken the message."""
    heard = []
    exchange(_Port()).send(MoveId(0, 0), 0, (2,), 0, 4, 8, accepted=lambda: heard.append("taken"))
    assert heard == ["taken"]


def test_messages_that_a_switch_adds_up_arrive_as_one():
    """All contributions to a sum go by the number of the first of them, and say how many they are."""
    port = _Port()
    made = exchange(port, IN_SWITCH)
    moves = next(group for group in set(IN_SWITCH.merged.values()))
    for move in moves:
        send(made, MoveId(0, move), 0)
    assert [(message.move, message.merges) for message in port.sent] == [(moves[0], 3)] * 3


@pytest.mark.parametrize(("part", "nbytes", "wire"), [(0, 8, 8), (0, 6, 6), (1, 8, 24), (1, 2, 6)])
def test_mirrored_gpu_keeps_the_pace_of_the_largest_chunk(part, nbytes, wire):
    """A chunk a third as large as the largest holds a mirrored GPU's wire three times as long."""
    for mirrored in (False, True):
        port = _Port(mirrored=mirrored)
        send(exchange(port), MoveId(0, 0), part, nbytes=nbytes)
        (message,) = port.sent
        assert (message.nbytes, message.wire_bytes) == (nbytes, wire if mirrored else nbytes)


def test_flags_on_the_wire_count_for_the_pace_too():
    """With as many flags as data, a mirrored chunk of a third of the largest takes six times its bytes; rounded up."""
    port = _Port(mirrored=True)
    send(exchange(port), MoveId(0, 0), 1, nbytes=8, wire_bytes=16)
    uneven = _Port(mirrored=True)
    send(exchange(uneven, chunks=Chunks(piece_bytes=((3,), (2,)))), MoveId(0, 0), 1, nbytes=1)
    assert port.sent[0].wire_bytes == 48
    assert uneven.sent[0].wire_bytes == 2


def deliver(port, number=NUMBER):
    """Deliver all that was sent."""
    for message in port.sent:
        port.receivers[number](message)


def test_pieces_go_to_the_receiver_with_their_move():
    """A piece that arrives is handed on with the move that brings it, to be given back with its only piece."""
    port = _Port()
    made = exchange(port, parts={MoveId(2, 1): 0})
    for piece in (1, 0):
        send(made, MoveId(2, 1), 0, piece)
    deliver(port)
    assert port.arrivals == [(MoveId(2, 1), 1, True), (MoveId(2, 1), 0, True)]
    assert port.given_back == []
    made.consumed(port.sent[0])
    assert port.given_back == [port.sent[0]]


def test_message_for_several_pieces_is_given_back_with_the_last():
    """A message that two tiles travel in arrives as both, the buffer being held until the second is in memory."""
    port = _Port()
    made = exchange(port, parts={MoveId(0, 1): 0})
    for piece in (0, 1):
        send(made, MoveId(0, 1), 0, piece, pieces=2, nbytes=16)
    deliver(port)
    assert [(piece, last) for _, piece, last in port.arrivals] == [(0, False), (1, True), (2, False), (3, True)]


def test_message_that_completes_no_piece_is_given_back_at_once():
    """Where the sender cuts more finely, only the message that completes a piece counts; others hold no buffer."""
    port = _Port()
    made = exchange(port, parts={MoveId(0, 1): 1})
    for piece in range(4):
        send(made, MoveId(0, 1), 1, piece, pieces=4, nbytes=3)
    deliver(port)
    assert [(piece, last) for _, piece, last in port.arrivals] == [(0, True), (1, True)]
    assert port.given_back == [port.sent[0], port.sent[2]]


def test_pieces_of_equal_cuts_are_themselves():
    """Where both ends cut a chunk alike, each piece completes its own."""
    assert [list(pieces_completed(piece, 5, 5)) for piece in range(5)] == [[0], [1], [2], [3], [4]]


@given(sent=st.integers(1, 60), own=st.integers(0, 60))
def test_pieces_of_unequal_cuts_complete_each_once(sent, own):
    """Where the ends differ, all sent pieces together complete each own piece once, in order."""
    assert [done for piece in range(sent) for done in pieces_completed(piece, sent, own)] == list(range(own))


@given(sent=st.integers(1, 60), own=st.integers(1, 60), data=st.data())
def test_a_piece_is_complete_when_its_share_of_the_chunk_has_come(sent, own, data):
    """An own piece is complete with the first sent one by which so much of the chunk has come as ends with it."""
    piece = data.draw(st.integers(0, own - 1))
    (by,) = (number for number in range(sent) if piece in pieces_completed(number, sent, own))
    assert Fraction(by, sent) < Fraction(piece + 1, own) <= Fraction(by + 1, sent)
