"""Plans whose chunks travel in pieces."""

import pytest

from t3sim.collectives.check import check
from t3sim.collectives.cut import in_pieces
from t3sim.collectives.plan import Operation, part_of
from t3sim.collectives.planning import NetworkFacts, make_plan

PLANS = [("ring", (4,)), ("bidirectional-ring", (4,)), ("torus", (2, 2)), ("halving-doubling", (4,)), ("direct", (4,))]


def planned(algorithm, shape):
    """Plan an all-gather of four ranks."""
    return make_plan(Operation.ALL_GATHER, algorithm, NetworkFacts(ranks=4, shape=shape))


@pytest.mark.parametrize(("algorithm", "shape"), PLANS)
@pytest.mark.parametrize("pieces", [2, 3])
def test_pieces_go_the_way_of_their_chunk(algorithm, shape, pieces):
    """Each move becomes one of every piece, between the same ranks, after moves of the same piece; all is proven."""
    plan = planned(algorithm, shape)
    cut = in_pieces(plan, pieces)
    check(cut)
    assert (cut.subs, cut.parts) == (plan.subs * pieces, plan.parts * pieces)
    for number, move in enumerate(cut.moves):
        whole, piece = plan.moves[number // pieces], number % pieces
        assert (move.source, move.destinations, move.lane) == (whole.source, whole.destinations, whole.lane)
        assert divmod(move.chunk, pieces) == (whole.chunk, piece)
        assert [divmod(before, pieces) for before in move.after] == [(before, piece) for before in whole.after]


def test_pieces_of_a_chunk_lie_side_by_side():
    """Chunk 1 of a ring is part 2 of four; its pieces are parts 4 and 5 of eight, sent in this order."""
    plan = planned("ring", (4,))
    cut = in_pieces(plan, 2)
    assert part_of(plan, 1) == 2
    assert [part_of(cut, chunk) for chunk in (2, 3)] == [4, 5]
    assert [move.step for move in cut.moves] == [0, 1, 2, 3, 4, 5]
    assert [move.chunk for move in cut.moves] == [0, 1, 0, 1, 0, 1]


def test_one_piece_is_the_plan_itself():
    """Nothing is cut."""
    plan = planned("ring", (4,))
    assert in_pieces(plan, 1) is plan
