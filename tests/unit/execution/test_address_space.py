"""The address-space configuration: what a plan makes of each chunk at each GPU, against T3's own and by hand."""

import pytest

from t3sim.collectives.plan import Kind, Move, Operation, Plan
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.errors import PlanError
from t3sim.execution.address_space import dispatch, own_chunks, stations

RINGS = range(2, 9)


def planned(operation, algorithm, ranks):
    return make_plan(operation, algorithm, NetworkFacts(ranks=ranks, shape=(ranks,)))


@pytest.fixture(params=RINGS)
def ring(request):
    """Give the ring's reduce-scatter over 2 to 8 GPUs, and the stations of each GPU."""
    plan = planned(Operation.REDUCE_SCATTER, "ring", request.param)
    return plan, [stations(plan, rank) for rank in range(plan.ranks)]


def test_ring_maps_chunks_as_t3_does(ring):
    """The first chunk is remote_map; the middle ones are dma_map and sent on; the last is kept (T3, section 4.2)."""
    plan, of_ranks = ring
    for found in of_ranks:
        first, *middle, last = found
        assert len(middle) == plan.ranks - 2
        assert first.is_remote
        assert not any(station.is_remote for station in (*middle, last))
        assert [station.is_kept for station in found] == [False] * (plan.ranks - 1) + [True]
        assert all(station.own for station in found)


def test_tiles_of_a_ring_wait_for_one_contribution_beside_their_own(ring):
    """All chunks but the first get one update a tile from the GPU before; all but the last are sent on as updates."""
    plan, of_ranks = ring
    for rank, found in enumerate(of_ranks):
        assert [len(station.arrivals) for station in found] == [0] + [1] * (plan.ranks - 1)
        assert [len(station.fires) for station in found] == [1] * (plan.ranks - 1) + [0]
        fires = [fire for station in found for fire in station.fires]
        assert {fire.destinations for fire in fires} == {((rank + 1) % plan.ranks,)}
        assert {fire.kind for fire in fires} == {Kind.REDUCE}


def test_ring_is_staggered(ring):
    """GPU r produces part p - r at position p: the parts in order at GPU 0, and each later GPU one part behind."""
    plan, of_ranks = ring
    for rank, found in enumerate(of_ranks):
        assert [station.part for station in found] == [(position - rank) % plan.ranks for position in range(plan.ranks)]
        counts = tuple(2 + part % 3 for part in range(plan.ranks))
        for staggered, order in ((True, [station.part for station in found]), (False, range(plan.ranks))):
            made = dispatch(plan, rank, counts, staggered=staggered)
            expected = [(part, piece) for part in order for piece in range(counts[part])]
            assert list(zip(made.parts.tolist(), made.pieces.tolist(), strict=True)) == expected


def test_what_a_station_of_a_ring_fires_arrives_at_the_same_chunk_of_the_next_gpu(ring):
    """What a GPU sends at position p is what the next GPU waits for at position p + 1, of the same part."""
    plan, of_ranks = ring
    for rank, found in enumerate(of_ranks):
        behind = of_ranks[(rank + 1) % plan.ranks]
        for sending, receiving in zip(found[:-1], behind[1:], strict=True):
            assert receiving.part == sending.part
            assert receiving.arrivals == (sending.fires[0].move,)


@pytest.mark.parametrize("ranks", RINGS)
def test_direct_stores_all_but_the_own_chunk_remotely(ranks):
    """Stores of each chunk go straight to its home, nearest home first; the own chunk waits for all others' stores."""
    plan = planned(Operation.REDUCE_SCATTER, "direct", ranks)
    for rank in range(ranks):
        *remote, own = stations(plan, rank)
        assert all(station.is_remote and not station.is_kept for station in remote)
        assert [station.fires[0].destinations for station in remote] == [
            ((rank - distance) % ranks,) for distance in range(1, ranks)
        ]
        assert [station.chunk for station in remote] == [(rank - distance) % ranks for distance in range(1, ranks)]
        assert own.own
        assert own.chunk == rank
        assert own.is_kept
        assert own.fires == ()
        arrive = {
            station.fires[0].move
            for other in range(ranks)
            for station in stations(plan, other)
            if other != rank and station.is_remote and station.chunk == rank
        }
        assert set(own.arrivals) == arrive
        assert len(own.arrivals) == ranks - 1  # with its own, one contribution of each GPU


