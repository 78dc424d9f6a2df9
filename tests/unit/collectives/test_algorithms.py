"""Bytes and steps of each algorithm against closed forms, and what it refuses."""

from fractions import Fraction
from math import log2, prod

import pytest

from t3sim.collectives.grid import turn
from t3sim.collectives.plan import Kind, Operation, arrivals_of, tasks_of
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.errors import PlanError

SCATTER, GATHER, REDUCE = Operation.REDUCE_SCATTER, Operation.ALL_GATHER, Operation.ALL_REDUCE
EXCHANGE, BROADCAST, SEND = Operation.ALL_TO_ALL, Operation.BROADCAST, Operation.SEND
LINES = ((2,), (3,), (4,), (5,), (7,), (8,), (12,), (16,))
POWERS = ((2,), (4,), (8,), (16,))
GRIDS = ((1, 2), (2, 1), (2, 2), (3, 4), (4, 2), (4, 4))


def planned(algorithm, operation, shape):
    facts = NetworkFacts(ranks=prod(shape), shape=shape, switch_reduces=True, switch_multicasts=True)
    return make_plan(operation, algorithm, facts)


def levels(n):
    """How high a binary tree of n ranks is."""
    return n.bit_length() - 1


def least(shape):
    """Say how many buffers each rank sends in a reduce-scatter or an all-gather with the fewest bytes."""
    return 1 - Fraction(1, prod(shape))


# Algorithms whose halves send the fewest bytes, by grid: messages one after the other in either half.
HALVES = [
    *((algorithm, shape, shape[0] - 1) for algorithm in ("ring", "bidirectional-ring") for shape in LINES),
    *(("direct", shape, 1) for shape in LINES + GRIDS),
    *(("halving-doubling", shape, int(log2(shape[0]))) for shape in POWERS),
    *(("torus", shape, sum(shape) - len(shape)) for shape in (*GRIDS, (2, 2, 2), (3, 2, 2))),
    *(("hierarchical", shape, (shape[1] > 1) + shape[0] - 1) for shape in GRIDS),
]
# (algorithm, operation, grid): buffers that each rank sends, and messages one after the other.
FORMS = [
    *(
        (algorithm, operation, shape, times * least(shape), times * hops)
        for operation, times in ((SCATTER, 1), (GATHER, 1), (REDUCE, 2))
        for algorithm, shape, hops in HALVES
    ),
    *(("one-shot", REDUCE, shape, prod(shape) - 1, 1) for shape in LINES + GRIDS),
    *(("direct", EXCHANGE, shape, least(shape), 1) for shape in LINES + GRIDS),
    *(("direct", SEND, shape, 1, 1) for shape in LINES + GRIDS),
    *(("in-switch", SCATTER, shape, 1, 1) for shape in LINES),
    *(("in-switch", GATHER, shape, Fraction(1, shape[0]), 1) for shape in LINES),
    *(("in-switch", REDUCE, shape, 1 + Fraction(1, shape[0]), 2) for shape in LINES),
    *(
        (
            "two-level",
            EXCHANGE,
            shape,
            Fraction(shape[0] - 1, shape[0]) + Fraction(shape[1] - 1, shape[1]),
            (shape[0] > 1) + (shape[1] > 1),
        )
        for shape in GRIDS
    ),
]


def sent(plan, rank):
    return sum(
        Fraction(1, plan.parts) for task in tasks_of(plan, rank) if task.destinations and task.kind is not Kind.LOCAL
    )


def received(plan, rank):
    return Fraction(len(arrivals_of(plan, rank)), plan.parts)


def steps(plan):
    """Count the messages on the longest way through the plan."""
    depth = []
    for move in plan.moves:
        depth.append(max((depth[before] for before in move.after), default=0) + (move.kind is not Kind.LOCAL))
    return max(depth)


@pytest.mark.parametrize(("algorithm", "operation", "shape", "buffers", "hops"), FORMS)
def test_bytes_and_steps(algorithm, operation, shape, buffers, hops):
    """Each rank sends as many buffers, in as many steps, as the algorithm's formulas say."""
    plan = planned(algorithm, operation, shape)
    assert {sent(plan, rank) for rank in range(plan.ranks)} == {buffers}
    assert steps(plan) == hops


@pytest.mark.parametrize("ranks", [2, 3, 8, 12])
def test_a_switch_moves_the_one_way_what_it_saves_the_other(ranks):
    """Reduce-scatter: S out, S/n in; all-gather: S/n out, S in; all-reduce: S + S/n both ways."""
    part = Fraction(1, ranks)
    for operation, there, back in ((SCATTER, 1, part), (GATHER, part, 1), (REDUCE, 1 + part, 1 + part)):
        plan = planned("in-switch", operation, (ranks,))
        assert {(sent(plan, rank), received(plan, rank)) for rank in range(ranks)} == {(there, back)}


