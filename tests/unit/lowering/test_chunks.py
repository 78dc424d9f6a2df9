"""Chunks: cut evenly at tile boundaries, produced in a staggered order, each tile once."""

from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from t3sim.lowering.chunks import Chunks, TileChunks, even_chunks, pieces_of, resliced
from t3sim.lowering.tiling import Tiling

QUICK = settings(deadline=None, derandomize=True, max_examples=80)


def tile_chunks(rows, columns, count, group_rows=1):
    """Group the 16 x 8 tiles of an fp16 output into chunks."""
    tiling = Tiling(M=rows, N=columns, K=8, element_bytes=2, tile_m=16, tile_n=8, slab_k=4)
    return TileChunks(tiling=tiling, order=tiling.dispatch_order(group_rows), count=count)


GROUPED = st.builds(
    lambda rows, columns, count, group: (rows, columns, count, group),
    st.integers(1, 120),
    st.integers(1, 80),
    st.integers(2, 9),
    st.integers(1, 3),
).filter(lambda shape: -(-shape[0] // 16) * -(-shape[1] // 8) >= shape[2])


def test_chunks_of_gpu_0_go_by_id_and_others_are_shifted():
    """GPU 0 handles chunks 0 1 2 3; GPU 1, one step behind in id, 3 0 1 2; GPU 3 handles 1 2 3 0."""
    chunks = Chunks(piece_bytes=((1,), (2,), (3,), (4,)))
    assert [[chunks.chunk_id(gpu, position) for position in range(4)] for gpu in (0, 1, 3)] == [
        [0, 1, 2, 3],
        [3, 0, 1, 2],
        [1, 2, 3, 0],
    ]
    assert [chunks.at(1, position) for position in range(4)] == [(4,), (1,), (2,), (3,)]


def test_successor_meets_a_chunk_one_position_later():
    """What a GPU sends at position p is the chunk that its successor in the ring handles at position p + 1."""
    for count in range(2, 10):
        chunks = Chunks(piece_bytes=tuple((size,) for size in range(1, count + 1)))
        for gpu in range(count):
            for position in range(count - 1):
                sent = chunks.chunk_id(gpu, position)
                assert sent == chunks.chunk_id((gpu + 1) % count, position + 1)


def test_every_gpu_starts_with_a_chunk_of_its_own():
    """At each position the GPUs of a ring handle different chunks."""
    for count in range(2, 10):
        chunks = Chunks(piece_bytes=((1,),) * count)
        for position in range(count):
            assert {chunks.chunk_id(gpu, position) for gpu in range(count)} == set(range(count))


def test_even_chunks_differ_by_a_byte_at_most():
    """10 bytes in 4 chunks are 2 3 2 3; cut in pieces of 2 bytes the rest is a piece of its own."""
    chunks = even_chunks(10, 4, 2)
    assert chunks.chunk_bytes == (2, 3, 2, 3)
    assert chunks.piece_bytes == ((2,), (2, 1), (2,), (2, 1))
    assert chunks.total_bytes == 10


def test_as_many_bytes_as_chunks_leave_none_empty():
    """Four bytes make four chunks of one byte."""
    assert even_chunks(4, 4, 100).piece_bytes == ((1,),) * 4


def test_pieces_hold_the_rest_at_the_end():
    """A piece is full until the last: 7, 8 and 9 bytes in pieces of 4."""
    assert [pieces_of(total, 4) for total in (7, 8, 9)] == [(4, 3), (4, 4), (4, 4, 1)]


def test_reslicing_keeps_the_chunks():
    """Other pieces, the same bytes in each chunk."""
    chunks = resliced(Chunks(piece_bytes=((3, 3), (5,))), 4)
    assert chunks.piece_bytes == ((4, 2), (4, 1))
    assert chunks.chunk_bytes == (6, 5)


def test_tiles_that_divide_evenly_make_equal_chunks():
    """Twelve equal tiles in four chunks are three tiles each, one piece a tile."""
    chunks = tile_chunks(64, 24, 4).chunks
    assert chunks.piece_bytes == ((256, 256, 256),) * 4


def test_chunk_ends_at_the_nearest_tile():
    """Seven equal tiles in two chunks end at 3 or 4 tiles; ten in three end at 3 and 7."""
    assert tile_chunks(16, 56, 2).bounds in ((0, 3, 7), (0, 4, 7))
    assert tile_chunks(16, 80, 3).bounds == (0, 3, 7, 10)


def test_narrow_tiles_move_the_bounds():
    """Bytes decide and not tiles: beside a last column one element wide the first chunk takes fewer tiles."""
    # Tiles of 256, 256, 32 bytes: two chunks of 256 and 288 bytes.
    assert tile_chunks(16, 17, 2).bounds == (0, 1, 3)


def test_as_many_tiles_as_chunks_are_one_each():
    """However unequal the tiles, as many as there are chunks are one a chunk."""
    assert tile_chunks(17, 9, 4).bounds == (0, 1, 2, 3, 4)


@QUICK
@given(GROUPED)
def test_no_chunk_is_empty_and_each_tile_is_in_one(shape):
    """Every chunk has a tile, every tile is in one chunk, and every GPU produces each tile once."""
    chunks = tile_chunks(*shape)
    assert (chunks.bounds[0], chunks.bounds[-1], len(chunks.bounds)) == (0, chunks.tiling.tiles, shape[2] + 1)
    assert all(low < high for low, high in zip(chunks.bounds, chunks.bounds[1:], strict=False))
    assert chunks.chunks.total_bytes == shape[0] * shape[1] * 2
    for gpu in range(shape[2]):
        assert sorted(chunks.production_order(gpu).tolist()) == list(range(chunks.tiling.tiles))


@QUICK
@given(GROUPED)
def test_bounds_are_the_nearest_to_equal_bytes(shape):
    """No other tile boundary is nearer to a chunk's share of the bytes, unless a chunk would be empty."""
    chunks = tile_chunks(*shape)
    count = shape[2]
    ends = [0]
    for tile in chunks.order.tolist():
        row, column = divmod(tile, -(-shape[1] // 8))
        ends.append(ends[-1] + min(16, shape[0] - 16 * row) * min(8, shape[1] - 8 * column) * 2)
    # Distances in units of 1/count bytes, to stay with whole numbers.
    distances = [[abs(count * end - index * ends[-1]) for end in ends] for index in range(count + 1)]
    nearest = [[at for at, far in enumerate(row) if far == min(row)] for row in distances]
    assume(all(low[-1] < high[0] for low, high in pairwise(nearest)))
    assert all(bound in choices for bound, choices in zip(chunks.bounds, nearest, strict=True))


def test_production_without_staggering():
    """Staggered, GPU 1 of 4 takes its positions in turn; else it meets chunk 0 at its position 1, as GPU 0 at 0."""
    chunks = tile_chunks(8, 8, 4)
    assert chunks.chunks.production(1, staggered=True) == (0, 1, 2, 3)
    assert [chunks.chunks.production(gpu, staggered=False) for gpu in (0, 1, 3)] == [
        (0, 1, 2, 3),
        (1, 2, 3, 0),
        (3, 0, 1, 2),
    ]
    for gpu in range(4):
        assert chunks.production_order(gpu, staggered=False).tolist() == chunks.order.tolist()


@QUICK
@given(GROUPED)
def test_production_follows_the_positions(shape):
    """A GPU produces its tiles position by position: the bytes of each in its own order."""
    chunks = tile_chunks(*shape)
    for gpu in (0, 1, shape[2] - 1):
        sizes = chunks.tiling.tile_bytes[chunks.production_order(gpu)].tolist()
        by_position = [chunks.chunks.at(gpu, position) for position in range(shape[2])]
        assert sizes == [size for pieces in by_position for size in pieces]
