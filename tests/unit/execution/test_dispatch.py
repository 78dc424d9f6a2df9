"""In which order GPUs produce their tiles: staggered, in turns, or all alike."""

import pytest

from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.execution.address_space import dispatch

SCATTER = Operation.REDUCE_SCATTER


def plan_of(algorithm, ranks, operation=SCATTER):
    facts = NetworkFacts(ranks=ranks, shape=(ranks,), switch_reduces=True, switch_multicasts=True)
    return make_plan(operation, algorithm, facts)


def produced(plan, rank, counts, *, staggered=True):
    order = dispatch(plan, rank, counts, staggered=staggered)
    return list(zip(order.parts.tolist(), order.pieces.tolist(), strict=True))


def test_ring_positions_by_hand():
    """On a ring of four GPU 0 takes parts 0 1 2 3; GPU 1, one step behind, 3 0 1 2; GPU 3 takes 1 2 3 0."""
    plan, counts = plan_of("ring", 4), (1, 1, 1, 1)
    orders = [[part for part, _ in produced(plan, gpu, counts)] for gpu in (0, 1, 3)]
    assert orders == [[0, 1, 2, 3], [3, 0, 1, 2], [1, 2, 3, 0]]


@pytest.mark.parametrize("count", range(2, 10))
def test_ring_gpus_meet_a_part_one_position_after_their_predecessor(count):
    """What a GPU sends at position p is the part that its successor handles at p + 1, and all start with others."""
    plan = plan_of("ring", count)
    orders = [[part for part, _ in produced(plan, gpu, (1,) * count)] for gpu in range(count)]
    for gpu, order in enumerate(orders):
        assert order[:-1] == orders[(gpu + 1) % count][1:]
    assert all(len({order[position] for order in orders}) == count for position in range(count))


def test_parts_of_a_ring_are_made_one_after_the_other():
    """All tiles of a part, in order, before the next part; however unequal the parts."""
    assert produced(plan_of("ring", 3), 1, (2, 1, 3)) == [(2, 0), (2, 1), (2, 2), (0, 0), (0, 1), (1, 0)]


def test_without_staggering_all_gpus_go_by_number():
    """Every GPU produces part 0 first."""
    plan = plan_of("ring", 3)
    for gpu in range(3):
        assert produced(plan, gpu, (1, 2, 1), staggered=False) == [(0, 0), (1, 0), (1, 1), (2, 0)]


def test_parts_that_leave_at_once_take_turns_and_the_own_one_is_last():
    """Direct: a tile for each of the others in turn, those that have more go on; what stays comes at the end."""
    # GPU 1 of 3 sends the chunk of GPU 0 (part 2) and of GPU 2 (part 0), and keeps its own (part 1).
    assert produced(plan_of("direct", 3), 1, (1, 2, 2)) == [(2, 0), (0, 0), (2, 1), (1, 0), (1, 1)]


def test_what_a_switch_sums_comes_from_all_gpus_at_about_the_same_time():
    """In the switch all parts take turns, so that no GPU is more than a round of tiles ahead with any of them."""
    plan, gpus, tiles = plan_of("in-switch", 4), 4, 5
    for gpu in range(gpus):
        order = produced(plan, gpu, (tiles,) * gpus)
        assert sorted(order) == [(part, piece) for part in range(gpus) for piece in range(tiles)]
        assert [piece for _, piece in order] == sorted(piece for _, piece in order)


@pytest.mark.parametrize("algorithm", ["ring", "bidirectional-ring", "direct", "in-switch"])
@pytest.mark.parametrize("gpus", [2, 3, 5])
@pytest.mark.parametrize("staggered", [True, False])
def test_every_tile_is_made_once(algorithm, gpus, staggered):
    """Whatever the plan, a GPU produces each tile of its output exactly once."""
    plan = plan_of(algorithm, gpus)
    counts = tuple(part % 3 + 1 for part in range(plan.parts))
    wanted = [(part, piece) for part, count in enumerate(counts) for piece in range(count)]
    for gpu in range(gpus):
        assert sorted(produced(plan, gpu, counts, staggered=staggered)) == wanted
