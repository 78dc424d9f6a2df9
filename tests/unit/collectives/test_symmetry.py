"""Rotations: what a plan's moves become when all ranks are moved on."""

from dataclasses import replace
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim.collectives.check import check
from t3sim.collectives.grid import rotated
from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.collectives.symmetry import is_rotation_symmetric, rotation_of, written_out

SCATTER, ALL_REDUCE = Operation.REDUCE_SCATTER, Operation.ALL_REDUCE


def planned(algorithm, operation, shape):
    facts = NetworkFacts(ranks=prod(shape), shape=shape, switch_reduces=True, switch_multicasts=True)
    return make_plan(operation, algorithm, facts)


def test_a_plan_written_out_lists_home_after_home():
    """Of three ranks, the moves of home 1 are those of home 0 with ranks, chunks and waits one home on."""
    plan = written_out(planned("ring", SCATTER, (3,)))
    told = [(move.chunk, move.source, move.destinations, move.after, move.step) for move in plan.moves]
    assert told[:3] == [(0, 1, (2,), (), 0), (0, 2, (0,), (0,), 1), (0, 0, (0,), (1,), 2)]
    assert told[3:6] == [(1, 2, (0,), (), 0), (1, 0, (1,), (3,), 1), (1, 1, (1,), (4,), 2)]
    assert written_out(plan) is plan


@pytest.mark.parametrize(
    ("algorithm", "operation", "shape"),
    [
        ("ring", ALL_REDUCE, (5,)),
        ("bidirectional-ring", SCATTER, (4,)),
        ("halving-doubling", ALL_REDUCE, (8,)),
        ("torus", SCATTER, (2, 3)),
        ("two-level", Operation.ALL_TO_ALL, (3, 2)),
        ("in-switch", ALL_REDUCE, (4,)),
    ],
)
def test_each_rotation_moves_the_homes_on(algorithm, operation, shape):
    """Under any rotation of its own grid the moves of one home become, in order, those of another."""
    plan = planned(algorithm, operation, shape)
    out, count = written_out(plan), len(plan.moves)
    for by in range(plan.ranks):
        images = rotation_of(out, by)
        assert images == tuple(
            rotated(home, by, plan.shape) * count + number for home in range(plan.ranks) for number in range(count)
        )


@pytest.mark.parametrize("shape", [(2,), (5,), (2, 3)])
def test_a_plan_of_one_chunk_can_look_the_same_from_every_rank(shape):
    """A one-shot all-reduce has no homes, and its ranks do the same all the same; those of trees do not."""
    plan = planned("one-shot", ALL_REDUCE, shape)
    assert not plan.symmetric
    assert is_rotation_symmetric(plan)
    for number, image in enumerate(rotation_of(plan, 1)):
        assert plan.moves[image].source == rotated(plan.moves[number].source, 1, shape)
        assert plan.moves[image].kind == plan.moves[number].kind
    assert not is_rotation_symmetric(planned("double-tree", ALL_REDUCE, shape))
    assert not is_rotation_symmetric(planned("ring", Operation.BROADCAST, shape))


@given(data=st.data())
def test_one_odd_move_breaks_the_symmetry(data):
    """With one move changed in any respect, a plan that is written out no longer looks the same from every rank."""
    shape = data.draw(st.sampled_from([(3,), (4,), (2, 3)]))
    plan = written_out(planned("in-switch" if len(shape) == 2 else "direct", ALL_REDUCE, shape))
    number = data.draw(st.integers(0, len(plan.moves) - 1))
    move = plan.moves[number]
    changes = [
        {"chunk": (move.chunk + 1) % plan.ranks},
        {"lane": move.lane + 100},
        {"destinations": tuple((rank + 1) % plan.ranks for rank in move.destinations)},
        {"after": (*move.after, next(n for n in range(len(plan.moves)) if n not in (*move.after, number)))},
    ]
    change = data.draw(st.sampled_from(changes))
    if set(change.get("destinations", ())) == set(move.destinations):
        return
    moves = (*plan.moves[:number], replace(move, **change), *plan.moves[number + 1 :])
    assert is_rotation_symmetric(plan)
    assert not is_rotation_symmetric(replace(plan, moves=moves))


def test_any_of_what_a_switch_merges_may_be_the_first():
    """The copies of each home wait for another of the merged messages, and all ranks do the same nevertheless."""
    plan = written_out(planned("in-switch", ALL_REDUCE, (3,)))
    # The moves of home 1 are 4 to 7: three to be merged, and the copy. Two of them change places.
    moves = [*plan.moves[:4], plan.moves[5], plan.moves[4], *plan.moves[6:]]
    assert [move.after for move in plan.moves[3::4]] == [(0,), (4,), (8,)]
    turned = replace(plan, moves=tuple(moves))
    check(turned)
    assert rotation_of(turned, 1) == (5, 4, 6, 7, 9, 8, 10, 11, 0, 1, 2, 3)


def test_steps_matter_by_their_order_alone():
    """Steps of one rank with gaps between them are the same order, and the same plan."""
    plan = written_out(planned("ring", SCATTER, (4,)))
    moves = tuple(replace(move, step=move.step * (move.source + 1)) for move in plan.moves)
    assert is_rotation_symmetric(replace(plan, moves=moves))


def test_the_moves_of_home_0_alone_cannot_be_turned():
    """A symmetric plan has to be written out before its moves are compared."""
    with pytest.raises(ValueError, match="write them out first"):
        rotation_of(planned("ring", SCATTER, (3,)), 1)
