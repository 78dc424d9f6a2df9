"""What a plan sends to one GPU: when moves count as arrived, whole or slice by slice, and what is missing."""

import pytest
import simpy

from t3sim.collectives.plan import MoveId, Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.execution.arrivals import Arrivals
from t3sim.lowering.chunks import Chunks


@pytest.fixture
def env():
    """Give an environment."""
    return simpy.Environment(0)


def arrivals_of(env, operation, algorithm, ranks, rank, piece_bytes):
    """Give what arrives at a rank, the buffer being cut into these pieces."""
    plan = make_plan(operation, algorithm, NetworkFacts(ranks=ranks, shape=(ranks,)))
    return Arrivals(env, plan, rank, Chunks(piece_bytes=piece_bytes))


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
        assert not found.complete(second).triggered
    found.mark(second, 1)
    assert found.complete(second).triggered
    assert not found.complete(first).triggered


def test_empty_chunks_have_arrived_from_the_start(env):
    """A part without bytes is not waited for."""
    found = arrivals_of(env, Operation.ALL_GATHER, "ring", 3, 0, ((4,), (), (4,)))
    empty = next(move for move, part in found.parts.items() if part == 1)
    assert [found.complete(move).triggered for move in found.parts] == [move == empty for move in found.parts]
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


def test_slices_are_awaited_one_by_one(env):
    """Where a plan goes slice by slice, who waits for slice 1 goes on with it, whatever else comes before."""
    found = arrivals_of(env, Operation.BROADCAST, "ring", 3, 1, ((4, 4, 4),))
    (move,) = found.parts
    woken = []

    def wait(piece):
        yield from found.await_piece((move,), piece)
        woken.append((env.now, piece))

    for piece in (1, 0):
        env.process(wait(piece))
    for time, piece in ((10, 2), (20, 1), (30, 0)):
        env.timeout(time).callbacks.append(lambda _, piece=piece: found.mark(move, piece))
    env.run()
    assert woken == [(20, 1), (30, 0)]


def test_slices_that_are_there_are_not_awaited(env):
    """Nobody waits for a slice that has come, or for none of several moves."""
    found = arrivals_of(env, Operation.BROADCAST, "ring", 3, 2, ((4, 4),))
    (move,) = found.parts
    assert move == MoveId(0, 1)
    found.mark(move, 1)
    assert list(found.await_piece((move,), 1)) == []
    assert list(found.await_piece((), 0)) == []
