"""Reading plans: what each rank does, what arrives there, and which part of the buffer a chunk is."""

import pytest

from t3sim.collectives.plan import Kind, Move, MoveId, Operation, Plan, arrivals_of, part_of, tasks_of
from t3sim.collectives.planning import NetworkFacts, make_plan

RINGS = range(2, 9)
SHAPES = ((1,), (6,), (2, 3), (3, 1, 4), (2, 2, 2))


def ring(operation, ranks):
    return make_plan(operation, "ring", NetworkFacts(ranks=ranks, shape=(ranks,)))


@pytest.mark.parametrize("ranks", RINGS)
def test_ring_reduce_scatter_task_by_task(ranks):
    """Every rank sends its own, adds to what arrives and passes it on, and sums the last chunk, its own, in place."""
    plan = ring(Operation.REDUCE_SCATTER, ranks)
    for rank in range(ranks):
        first, *middle, last = tasks_of(plan, rank)
        assert (first.waits, first.reads, first.destinations) == ((), 1, ((rank + 1) % ranks,))
        assert len(middle) == ranks - 2
        for step, task in enumerate(middle, 1):
            assert (len(task.waits), task.reads, task.destinations) == (1, 2, ((rank + 1) % ranks,))
            assert task.chunk == (rank - 1 - step) % ranks
        assert (last.kind, last.chunk, len(last.waits), last.reads) == (Kind.LOCAL, rank, 1, 2)
        assert all(task.own == () and task.lane == 0 and task.merges == 0 for task in tasks_of(plan, rank))


@pytest.mark.parametrize("ranks", RINGS)
def test_ring_all_gather_task_by_task(ranks):
    """Every rank sends its own chunk, passes on what arrives except the last chunk, for which it only waits."""
    plan = ring(Operation.ALL_GATHER, ranks)
    for rank in range(ranks):
        first, *middle, last = tasks_of(plan, rank)
        assert (first.chunk, first.waits, first.reads) == (rank, (), 1)
        assert [(len(task.waits), task.reads, task.destinations) for task in middle] == [
            (1, 1, ((rank + 1) % ranks,))
        ] * (ranks - 2)
        assert (last.move, last.reads, last.destinations, last.chunk) == (None, 0, (), (rank + 1) % ranks)
        assert last.waits == (MoveId(last.chunk, ranks - 2),)


@pytest.mark.parametrize("ranks", RINGS)
def test_what_a_ring_sends_is_what_the_next_rank_awaits(ranks):
    """The message of a task goes by the name under which its destination waits for it, with chunk and source."""
    plan = ring(Operation.REDUCE_SCATTER, ranks)
    for rank in range(ranks):
        sent = [(task.move, task.chunk) for task in tasks_of(plan, rank) if task.kind is Kind.REDUCE]
        arrivals = arrivals_of(plan, (rank + 1) % ranks)
        assert [(arrival.move, arrival.chunk) for arrival in arrivals] == sent
        assert {(arrival.source, arrival.kind) for arrival in arrivals} == {(rank, Kind.REDUCE)}


def test_a_local_sum_is_an_own_move_and_not_an_arrival():
    """In an all-reduce the copies of a rank's own chunk wait for its sum by ``own``, and nothing arrives for it."""
    plan = ring(Operation.ALL_REDUCE, 3)
    scatter_1, scatter_2, total, copy_1, copy_2, wait = tasks_of(plan, 1)
    assert (total.kind, total.move) == (Kind.LOCAL, MoveId(1, 2))
    assert (copy_1.own, copy_1.waits, copy_1.reads) == ((total.move,), (), 1)
    assert (copy_2.own, copy_2.waits) == ((), (MoveId(0, 3),))
    assert [task.chunk for task in (scatter_1, scatter_2, total, copy_1, copy_2, wait)] == [0, 2, 1, 1, 0, 2]
    assert total.move not in {arrival.move for arrival in arrivals_of(plan, 1)}


