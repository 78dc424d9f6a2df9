"""Times of plans, over wires and with nothing else to wait for, against the closed forms of their algorithms."""

import heapq
from collections import defaultdict
from fractions import Fraction
from math import prod

import pytest

from t3sim.collectives.plan import Kind, Operation, tasks_of
from t3sim.collectives.planning import NetworkFacts, make_plan

SCATTER, GATHER, REDUCE = Operation.REDUCE_SCATTER, Operation.ALL_GATHER, Operation.ALL_REDUCE
EXCHANGE, BROADCAST, SEND = Operation.ALL_TO_ALL, Operation.BROADCAST, Operation.SEND


def planned(algorithm, operation, shape):
    return make_plan(operation, algorithm, NetworkFacts(ranks=prod(shape), shape=shape))


class Wires:
    """Carries out a plan over wires that each send one part of the buffer in one unit of time, on free memory.

    ``wire_of``: the wire that a message from one rank to another takes; wires serve in the order of requests.
    """

    def __init__(self, plan, wire_of, latency, slices):
        self.plan, self.wire_of, self.latency, self.slices = plan, wire_of, latency, slices
        self.lanes = defaultdict(list)
        for rank in range(plan.ranks):
            for task in tasks_of(plan, rank):
                self.lanes[rank, task.lane] += [(task, part) for part in range(slices)]
        self.arrivals, self.free, self.waiting = {}, defaultdict(Fraction), defaultdict(list)
        self.queue = [(Fraction(0), lane) for lane in sorted(self.lanes)]
        self.end = Fraction(0)

    def run(self):
        """Let each lane go on as soon as it can; returns when the last slice has arrived."""
        while self.queue:
            now, lane = heapq.heappop(self.queue)
            if self.lanes[lane]:
                self.go_on(now, lane)
        assert not any(self.lanes.values())
        return self.end

    def go_on(self, now, lane):
        """Start the lane's next slice, or wait for the first thing that is missing."""
        task, part = self.lanes[lane][0]
        parts = [part] if self.plan.by_slice else range(self.slices)
        for needed in ((lane[0], move, each) for move in (*task.waits, *task.own) for each in parts):
            if needed not in self.arrivals:
                self.waiting[needed].append(lane)
                return
            if self.arrivals[needed] > now:
                heapq.heappush(self.queue, (self.arrivals[needed], lane))
                return
        self.lanes[lane].pop(0)
        heapq.heappush(self.queue, (self.start(now, lane[0], task, part), lane))

    def start(self, now, rank, task, part):
        """Send, sum or only note; returns when the slice has left the rank."""
        left = arrived = now
        if task.move is not None and task.kind is not Kind.LOCAL:
            wire = self.wire_of(rank, task.destinations[0])
            self.free[wire] = left = max(now, self.free[wire]) + Fraction(1, self.slices)
            arrived = left + self.latency
        self.end = max(self.end, arrived)
        for destination in task.destinations:
            self.arrivals[destination, task.move, part] = arrived
            for lane in self.waiting.pop((destination, task.move, part), []):
                heapq.heappush(self.queue, (arrived, lane))
        return left


def time_of(plan, wire_of, *, latency, slices=1):
    return Wires(plan, wire_of, latency, slices).run()


def port(source, _):
    """Give each rank one wire to all."""
    return source


def pair(source, destination):
    """Give each pair of ranks a wire of its own."""
    return source, destination


HALVINGS = ((2, 1), (4, 2), (8, 3), (16, 4), (32, 5))
# (algorithm, operation, ranks, wires, n, k): n times a part's time on a wire, and k latencies.
TIMES = [
    *(("ring", operation, n, port, n - 1, n - 1) for n in (2, 3, 8) for operation in (SCATTER, GATHER)),
    *(("ring", REDUCE, n, port, 2 * n - 2, 2 * n - 2) for n in (2, 3, 8)),
    *(("bidirectional-ring", operation, n, pair, n - 1, n - 1) for n in (3, 8) for operation in (SCATTER, GATHER)),
    ("bidirectional-ring", SCATTER, 2, pair, 2, 1),
    *(
        ("direct", operation, n, pair, 1, 1)
        for n in (2, 5, 8)
        for operation in (SCATTER, GATHER, EXCHANGE, BROADCAST, SEND)
    ),
    *(
        ("direct", operation, n, port, n - 1, 1)
        for n in (2, 5, 8)
        for operation in (SCATTER, GATHER, EXCHANGE, BROADCAST)
    ),
    *(("direct", REDUCE, n, pair, 2, 2) for n in (2, 5, 8)),
    *(("one-shot", REDUCE, n, pair, 1, 1) for n in (2, 5, 8)),
    *(("one-shot", REDUCE, n, port, n - 1, 1) for n in (2, 5, 8)),
    *(("halving-doubling", operation, n, port, n - 1, bits) for n, bits in HALVINGS for operation in (SCATTER, GATHER)),
    *(("halving-doubling", REDUCE, n, port, 2 * (n - 1), 2 * bits) for n, bits in HALVINGS),
]


