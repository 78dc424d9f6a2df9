"""What a plan sends to one GPU: when moves count as arrived, whole or slice by slice, and what is missing."""

import pytest
import simpy

from t3sim.collectives.plan import MoveId, Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.execution.arrivals import Arrivals
from t3sim.hardware.plane.kinds import MARK
from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.plane.state import NONE
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.layout import Buffers


@pytest.fixture
def env():
    """Give an environment."""
    return simpy.Environment(0)


def arrivals_of(env, operation, algorithm, ranks, rank, piece_bytes):
    """Give what arrives at a rank, the buffer being cut into these pieces."""
    plan = make_plan(operation, algorithm, NetworkFacts(ranks=ranks, shape=(ranks,)))
    return Counted(env, plan, rank, Chunks(piece_bytes=piece_bytes))


class Counted(Arrivals):
    """Arrivals of a kernel without lanes."""

    def __init__(self, env, plan, rank, chunks):
        super().__init__(plan, rank, chunks)
        self.plane = Plane(env)
        kernel = self.plane.add("kernels", [(0, 0, 1, 0, 0, NONE, NONE)])
        first = [self.plane.add("pieces", sizes) for sizes in chunks.piece_bytes]
        self.count(self.plane, kernel, first, self.parts, Buffers(piece_bytes=chunks.piece_bytes).base)
        self.plane.rows("arrivals")["by_slice"][list(self.rows.values())] = plan.by_slice

    def mark(self, move, piece):
        """Let a piece be in memory."""
        self.plane.perform(MARK, self.rows[move], piece)

    def is_complete(self, move):
        """Whether a move is in memory in full, or will be within this instant."""
        return self.plane.rows("arrivals")["complete"][self.rows[move]] > 0


def test_parts_and_sources_are_those_of_the_plan(env):
    """GPU 1 of a ring of three gets the parts 2 and 1 from GPU 0: home 0's as contribution, then its own."""
    ring = arrivals_of(env, Operation.REDUCE_SCATTER, "ring", 3, 1, ((4,), (4,), (4,)))
    assert sorted(ring.parts.values()) == [0, 1]
    assert {ring.source(move) for move in ring.parts} == {0}
    direct = arrivals_of(env, Operation.REDUCE_SCATTER, "direct", 3, 1, ((4,), (4,), (4,)))
    assert sorted(direct.parts.values()) == [1, 1]
    assert {direct.source(move) for move in direct.parts} == {0, 2}


@pytest.mark.parametrize(
    ("operation", "adds"),
    [(Operation.REDUCE_SCATTER, True), (Operation.ALL_GATHER, False), (Operation.ALL_TO_ALL, False)],
)
def test_contributions_are_added_and_copies_are_not(env, operation, adds):
    """What arrives in a reduce-scatter is added; in an all-gather or all-to-all it is the value itself."""
    found = arrivals_of(env, operation, "direct", 3, 0, ((4,), (4,), (4,)))
    assert {found.is_added(move) for move in found.parts} == {adds}


def test_move_is_complete_with_its_last_piece(env):
    """Of three pieces, in any order, the third completes their move and no other one."""
    found = arrivals_of(env, Operation.ALL_GATHER, "ring", 3, 0, ((4,), (4, 4, 4), (4, 4, 4)))
    first, second = sorted(found.parts, key=found.parts.get)
    assert found.parts == {first: 0, second: 1}
    for piece in (2, 0):
        found.mark(second, piece)
        assert not found.is_complete(second)
    found.mark(second, 1)
    assert found.is_complete(second)
    assert not found.is_complete(first)


def test_empty_chunks_have_arrived_from_the_start(env):
    """A part without bytes is not waited for."""
    found = arrivals_of(env, Operation.ALL_GATHER, "ring", 3, 0, ((4,), (), (4,)))
    empty = next(move for move, part in found.parts.items() if part == 1)
    assert [found.is_complete(move) for move in found.parts] == [move == empty for move in found.parts]
    assert len(found.missing()) == 1


def test_missing_names_chunks_sources_and_pieces(env):
    """A stall report says which chunk from whom lacks how many pieces, and nothing once all are there."""
    found = arrivals_of(env, Operation.REDUCE_SCATTER, "direct", 3, 2, ((4, 4), (4, 4), (4, 4)))
    moves = {found.source(move): move for move in found.parts}
    found.mark(moves[0], 0)
    assert sorted(found.missing()) == ["chunk 2 from GPU 0: 1 pieces", "chunk 2 from GPU 1: 2 pieces"]
    for source, piece in ((0, 1), (1, 0), (1, 1)):
        found.mark(moves[source], piece)
    assert found.missing() == []


def test_slices_are_marked_one_by_one(env):
    """Where a plan goes slice by slice, each slice is known to be there apart from those before it."""
    found = arrivals_of(env, Operation.BROADCAST, "ring", 3, 1, ((4, 4, 4),))
    (move,) = found.parts
    assert move == MoveId(0, 0)
    found.mark(move, 1)
    first = found.plane.rows("arrivals")["first_mark"][found.rows[move]]
    assert found.plane.rows("marks")[first : first + 3].tolist() == [0, 1, 0]
    assert not found.is_complete(move)
