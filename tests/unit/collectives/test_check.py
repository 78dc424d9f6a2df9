"""The proof of plans: what is wrong is refused, with chunk and ranks; and what is refused is wrong."""

import re
from dataclasses import replace
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.collectives.check import check
from t3sim.collectives.plan import Kind, Move, Operation, Plan, tasks_of
from t3sim.collectives.planning import NetworkFacts, algorithms_for, make_plan
from t3sim.collectives.symmetry import written_out
from t3sim.errors import PlanError

SCATTER, GATHER, ALL_REDUCE = Operation.REDUCE_SCATTER, Operation.ALL_GATHER, Operation.ALL_REDUCE


def some_plans():
    """Give plans of all algorithms over small grids, as made and written out."""
    for shape in ((2,), (3,), (4,), (2, 2), (2, 3)):
        facts = NetworkFacts(ranks=prod(shape), shape=shape, switch_reduces=True, switch_multicasts=True)
        for operation in Operation:
            for algorithm in algorithms_for(operation):
                try:
                    plan = make_plan(operation, algorithm, facts)
                except PlanError:
                    continue
                yield plan
                if plan.symmetric:
                    yield written_out(plan)


PLANS = list(some_plans())


def without(plan, number):
    """Drop a move; nobody waits for it any more."""
    kept = [other for other in range(len(plan.moves)) if other != number]
    places = {other: place for place, other in enumerate(kept)}
    moves = (
        replace(plan.moves[other], after=tuple(places[b] for b in plan.moves[other].after if b != number))
        for other in kept
    )
    return replace(plan, moves=tuple(moves))


def changed(plan, number, **changes):
    """Change one move."""
    moves = list(plan.moves)
    moves[number] = replace(moves[number], **changes)
    return replace(plan, moves=tuple(moves))


def doubled(plan, number):
    """Make one move twice; the second time last in its lane."""
    last = max(move.step for move in plan.moves)
    return replace(plan, moves=(*plan.moves, replace(plan.moves[number], step=last + 1)))


@st.composite
def mutants(draw):
    """Draw a plan with one move dropped, doubled, sent from or to elsewhere, or that does not wait any more."""
    plan = draw(st.sampled_from(PLANS))
    number = draw(st.integers(0, len(plan.moves) - 1))
    move = plan.moves[number]
    kinds = ["drop", "double"] + ["wait"] * bool(move.after) + ["redirect", "source"] * (move.kind is not Kind.LOCAL)
    match draw(st.sampled_from(kinds)):
        case "drop":
            return without(plan, number)
        case "double":
            return doubled(plan, number)
        case "wait":
            lost = draw(st.sampled_from(move.after))
            return changed(plan, number, after=tuple(before for before in move.after if before != lost))
        case "source":
            return changed(plan, number, source=draw(st.sampled_from(others(plan, move.source))))
    place = draw(st.integers(0, len(move.destinations) - 1))
    to = list(move.destinations)
    to[place] = draw(st.sampled_from(others(plan, to[place])))
    return changed(plan, number, destinations=tuple(to))


def others(plan, rank):
    """All ranks but one."""
    return [other for other in range(plan.ranks) if other != rank]


@settings(max_examples=400)
@given(plan=mutants())
def test_mutants_are_refused(plan):
    """A plan with one thing changed is refused, and the message names a chunk and a rank."""
    with pytest.raises(PlanError, match=r"chunk \d") as error:
        check(plan)
    assert re.search(r"rank \d", str(error.value))


def runs_to_the_end(plan):
    """Let every lane of every rank go on as far as what arrives allows."""
    lanes = {}
    for rank in range(plan.ranks):
        for task in tasks_of(plan, rank):
            lanes.setdefault((rank, task.lane), []).append(task)
    merged, there, moving = {}, set(), True
    while moving:
        moving = False
        for (rank, _), tasks in lanes.items():
            while tasks and all((rank, move) in there for move in (*tasks[0].waits, *tasks[0].own)):
                task, moving = tasks.pop(0), True
                arrived = task.move
                if task.kind is Kind.MERGE and task.move is not None:
                    group = merged.setdefault((task.chunk, task.destinations), [])
                    group.append(task.move)
                    arrived = min(group, key=lambda move: move.number) if len(group) == task.merges else None
                there |= {(destination, arrived) for destination in task.destinations}
    return not any(lanes.values())


