"""What every collective algorithm's plans must keep; a new one is tested here without editing this file."""

from collections import Counter, defaultdict
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.collectives.check import check
from t3sim.collectives.plan import Kind, Operation, arrivals_of, part_of, tasks_of
from t3sim.collectives.planning import KIND, NetworkFacts, algorithms_for, default_algorithm, make_plan
from t3sim.collectives.symmetry import is_rotation_symmetric, written_out
from t3sim.errors import PlanError
from t3sim.registry import get, names

SHAPES = (
    *((ranks,) for ranks in (1, 2, 3, 4, 5, 7, 8, 12, 16)),
    *((1, 1), (1, 2), (2, 1), (2, 2), (1, 5), (2, 4), (4, 2), (3, 4), (4, 4), (2, 2, 2), (3, 2, 2)),
)
WIDTH = 3
"""Numbers in each part of a buffer."""


def facts_of(shape):
    """Give a network of that grid that can do all that a network can do."""
    ranks = int(np.prod(shape))
    return NetworkFacts(ranks=ranks, shape=shape, switch_reduces=True, switch_multicasts=True)


def planned():
    """Make every plan that there is over the grids above, each once, and collect why the others are refused."""
    plans, refused = {}, defaultdict(dict)
    for shape in SHAPES:
        for operation in Operation:
            for algorithm in algorithms_for(operation):
                try:
                    plan = make_plan(operation, algorithm, facts_of(shape))
                except PlanError as error:
                    refused[algorithm][shape] = str(error)
                else:
                    plans[operation, algorithm, plan.shape] = plan
    return plans, refused


PLANS, REFUSED = planned()


@pytest.fixture(
    scope="module",
    params=[(operation, algorithm, plan) for (operation, algorithm, _), plan in PLANS.items()],
    ids=lambda case: f"{case[1]} {case[0].value} over {case[2].shape}",
)
def case(request):
    """Give each operation, algorithm and plan."""
    return request.param


def test_every_algorithm_plans_something_for_each_of_its_operations():
    """No algorithm refuses all grids, and what it refuses it explains by the grid or the number of ranks."""
    done = {(algorithm, operation) for operation, algorithm, _ in PLANS}
    assert done == {(name, operation) for name in names(KIND) for operation in get(KIND, name).operations}
    for algorithm, refused in REFUSED.items():
        for shape, message in refused.items():
            assert algorithm in message
            assert str(shape) in message or str(np.prod(shape)) in message


def test_defaults_work_on_every_grid():
    """There is a default algorithm for each operation, and it refuses no grid."""
    for operation in Operation:
        assert default_algorithm(operation) in algorithms_for(operation)
        assert default_algorithm(operation) not in REFUSED


def test_plans_say_what_they_are(case):
    """A plan carries the names it was asked for by, and alone a rank has nothing to do."""
    operation, algorithm, plan = case
    assert (plan.operation, plan.algorithm) == (operation, algorithm)
    if plan.ranks == 1:
        assert not plan.moves
        assert not tasks_of(plan, 0)


def test_written_out_plans_are_proven_too(case):
    """All homes written out, the same check passes, and the moves are as symmetric as was claimed."""
    _, _, plan = case
    out = written_out(plan)
    check(out)
    assert not out.symmetric
    assert is_rotation_symmetric(out) >= plan.symmetric
    assert len(out.moves) == len(plan.moves) * (plan.ranks if plan.symmetric else 1)


def test_tasks_are_those_of_the_plan_written_out(case):
    """Tasks and arrivals of a symmetric plan are, number for number, those of its moves for every home."""
    _, _, plan = case
    out = written_out(plan)

    def numbered(move):
        return move if move is None else move.home * len(plan.moves) + move.number

    def told(task):
        waits, own = ({numbered(move) for move in moves} for moves in (task.waits, task.own))
        return (numbered(task.move), task.chunk, task.kind, task.destinations, waits, own, task.reads, task.merges)

    for rank in range(plan.ranks):
        ours, theirs = (
            [(task.lane, told(task)) for task in tasks_of(each, rank) if task.move is not None] for each in (plan, out)
        )
        assert ours == theirs
        waiting, waiting_out = (
            Counter(
                (task.lane, numbered(task.waits[0]), task.chunk, task.kind)
                for task in tasks_of(each, rank)
                if task.move is None
            )
            for each in (plan, out)
        )
        assert waiting == waiting_out
        arriving, arriving_out = (
            {
                (numbered(arrival.move), arrival.chunk, arrival.source, arrival.kind)
                for arrival in arrivals_of(each, rank)
            }
            for each in (plan, out)
        )
        assert arriving == arriving_out


def test_all_that_arrives_is_awaited(case):
    """Each arrival is waited for by one task or more, nothing else is, and waiting tasks end their lanes."""
    _, _, plan = case
    for rank in range(plan.ranks):
        tasks = tasks_of(plan, rank)
        assert {move for task in tasks for move in task.waits} == {a.move for a in arrivals_of(plan, rank)}
        assert [task.lane for task in tasks] == sorted(task.lane for task in tasks)
        for before, after in pairwise(tasks):
            assert before.move is not None or after.move is None or before.lane < after.lane
        done = {task.move for task in tasks if task.kind is Kind.LOCAL}
        assert all(move in done for task in tasks for move in task.own)


