"""Messages of one operation: what they are made of, what the receiver makes of them, and the pace of a mirrored GPU."""

from fractions import Fraction

import numpy as np
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
    """One end of a network."""

    rank = 1

    def __init__(self, *, mirrored=False):
        self.mirrored = mirrored


def exchange(plan=RING, chunks=CHUNKS, *, mirrored=False):
    """Open an exchange."""
    return Exchange(_Port(mirrored=mirrored), NUMBER, plan, chunks)


def test_messages_say_what_they_are_a_part_of():
    """A message has the number of its operation and move, its place in its plan, and its way."""
    first = exchange().template(MoveId(2, 1), 0, (2,)).message(3, 4, 6, 6, 17, "numbers")
    second = exchange().template(MoveId(0, 0), 1, (2,)).message(0, 2, 8, 8, 18, None)
    assert (first.operation, first.home, first.move, first.piece, first.pieces) == (NUMBER, 2, 1, 3, 4)
    assert (first.source, first.destinations, first.nbytes, first.wire_bytes) == (1, (2,), 6, 6)
    assert (first.key, first.part, first.merges, first.value, first.serial) == (0, 0, 0, "numbers", 17)
    assert (second.home, second.move, second.key, second.part, second.pieces) == (0, 0, 0, 1, 2)


def test_messages_that_a_switch_adds_up_arrive_as_one():
    """All contributions to a sum go by the number of the first of them, and say how many they are."""
    moves = next(group for group in set(IN_SWITCH.merged.values()))
    templates = [exchange(IN_SWITCH).template(MoveId(0, move), 0, (2,)) for move in moves]
    assert [(template.move, template.merges) for template in templates] == [(moves[0], 3)] * 3


@pytest.mark.parametrize(("part", "nbytes", "wire"), [(0, 8, 8), (0, 6, 6), (1, 8, 24), (1, 2, 6)])
def test_mirrored_gpu_keeps_the_pace_of_the_largest_chunk(part, nbytes, wire):
    """A chunk a third as large as the largest holds a mirrored GPU's wire three times as long."""
    assert exchange().on_wire(nbytes, part) == nbytes
    assert exchange(mirrored=True).on_wire(nbytes, part) == wire


def test_flags_on_the_wire_count_for_the_pace_too():
    """With as many flags as data, a mirrored chunk of a third of the largest takes six times its bytes; rounded up."""
    assert exchange(mirrored=True).on_wire(16, 1) == 48
    assert exchange(chunks=Chunks(piece_bytes=((3,), (2,))), mirrored=True).on_wire(1, 1) == 2


@pytest.mark.parametrize("mirrored", [False, True])
def test_many_pieces_at_once_take_the_wire_as_each_would(mirrored):
    """Bytes on the wire are worked out for all pieces as for one."""
    nbytes, parts = np.array([8, 8, 6, 2, 8]), np.array([0, 1, 0, 1, 1])
    made = exchange(mirrored=mirrored)
    one_by_one = [made.on_wire(*pair) for pair in zip(nbytes.tolist(), parts.tolist(), strict=True)]
    assert made.all_on_wire(nbytes, parts).tolist() == one_by_one


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