def test_a_direct_home_reads_one_copy_of_each_rank():
    """All contributions are added in one sum: its own and those of the three others, which came in three lanes."""
    plan = make_plan(Operation.REDUCE_SCATTER, "direct", NetworkFacts(ranks=4, shape=(4,)))
    tasks = tasks_of(plan, 2)
    assert [(task.lane, task.chunk, task.kind, task.reads) for task in tasks] == [
        (0, 1, Kind.REDUCE, 1),
        (0, 2, Kind.LOCAL, 4),
        (1, 0, Kind.REDUCE, 1),
        (2, 3, Kind.REDUCE, 1),
    ]


def test_merged_messages_arrive_as_one():
    """Of what a switch sums one message arrives, under the first move's number; senders know how many there are."""
    facts = NetworkFacts(ranks=3, shape=(3,), switch_reduces=True, switch_multicasts=True)
    plan = make_plan(Operation.ALL_REDUCE, "in-switch", facts)
    merges = [task for task in tasks_of(plan, 1) if task.kind is Kind.MERGE]
    assert [(task.destinations, task.merges, task.reads) for task in merges] == [
        ((1,), 3, 1),
        ((0,), 3, 1),
        ((2,), 3, 1),
    ]
    (copy,) = (task for task in tasks_of(plan, 1) if task.move is not None and task.kind is Kind.COPY)
    assert (copy.waits, copy.destinations) == ((MoveId(1, 0),), (1, 2, 0))
    arrivals = [(arrival.move, arrival.kind, arrival.source) for arrival in arrivals_of(plan, 1)]
    assert arrivals[0] == (MoveId(1, 0), Kind.MERGE, 1)
    assert {(move.home, kind, source) for move, kind, source in arrivals[1:]} == {(h, Kind.COPY, h) for h in range(3)}


def test_tasks_come_by_lane_and_step_and_waits_end_a_lane():
    """Lanes in order, in each the moves by step whatever their place in the plan, then what is only waited for."""
    moves = (
        Move(chunk=0, source=0, destinations=(1,), kind=Kind.COPY, lane=1, step=5),
        Move(chunk=1, source=0, destinations=(1,), kind=Kind.COPY, lane=1, step=2),
        Move(chunk=2, source=0, destinations=(1,), kind=Kind.COPY, lane=0, step=9),
    )
    plan = Plan(
        operation=Operation.BROADCAST,
        algorithm="hand",
        ranks=2,
        shape=(2,),
        subs=3,
        parts=3,
        moves=moves,
        symmetric=False,
    )
    assert [(task.lane, task.chunk, task.move is None) for task in tasks_of(plan, 0)] == [
        (0, 2, False),
        (1, 1, False),
        (1, 0, False),
    ]
    assert [(task.lane, task.chunk, task.waits) for task in tasks_of(plan, 1)] == [
        (0, 2, (MoveId(0, 2),)),
        (1, 1, (MoveId(0, 1),)),
        (1, 0, (MoveId(0, 0),)),
    ]


def test_rank_0_takes_the_parts_in_order_and_its_own_last():
    """Over 4 homes of 2 chunks, part 0 is of home 3; chunks of one home stay in order."""
    plan = make_plan(Operation.REDUCE_SCATTER, "bidirectional-ring", NetworkFacts(ranks=4, shape=(4,)))
    assert [part_of(plan, chunk) for chunk in range(8)] == [6, 7, 4, 5, 2, 3, 0, 1]
    # Rank 0 of a ring handles the chunks of homes 3, 2, 1 and 0.
    produced = [
        part_of(ring(Operation.REDUCE_SCATTER, 4), task.chunk)
        for task in tasks_of(ring(Operation.REDUCE_SCATTER, 4), 0)
    ]
    assert produced == [0, 1, 2, 3]


def test_parts_of_other_buffers():
    """All-to-all: numbered as the destination; send: the home's own; chunks of rank 0 alone: as they are numbered."""
    facts = NetworkFacts(ranks=6, shape=(2, 3))
    exchange = make_plan(Operation.ALL_TO_ALL, "direct", facts)
    # Rank 4 is (1, 1); 5 = (1, 2) further on is (0, 0).
    assert part_of(exchange, 4 * 6 + 5) == 0
    assert part_of(make_plan(Operation.SEND, "direct", facts), 4) == 0
    tree = make_plan(Operation.ALL_REDUCE, "double-tree", facts)
    assert [part_of(tree, chunk) for chunk in range(2)] == [0, 1]