def test_chunks_of_a_rank_are_parts_of_its_buffer(case):
    """What ranks have at first fills the parts of the buffer, each once."""
    operation, _, plan = case
    if operation in (Operation.ALL_TO_ALL, Operation.SEND):
        buffers = [range(home * plan.subs, (home + 1) * plan.subs) for home in range(plan.ranks)]
    else:
        buffers = [range(plan.homes * plan.subs)]
    for chunks in buffers:
        assert sorted(part_of(plan, chunk) for chunk in chunks) == list(range(plan.parts))


class Ranks:
    """Ranks that carry out their tasks on real numbers, with a switch that sums and multiplies messages."""

    def __init__(self, plan, buffers):
        self.plan = plan
        self.buffers = buffers
        self.tasks = defaultdict(list)
        for rank in range(plan.ranks):
            for task in tasks_of(plan, rank):
                self.tasks[rank, task.lane].append(task)
        self.inbox = [{} for _ in range(plan.ranks)]
        self.result = [{} for _ in range(plan.ranks)]
        self.switch = defaultdict(list)

    def run(self, random):
        """Let lanes go on in any order, each as soon as what it waits for is there."""
        lanes = list(self.tasks)
        while lanes:
            random.shuffle(lanes)
            ready = next((lane for lane in lanes if self.is_ready(lane[0], self.tasks[lane][0])), None)
            assert ready is not None, f"every lane waits: {lanes}"
            for _ in range(random.randint(1, len(self.tasks[ready]))):
                if not self.is_ready(ready[0], self.tasks[ready][0]):
                    break
                self.do(ready[0], self.tasks[ready].pop(0))
            lanes = [lane for lane in lanes if self.tasks[lane]]
        assert not self.switch, "the switch waits for more to sum"

    def is_ready(self, rank, task):
        """Whether what the task waits for is there."""
        return all(move in self.inbox[rank] for move in (*task.waits, *task.own))

    def do(self, rank, task):
        """Read, sum, and send or keep."""
        if task.move is None:
            return
        kinds = {move: self.plan.moves[move.number].kind for move in (*task.waits, *task.own)}
        bases = [self.inbox[rank][move] for move, kind in kinds.items() if kind is not Kind.REDUCE]
        assert len(bases) < 2
        read = bases or [self.buffers[rank][part_of(self.plan, task.chunk)]]
        read += [self.inbox[rank][move] for move, kind in kinds.items() if kind is Kind.REDUCE]
        assert task.reads == len(read)
        if task.kind is Kind.MERGE:
            group = self.switch[task.chunk, task.destinations]
            group.append((task.move, sum(read)))
            if len(group) == task.merges:
                del self.switch[task.chunk, task.destinations]
                least = min((move for move, _ in group), key=lambda move: move.number)
                self.arrive(least, task, sum(value for _, value in group))
        else:
            self.arrive(task.move, task, sum(read))

    def arrive(self, move, task, value):
        """Put a value where it goes to."""
        for rank in task.destinations:
            assert move not in self.inbox[rank], "arrives twice"
            self.inbox[rank][move] = value
            if task.kind is not Kind.REDUCE:
                self.result[rank][task.chunk] = value


def expected(operation, plan, buffers, rank):
    """Say with numpy what ``rank`` must have at the end, by part of the result."""
    if operation is Operation.ALL_REDUCE:
        return dict(enumerate(buffers.sum(axis=0)))
    if operation is Operation.REDUCE_SCATTER:
        # Rank 0 owns the last parts, rank 1 those before.
        first = (plan.ranks - 1 - rank) * plan.subs
        return {part: buffers[:, part].sum(axis=0) for part in range(first, first + plan.subs)}
    if operation is Operation.ALL_GATHER:
        owner = plan.ranks - 1 - np.arange(plan.parts) // plan.subs
        return {part: buffers[owner[part], part] for part in range(plan.parts)}
    if operation is Operation.ALL_TO_ALL:
        return dict(enumerate(buffers.transpose(1, 0, 2)[rank]))
    source = 0 if operation is Operation.BROADCAST else (rank - 1) % plan.ranks
    return dict(enumerate(buffers[source]))


@settings(max_examples=3)
@given(seed=st.integers(0, 2**32 - 1))
def test_data_end_where_they_should(case, seed):
    """Carried out in any order that waits and lanes allow, a plan gives what numpy gives."""
    operation, _, plan = case
    buffers = np.random.default_rng(seed).integers(-(2**40), 2**40, (plan.ranks, plan.parts, WIDTH))
    ranks = Ranks(plan, buffers)
    ranks.run(Random(seed))
    for rank in range(plan.ranks):
        for part, value in expected(operation, plan, buffers, rank).items():
            if operation is Operation.ALL_TO_ALL:
                chunks = [c for c in range(part * plan.subs, (part + 1) * plan.subs) if part_of(plan, c) == rank]
            elif operation is Operation.SEND:
                chunks = [(rank - 1) % plan.ranks * plan.subs + part]
            else:
                chunks = [c for c in range(plan.homes * plan.subs) if part_of(plan, c) == part]
            (chunk,) = chunks
            # What nobody had to bring is what the rank has had from the start.
            got = ranks.result[rank].get(chunk, buffers[rank][part_of(plan, chunk)])
            assert (got == value).all(), (rank, part)