@pytest.mark.parametrize("latency", [0, 3, 100])
@pytest.mark.parametrize(("algorithm", "operation", "ranks", "wire_of", "parts", "latencies"), TIMES)
def test_times_are_those_of_the_closed_forms(algorithm, operation, ranks, wire_of, parts, latencies, latency):
    """Over wires with nothing else to wait for, a plan takes as long as its docstring says."""
    found = time_of(planned(algorithm, operation, (ranks,)), wire_of, latency=latency)
    assert found == parts + latencies * latency


@pytest.mark.parametrize("latency", [0, 3, 100])
@pytest.mark.parametrize("shape", [(4, 4), (3, 3), (2, 2, 2), (3, 3, 3)])
def test_a_torus_of_equal_sides_takes_at_most_its_closed_form(shape, latency):
    """Links along all sides are busy: n - 1 parts of 1/(n D), and exactly that long where nothing is latent."""
    ranks, side, dimensions = prod(shape), shape[0], len(shape)
    limit = ranks - 1 + dimensions * (side - 1) * latency
    for operation, times in ((SCATTER, 1), (GATHER, 1), (REDUCE, 2)):
        found = time_of(planned("torus", operation, shape), pair, latency=latency)
        assert found <= times * limit
        assert found >= times * (ranks - 1)
        assert latency or found == times * limit


@pytest.mark.parametrize("latency", [0, 3, 100])
@pytest.mark.parametrize("shape", [(2, 2), (3, 4), (4, 2), (1, 4), (4, 1)])
def test_two_levels_take_at_most_their_closed_forms(shape, latency):
    """One phase after the other is the limit; the busier of both, with its latencies, is the least."""
    nodes, locals_ = shape

    def wire_of(source, destination):
        return source, source // locals_ == destination // locals_

    for algorithm, operation, inside, across, hops, times in (
        ("hierarchical", SCATTER, nodes * (locals_ - 1), nodes - 1, nodes - 1, 1),
        ("hierarchical", GATHER, nodes * (locals_ - 1), nodes - 1, nodes - 1, 1),
        ("hierarchical", REDUCE, nodes * (locals_ - 1), nodes - 1, nodes - 1, 2),
        ("two-level", EXCHANGE, nodes * (locals_ - 1), locals_ * (nodes - 1), int(nodes > 1), 1),
    ):
        delays = latency * ((locals_ > 1) + hops)
        found = time_of(planned(algorithm, operation, shape), wire_of, latency=latency)
        assert times * max(inside, across) <= found <= times * (inside + across + delays)


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_a_broadcast_along_a_ring_goes_slice_by_slice(ranks):
    """S/B, and for each rank but the first two one slice, for each but the first one latency."""
    plan = planned("ring", BROADCAST, (ranks,))
    assert time_of(plan, port, latency=2, slices=10) == 1 + (ranks - 2) * Fraction(1, 10) + (ranks - 1) * 2


@pytest.mark.parametrize("latency", [0, 1])
@pytest.mark.parametrize("ranks", [2, 3, 4, 7, 8, 16])
def test_a_double_tree_takes_at_most_twice_the_buffer_and_a_slice_up_and_down(ranks, latency):
    """2 S/B and 2 log2 n hops of one slice are the limit; the most that one rank sends is the least. Parts are S/2."""
    plan = planned("double-tree", REDUCE, (ranks,))
    found = time_of(plan, port, latency=latency, slices=16)
    busiest = max(
        sum(move.kind is not Kind.LOCAL and move.source == rank for move in plan.moves) for rank in range(ranks)
    )
    assert busiest <= found <= 4 + 2 * (ranks.bit_length() - 1) * (Fraction(1, 16) + latency)