@settings(max_examples=200)
@given(plan=st.sampled_from(PLANS), data=st.data())
def test_orders_that_wait_for_themselves_are_refused_and_no_others(plan, data):
    """With its moves in any other order of steps and lanes, a plan is accepted exactly if all ranks come to the end."""
    steps = data.draw(st.permutations(range(len(plan.moves))))
    lanes = data.draw(st.integers(1, 3))
    moves = tuple(replace(m, step=s, lane=m.lane % lanes) for m, s in zip(plan.moves, steps, strict=True))
    plan = replace(plan, moves=moves)
    if runs_to_the_end(plan):
        check(plan)
    else:
        with pytest.raises(PlanError, match=r"chunk \d.* rank \d.*waits for itself"):
            check(plan)


def three(operation, *moves, **changes):
    """Make a plan of three ranks with the moves given as (kind, chunk, source, destinations, after, ...)."""
    made = tuple(
        Move(kind=kind, chunk=chunk, source=source, destinations=to, after=after, step=step, lane=0)
        for step, (kind, chunk, source, to, after) in enumerate(moves)
    )
    parts = 1 if operation in (Operation.BROADCAST, ALL_REDUCE) else 3
    plan = Plan(operation=operation, algorithm="hand", ranks=3, shape=(3,), parts=parts, moves=made, symmetric=False)
    return replace(plan, **changes)


COPY, REDUCE, LOCAL, MERGE = Kind.COPY, Kind.REDUCE, Kind.LOCAL, Kind.MERGE
TO_1, TO_2 = (COPY, 0, 0, (1,), ()), (COPY, 0, 0, (2,), ())
UP_1, UP_2 = (REDUCE, 0, 1, (0,), ()), (REDUCE, 0, 2, (0,), ())


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (three(Operation.BROADCAST, TO_1, TO_2, subs=2), "1 parts, 2 chunks of each home do not fit a broadcast of 3"),
        (three(Operation.BROADCAST, TO_1, TO_2, shape=(2,)), r"grid of \(2,\) does not hold 3 ranks"),
        (three(Operation.BROADCAST, TO_1, TO_2, shape=(3, 0)), r"grid of \(3, 0\) does not hold 3 ranks"),
        (three(Operation.BROADCAST, TO_1, TO_2, symmetric=True), "from rank 0 alone cannot stand for all homes"),
        (three(Operation.BROADCAST, TO_1, (COPY, 1, 0, (2,), ())), "chunk 1 from rank 0 to 2: there are 1 chunks"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 0, (3,), ())), "from rank 0 to 3: there are 3 ranks"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, -1, (2,), ())), "from rank -1 to 2: there are 3 ranks"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 0, (), ())), "destinations are none"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 0, (2, 2), ())), "one of them twice"),
        (three(Operation.BROADCAST, TO_1, TO_2, (COPY, 0, 0, (0,), ())), "it goes nowhere"),
        (three(Operation.BROADCAST, TO_1, (LOCAL, 0, 0, (2,), ())), "a sum stays where it is made"),
        (three(ALL_REDUCE, (REDUCE, 0, 0, (1, 2), ())), "a contribution has one destination"),
        (three(ALL_REDUCE, (MERGE, 0, 0, (1, 2), ())), "a contribution has one destination"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 1, (2,), (0, 0))), "it waits for one move twice"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 1, (2,), (7,))), "it waits for move 7, of 2"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 0, (2,), (0,))), "what does not come to rank 0, move 0, copy"),
        (three(Operation.BROADCAST, TO_1, TO_2, (COPY, 0, 1, (2,), (0,))), "rank 2 gets another value"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 1, (2,), (0,)), (COPY, 0, 2, (0,), (1,))), "rank 0 has this value"),
        (three(Operation.BROADCAST, TO_1), "rank 2 does not have the contribution of rank 0 to chunk 0"),
        (three(Operation.BROADCAST, TO_1, (COPY, 0, 1, (2,), ())), "rank 1 has nothing of the chunk by then"),
        (three(GATHER, (COPY, 0, 0, (1,), ()), (COPY, 1, 1, (2,), (0,))), "it waits for a move of chunk 0"),
        (three(ALL_REDUCE, UP_1, UP_2), "rank 0 never adds it to anything"),
        (
            three(ALL_REDUCE, UP_1, UP_2, (LOCAL, 0, 0, (0,), (0,))),
            "move 1, reduce of chunk 0 from rank 2 to 0: rank 0 never",
        ),
        (three(ALL_REDUCE, UP_1, UP_1, (LOCAL, 0, 0, (0,), (0, 1))), "doubles the contribution of rank 1"),
        (
            three(ALL_REDUCE, UP_1, UP_2, (LOCAL, 0, 0, (0,), (0, 1)), (COPY, 0, 0, (1, 2), (0, 2))),
            "move 0, reduce of chunk 0 from rank 1 to 0 is added a second time",
        ),
        (three(ALL_REDUCE, (COPY, 0, 1, (0,), ())), "rank 0 loses the contribution of rank 0"),
        (
            three(
                ALL_REDUCE,
                UP_1,
                UP_2,
                (LOCAL, 0, 0, (0,), (0, 1)),
                (COPY, 0, 0, (1, 2), (2,)),
                (COPY, 0, 1, (2,), (3,)),
            ),
            "rank 2 has this value already",
        ),
        (
            three(ALL_REDUCE, *((MERGE, 0, rank, (0,), ()) for rank in range(3)), (COPY, 0, 0, (1, 2), (1,))),
            "waits for move 1, merge of chunk 0 from rank 1 to 0, which arrives as move 0",
        ),
        (
            three(
                ALL_REDUCE,
                UP_1,
                (LOCAL, 0, 0, (0,), (0,)),
                UP_2,
                (LOCAL, 0, 0, (0,), (1, 2)),
                (COPY, 0, 0, (1, 2), (1, 3)),
            ),
            "two values are to be moved, move 1, local of chunk 0 at rank 0 and move 3",
        ),
        (
            three(ALL_REDUCE, UP_1, (LOCAL, 0, 0, (0,), (0,)), (LOCAL, 0, 0, (0,), ())),
            "another value of the chunk, in no",
        ),
    ],
)
def test_what_is_wrong_is_named(plan, why):
    """Each way for a plan to be wrong has a message of its own."""
    with pytest.raises(PlanError, match=why) as error:
        check(plan)
    assert str(error.value).startswith("hand")


