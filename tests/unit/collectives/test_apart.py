"""Plans whose sums are steps of their own."""

import pytest

from t3sim.collectives.apart import with_sums_apart
from t3sim.collectives.check import check
from t3sim.collectives.plan import Kind, Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.execution.data import DataMode
from t3sim.lowering.chunks import even_chunks
from t3sim.lowering.work import CollectiveWork
from t3sim.schemes.kernels import CollectivePhase
from t3sim.simulation.lab import ALL, SystemLab

PLANS = [
    ("ring", (4,), "{kind: ring}"),
    ("bidirectional-ring", (4,), "{kind: ring}"),
    ("torus", (2, 2), "{kind: torus, shape: [2, 2]}"),
    ("halving-doubling", (4,), "{kind: switch}"),
    ("direct", (4,), "{kind: fully-connected}"),
]


@pytest.mark.parametrize(("algorithm", "shape", "topology"), PLANS)
@pytest.mark.parametrize("operation", [Operation.REDUCE_SCATTER, Operation.ALL_GATHER])
def test_what_engines_copy_is_right_everywhere(algorithm, shape, topology, operation, tiny_system, collective_op):
    """No move that sends waits for a contribution, the plan is proven, and every element is where it belongs."""
    plan = make_plan(operation, algorithm, NetworkFacts(ranks=4, shape=shape))
    apart = with_sums_apart(plan)
    check(apart)
    moves = apart.moves
    adding = [move for move in moves if any(moves[before].kind is Kind.REDUCE for before in move.after)]
    assert {move.kind for move in adding} <= {Kind.LOCAL}
    system = tiny_system(f"topology={topology}", "link.receive_buffer=1 MiB", "copy_engines.start_up=1 us")
    work = CollectiveWork(
        op=collective_op("c", operation.value, 9_998), plan=apart, chunks=even_chunks(9_998, apart.parts, 1024)
    )
    lab = SystemLab(system, 4, ALL, data=DataMode())
    found = lab.run([CollectivePhase(work, by_engines=True)], "default").data
    assert found.errors == 0, str(found)


def test_a_ring_s_sums_on_the_way_become_moves():
    """The chunk of home 0 makes three hops: sums before the second and the third are new, the last was there."""
    plan = make_plan(Operation.REDUCE_SCATTER, "ring", NetworkFacts(ranks=4, shape=(4,)))
    kinds = [move.kind for move in with_sums_apart(plan).moves]
    send, total = Kind.REDUCE, Kind.LOCAL
    assert kinds == [send, total, send, total, send, total]


def test_where_nothing_is_summed_on_the_way_a_plan_stays():
    """All-gathers, and a direct reduce-scatter, have the moves that they had."""
    for operation, algorithm in ((Operation.ALL_GATHER, "ring"), (Operation.REDUCE_SCATTER, "direct")):
        plan = make_plan(operation, algorithm, NetworkFacts(ranks=4, shape=(4,)))
        moved = [(move.kind, move.source, move.destinations, move.after) for move in plan.moves]
        apart = [(move.kind, move.source, move.destinations, move.after) for move in with_sums_apart(plan).moves]
        assert apart == moved
