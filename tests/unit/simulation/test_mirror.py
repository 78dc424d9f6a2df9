"""Whether one GPU may stand for all, and over which grid; if not, why."""

import pytest

from t3sim.schemes.sequential import kernel_phase
from t3sim.schemes.t3 import fused_phases
from t3sim.simulation.mirror import mirror_shape
from t3sim.simulation.plans import wiring_of

SHAPE = (128, 64, 64)
TORUS = "topology={kind: torus, shape: [2, 2]}"
UNSTAGGERED = "track_trigger.staggered=false"


@pytest.fixture
def answer(tiny_system, lowered):
    """Give a function that asks for a sublayer on a system changed by overrides."""

    def ask(sublayer, *overrides, fused=True, approximate=False):
        system = tiny_system(*overrides)
        works = lowered(system, sublayer)
        phases = fused_phases(works, system.track_trigger) if fused else [kernel_phase(work) for work in works]
        return mirror_shape(system, wiring_of(system, sublayer.tp), phases, approximate=approximate)

    return ask


@pytest.mark.parametrize("gpus", [2, 3, 8])
def test_one_gpu_of_a_ring_stands_for_all(gpus, answer, pair):
    """A fused pair with a ring's collectives on a ring looks the same from every GPU, in a row of all."""
    assert answer(pair(gpus, (32 * gpus, 64, 64))) == (gpus,)


def test_the_grid_is_that_of_the_plans(answer, pair):
    """On a torus collectives by the torus algorithm are symmetric over its grid."""
    assert answer(pair(4, SHAPE), TORUS, "algorithms={all_reduce: torus}") == (2, 2)


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


@pytest.mark.parametrize("shape", [(2, 2), (2, 3)])
def test_a_network_may_not_have_the_plans_grid(shape, answer, pair):
    """A ring of ranks laid over a torus crosses its links unequally, so its GPUs differ."""
    gpus = shape[0] * shape[1]
    torus = f"topology={{kind: torus, shape: [{shape[0]}, {shape[1]}]}}"
    sublayer = pair(gpus, (64 * gpus, 64, 64))
    assert answer(sublayer, torus, "algorithms={all_reduce: ring}") == (
        f"the network does not look the same from every GPU of a grid of {gpus}"
    )
    assert answer(sublayer, torus, "algorithms={all_reduce: torus}") == shape


@pytest.mark.parametrize(
    ("shape", "alike"),
    [((128, 64, 64), True), ((100, 64, 64), False)],
    ids=["equal chunks", "chunks of unequal tiles"],
)
def test_sums_in_the_switch_need_equal_chunks(shape, alike, answer, gemm_op, collective_op, sublayer_of):
    """One GPU has pieces of its own chunks only to add up with those of others: they must be of one size."""
    sublayer = sublayer_of(4, gemm_op("g", shape), collective_op("r", "reduce_scatter", shape[0] * shape[1] * 2, "g"))
    switch = "topology={kind: switch, switch: {reduces: true, adder_rate: 1 TB/s, entries: 64}}"
    reason = "the chunks of the reduce_scatter differ, and a switch adds up pieces of one size only"
    summed, around = (f"algorithms={{reduce_scatter: {algorithm}}}" for algorithm in ("in-switch", "ring"))
    assert answer(sublayer, switch, summed, approximate=True) == ((4,) if alike else reason)
    assert answer(sublayer, switch, around, approximate=True) == (4,)


def test_slices_in_the_switch_must_be_equal_too(answer, collective_op, sublayer_of):
    """A buffer that does not divide into equal chunks has slices of other sizes in some of them."""
    switch = "topology={kind: switch, switch: {reduces: true, adder_rate: 1 TB/s, entries: 64}}"
    for nbytes, expected in ((8192, tuple), (8194, str)):
        sublayer = sublayer_of(4, collective_op("r", "reduce_scatter", nbytes))
        assert isinstance(answer(sublayer, switch, "algorithms={reduce_scatter: in-switch}"), expected)


@pytest.mark.parametrize("fused", [True, False])
def test_chunks_of_other_sizes_make_gpus_differ(fused, answer, pair):
    """Seven tile rows are not four equal chunks: no GPU is all, but one may stand for them as an approximation."""
    sublayer = pair(4, (7 * 16, 16, 64))
    assert answer(sublayer, fused=fused) == "chunks of the reduce_scatter differ in size"
    assert answer(sublayer, fused=fused, approximate=True) == (4,)


def test_kernels_send_bytes_and_fused_gemms_send_tiles(answer, pair):
    """Chunks of as many bytes in other tiles differ where tiles travel, and nowhere else."""
    # Four tile rows in columns of 16, 16 and 8 elements: four chunks of two tiles, and the last one of four halves.
    sublayer = pair(5, (64, 40, 64))
    assert answer(sublayer) == "chunks of the reduce_scatter are cut into different tiles"
    assert answer(sublayer, fused=False) == (5,)


def test_operands_shared_unlike_make_fused_gemms_differ(answer, pair):
    """Where chunks are half columns every second GPU starts inside one: fused kernels differ, kernels alone do not."""
    sublayer = pair(4, (2 * 16, 6 * 16, 64))
    reason = "chunks of the reduce_scatter share rows or columns of tiles, so operands are read unlike"
    assert answer(sublayer) == reason
    assert answer(sublayer, fused=False) == (4,)
    assert answer(sublayer, approximate=True) == (4,)