def test_moves_of_a_lane_need_an_order():
    """Two moves of a rank with the same lane and step are refused, of different ranks they are not."""
    plan = three(Operation.BROADCAST, TO_1, TO_2)
    with pytest.raises(PlanError, match="has the lane and step of move 0, copy of chunk 0 from rank 0 to 1"):
        check(changed(plan, 1, step=0))
    check(changed(three(Operation.BROADCAST, TO_1, (COPY, 0, 1, (2,), (0,))), 1, step=0))


def test_every_rank_starts_all_moves_of_a_symmetric_plan():
    """Two moves of home 0 need an order even if they start at different ranks: each stands for one of every rank."""
    plan = make_plan(GATHER, "ring", NetworkFacts(ranks=3, shape=(3,)))
    with pytest.raises(PlanError, match="move 1, copy of chunk 0 from rank 1 to 2: it has the lane and step of move 0"):
        check(changed(plan, 1, step=0))


def test_a_circle_is_spelt_out():
    """Of moves that wait for each other the message names those of the circle, and only those."""
    plan = three(Operation.BROADCAST, (COPY, 0, 2, (1,), (1,)), (COPY, 0, 1, (2,), (0,)), (COPY, 0, 2, (0,), (1,)))
    with pytest.raises(PlanError) as error:
        check(plan)
    assert "move 0, copy of chunk 0 from rank 2 to 1: it waits for itself, by way of move 1" in str(error.value)
    assert "move 2" not in str(error.value)


def test_long_lists_of_ranks_are_cut():
    """A message names eight ranks and says how many more there are."""
    plan = make_plan(SCATTER, "direct", NetworkFacts(ranks=32, shape=(32,)))
    with pytest.raises(PlanError, match=r"of rank 1, 2, 3, 4, 5, 6, 7, 8 and 23 more to chunk 0"):
        check(replace(plan, moves=()))


@pytest.mark.parametrize("algorithm", algorithms_for(SCATTER))
def test_a_plan_of_a_thousand_ranks_is_small(algorithm):
    """A symmetric plan has at most a few moves per rank."""
    facts = NetworkFacts(ranks=1024, shape=(32, 32), switch_reduces=True)
    plan = make_plan(SCATTER, algorithm, facts)
    assert len(plan.moves) <= 2 * 1024
    assert len(tasks_of(plan, 1000)) <= len(plan.moves) + 1