@pytest.mark.parametrize("ranks", range(2, 35))
def test_double_tree(ranks):
    """Nobody is an inner node of both trees, all of one tree are at most log2 n hops high, and trees are binary."""
    plan = planned("double-tree", REDUCE, (ranks,))
    inner = []
    for tree in range(2):
        up = [move for move in plan.moves if move.chunk == tree and move.kind is Kind.REDUCE]
        parents = [move.destinations[0] for move in up]
        (root,) = set(range(ranks)) - {move.source for move in up}
        assert len(up) == ranks - 1
        assert root in parents
        assert max(parents.count(rank) for rank in parents) <= 2
        inner.append(set(parents))
    assert not inner[0] & inner[1]
    assert steps(plan) == 2 * levels(ranks)
    assert max(sent(plan, rank) for rank in range(ranks)) <= 2
    assert max(received(plan, rank) for rank in range(ranks)) <= 2
    total = sum(sent(plan, rank) for rank in range(ranks))
    assert total == 2 * (ranks - 1)


@pytest.mark.parametrize("ranks", [2, 3, 8, 13])
def test_broadcasts(ranks):
    """A ring passes the whole buffer on, rank by rank; directly the first rank sends it to each."""
    along, direct = planned("ring", BROADCAST, (ranks,)), planned("direct", BROADCAST, (ranks,))
    assert [sent(along, rank) for rank in range(ranks)] == [1] * (ranks - 1) + [0]
    assert (steps(along), along.by_slice) == (ranks - 1, True)
    assert [sent(direct, rank) for rank in range(ranks)] == [ranks - 1] + [0] * (ranks - 1)
    assert steps(direct) == 1


@pytest.mark.parametrize("shape", [(2, 3), (4, 4)])
def test_rails_and_nodes(shape):
    """Hierarchical and two-level plans cross nodes between ranks of equal local index only, the former to the next."""
    for algorithm, operation in (("hierarchical", REDUCE), ("two-level", EXCHANGE)):
        for move in planned(algorithm, operation, shape).moves:
            (node, local), (to, to_local) = (divmod(rank, shape[1]) for rank in (move.source, move.destinations[0]))
            assert node == to or local == to_local
            assert node == to or algorithm == "two-level" or (node + 1) % shape[0] == to


@pytest.mark.parametrize(
    ("algorithm", "operation", "shape", "lanes"),
    [
        ("direct", REDUCE, (5,), 4),
        ("direct", EXCHANGE, (2, 3), 5),
        ("hierarchical", SCATTER, (3, 4), 3 + 1),
        ("hierarchical", GATHER, (3, 4), 3 + 1),
        ("two-level", EXCHANGE, (3, 4), 3 + 2),
    ],
)
def test_who_is_talked_to_at_once_has_a_lane(algorithm, operation, shape, lanes):
    """All messages of a lane go equally far, so those to different ranks go on at the same time."""
    ways = {}
    plan = planned(algorithm, operation, shape)
    for move in plan.moves:
        if move.kind is not Kind.LOCAL:
            way = (move.kind, turn(move.source, move.destinations[0], shape))
            assert ways.setdefault((move.lane, move.kind), way) == way
    assert {lane for lane, _ in ways} == set(range(lanes))


@pytest.mark.parametrize("shape", [(4, 4), (3, 2, 2), (5, 3)])
def test_a_torus_moves_to_neighbours_along_all_dimensions_at_first(shape):
    """Every hop is one on along one side, and each lane starts along a side of its own."""
    plan = planned("torus", SCATTER, shape)
    strides = [prod(shape[axis + 1 :]) for axis in range(len(shape))]
    starts = {}
    for move in plan.moves:
        if move.kind is Kind.LOCAL:
            continue
        coordinates = [
            [rank // stride % size for stride, size in zip(strides, shape, strict=True)]
            for rank in (move.source, move.destinations[0])
        ]
        sides = [axis for axis, (here, there) in enumerate(zip(*coordinates, strict=True)) if here != there]
        assert [
            (there - here) % shape[axis]
            for axis in sides
            for here, there in [(coordinates[0][axis], coordinates[1][axis])]
        ] == [1]
        starts.setdefault(move.lane, sides[0])
    assert sorted(starts.values()) == list(range(len(shape)))


@pytest.mark.parametrize(
    ("algorithm", "operation", "facts", "reason"),
    [
        ("halving-doubling", REDUCE, NetworkFacts(ranks=6, shape=(6,)), "power of two of ranks, not 6"),
        ("hierarchical", REDUCE, NetworkFacts(ranks=6, shape=(6,)), "grid of nodes and ranks of a node, not (6,)"),
        ("two-level", EXCHANGE, NetworkFacts(ranks=8, shape=(2, 2, 2)), "grid of nodes and ranks of a node"),
        ("torus", GATHER, NetworkFacts(ranks=6, shape=(6,)), "at least two dimensions, not (6,)"),
        ("in-switch", SCATTER, NetworkFacts(ranks=6, shape=(6,), switch_multicasts=True), "a switch that reduces"),
        ("in-switch", GATHER, NetworkFacts(ranks=6, shape=(6,), switch_reduces=True), "a switch that multicasts"),
        ("in-switch", REDUCE, NetworkFacts(ranks=6, shape=(6,), switch_reduces=True), "a switch that multicasts"),
    ],
)
def test_algorithms_say_what_they_need(algorithm, operation, facts, reason):
    """Where an algorithm does not work, the error names it and what the network lacks."""
    with pytest.raises(PlanError) as error:
        make_plan(operation, algorithm, facts)
    assert algorithm in str(error.value)
    assert reason in str(error.value)
