"""Whether one GPU may stand for all, and over which grid; if not, why."""

import pytest

from t3sim.simulation.mirror import mirror_shape
from t3sim.simulation.plans import wiring_of

SHAPE = (128, 64, 64)
TORUS = "topology={kind: torus, shape: [2, 2]}"
UNSTAGGERED = "track_trigger.staggered=false"


@pytest.fixture
def answer(tiny_system, lowered):
    """Give a function that asks for a sublayer on a system changed by overrides."""

    def ask(sublayer, *overrides):
        system = tiny_system(*overrides)
        return mirror_shape(system, wiring_of(system, sublayer.tp), lowered(system, sublayer))

    return ask


@pytest.mark.parametrize("gpus", [2, 3, 8])
def test_one_gpu_of_a_ring_stands_for_all(gpus, answer, pair):
    """A fused pair with a ring's collectives on a ring looks the same from every GPU, in a row of all."""
    assert answer(pair(gpus, SHAPE)) == (gpus,)


def test_the_grid_is_that_of_the_plans(answer, pair):
    """On a torus collectives by the torus algorithm are symmetric over its grid."""
    by_torus = "algorithms={reduce_scatter: torus, all_gather: torus, all_reduce: torus}"
    assert answer(pair(4, SHAPE), TORUS, by_torus) == (2, 2)


def test_without_collectives_the_grid_is_that_of_the_network(answer, gemm_op, sublayer_of):
    """A GEMM alone is the same on every GPU; nothing but the wiring says over which grid."""
    assert answer(sublayer_of(4, gemm_op("g", SHAPE))) == (4,)
    assert answer(sublayer_of(4, gemm_op("g", SHAPE)), TORUS) == (2, 2)


def test_a_single_gpu_stands_for_itself(answer, pair):
    """Plans that move nothing have no say."""
    assert answer(pair(1, SHAPE)) == (1,)


def test_unstaggered_gpus_run_different_programs(answer, pair, collective_op, sublayer_of):
    """Without staggering fused GPUs differ; where nothing can be fused they do not."""
    assert answer(pair(4, SHAPE), UNSTAGGERED) == "without staggering each GPU runs another program"
    assert answer(sublayer_of(4, collective_op("r", "reduce_scatter", 8192)), UNSTAGGERED) == (4,)


def test_ranks_of_a_tree_have_different_parts(answer, pair):
    """An algorithm that makes one rank the root has no symmetric plan."""
    reason = "double-tree gives every rank another part in the all_reduce"
    assert answer(pair(4, SHAPE), "algorithms={all_reduce: double-tree}") == reason


def test_collectives_over_different_grids_do_not_go_together(answer, collective_op, sublayer_of):
    """Where one collective sees a row of ranks and the next a grid, no rotation leaves both as they are."""
    sublayer = sublayer_of(4, collective_op("r", "reduce_scatter", 8192), collective_op("a", "all_gather", 8192, "r"))
    mixed = "algorithms={reduce_scatter: torus, all_gather: ring}"
    reason = "its collectives are symmetric over different grids of ranks: (2, 2) and (4,)"
    assert answer(sublayer, TORUS, mixed) == reason


def test_a_network_may_not_have_the_plans_grid(answer, pair):
    """A ring of ranks laid over a torus crosses its links unequally, so its GPUs differ."""
    reason = "the network does not look the same from every GPU of a grid of 4"
    assert answer(pair(4, SHAPE), TORUS) == reason
    by_torus = "algorithms={reduce_scatter: torus, all_gather: torus, all_reduce: torus}"
    six = "topology={kind: torus, shape: [2, 3]}"
    assert answer(pair(6, SHAPE), six, by_torus) == (2, 3)
    assert answer(pair(6, SHAPE), six) == "the network does not look the same from every GPU of a grid of 6"