def test_tiles_of_chunks_that_leave_at_once_take_turns():
    """Where every other GPU has a lane of its own, a tile for each comes before the next; what stays is made last."""
    plan = planned(Operation.REDUCE_SCATTER, "direct", 3)
    made = dispatch(plan, 1, (2, 3, 1), staggered=True)
    # GPU 1's chunk is part 1; those of GPUs 0 and 2 are parts 2 and 0, nearest home before it first.
    expected = [(2, 0), (0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert list(zip(made.parts.tolist(), made.pieces.tolist(), strict=True)) == expected
    plain = dispatch(plan, 1, (2, 3, 1), staggered=False)
    assert plain.parts.tolist() == [0, 0, 1, 1, 1, 2]
    assert plain.pieces.tolist() == [0, 1, 0, 1, 2, 0]


@pytest.mark.parametrize("ranks", RINGS)
def test_all_to_all_stores_remotely_and_keeps_what_is_for_itself(ranks):
    """Parts go straight to the GPUs of their numbers, but the own one; what arrives is added to nothing."""
    plan = planned(Operation.ALL_TO_ALL, "direct", ranks)
    for rank in range(ranks):
        found = stations(plan, rank)
        own = [station for station in found if station.own]
        assert sorted(station.part for station in own) == list(range(ranks))
        for station in own:
            if station.part == rank:
                assert (station.arrivals, station.fires, station.is_kept) == ((), (), True)
            else:
                assert station.is_remote
                assert [(fire.destinations, fire.kind) for fire in station.fires] == [((station.part,), Kind.COPY)]
        brought = [station for station in found if not station.own]
        assert found == (*own, *brought)
        assert all(station.is_kept and station.fires == () and station.part == rank for station in brought)
        assert len({station.arrivals for station in brought}) == ranks - 1
        assert own[-1].part == rank


@pytest.mark.parametrize("ranks", RINGS)
def test_gathered_chunks_are_passed_on_and_kept(ranks):
    """In an all-gather what arrives stays, whether or not it is sent on; only the own chunk is there from the start."""
    plan = planned(Operation.ALL_GATHER, "ring", ranks)
    for rank in range(ranks):
        own, *brought = stations(plan, rank)
        assert (own.own, own.chunk, own.arrivals) == (True, rank, ())
        assert [station.chunk for station in brought] == [(rank - distance) % ranks for distance in range(1, ranks)]
        assert all(station.is_kept and not station.own for station in brought)
        assert [len(station.fires) for station in brought] == [1] * (ranks - 2) + [0]


def test_all_reduce_sends_copies_of_the_sum():
    """Where a plan goes on after the sum, the sum's station fires copies, and still keeps the chunk."""
    plan = planned(Operation.ALL_REDUCE, "direct", 3)
    for rank in range(3):
        (total,) = (station for station in stations(plan, rank) if station.own and station.arrivals)
        assert total.chunk == rank
        assert total.is_kept
        assert {fire.destinations for fire in total.fires} == {(other,) for other in range(3) if other != rank}
        assert {fire.kind for fire in total.fires} == {Kind.COPY}


def test_what_is_own_depends_on_the_operation():
    """Contributions: all chunks; what is gathered: the home's; a broadcast's: those of rank 0 and nobody else's."""
    facts = NetworkFacts(ranks=3, shape=(3,))
    chunks = {
        operation: [own_chunks(make_plan(operation, "direct", facts), rank) for rank in range(3)]
        for operation in Operation
    }
    everything = set(range(3))
    assert chunks == {
        Operation.REDUCE_SCATTER: [everything] * 3,
        Operation.ALL_REDUCE: [everything] * 3,
        Operation.ALL_GATHER: [{0}, {1}, {2}],
        Operation.ALL_TO_ALL: [{0, 1, 2}, {3, 4, 5}, {6, 7, 8}],
        Operation.BROADCAST: [{0}, set(), set()],
        Operation.SEND: [{0}, {1}, {2}],
    }


def test_a_contribution_in_two_sums_is_refused():
    """An address space cannot say that one GPU's stores of a chunk belong to two sums; the error names both."""
    moves = (
        Move(chunk=0, source=1, destinations=(0,), kind=Kind.REDUCE),
        Move(chunk=0, source=0, destinations=(1,), kind=Kind.REDUCE),
        Move(chunk=0, source=0, destinations=(0,), kind=Kind.LOCAL, after=(0,), step=1),
        Move(chunk=0, source=1, destinations=(1,), kind=Kind.LOCAL, after=(1,), step=1),
    )
    plan = Plan(
        operation=Operation.ALL_REDUCE,
        algorithm="swap",
        ranks=2,
        shape=(2,),
        parts=1,
        moves=moves,
        symmetric=False,
    )
    with pytest.raises(PlanError, match=r"^swap all_reduce: at rank 1 chunk 0 at once takes part in several sums"):
        stations(plan, 1)


def test_a_chunk_for_several_gpus_is_no_remote_map():
    """A chunk that is sent to two GPUs from the start is one station with both moves: it lies in memory first."""
    own, *_ = stations(planned(Operation.ALL_GATHER, "direct", 3), 1)
    assert [(fire.move.home, fire.destinations) for fire in own.fires] == [(1, (2,)), (1, (0,))]
    assert not own.is_remote
    assert own.is_kept
