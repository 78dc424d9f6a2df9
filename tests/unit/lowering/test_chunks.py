"""Chunks: cut evenly at tile boundaries, produced in a staggered order, each tile once."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from t3sim.lowering.chunks import Chunks, TileChunks, cut_evenly, even_chunks, pieces_of, resliced
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


def test_pieces_lie_one_after_the_other():
    """The pieces of a part follow each other, and the parts too; an empty part takes no room."""
    chunks = Chunks(piece_bytes=((3, 2), (), (4,), (1, 1)))
    assert chunks.addresses == ((0, 3), (), (5,), (9, 10))
    assert (chunks.count, chunks.total_bytes, chunks.chunk_bytes) == (4, 11, (5, 0, 4, 2))


def test_even_chunks_differ_by_a_byte_at_most():
    """10 bytes in 4 chunks are 2 3 2 3; cut in pieces of 2 bytes the rest is a piece of its own."""
    chunks = even_chunks(10, 4, 2)
    assert chunks.chunk_bytes == (2, 3, 2, 3)
    assert chunks.piece_bytes == ((2,), (2, 1), (2,), (2, 1))
    assert chunks.total_bytes == 10


def test_as_many_bytes_as_chunks_leave_none_empty():
    """Four bytes make four chunks of one byte."""
    assert even_chunks(4, 4, 100).piece_bytes == ((1,),) * 4


def test_fewer_bytes_than_chunks_leave_some_empty():
    """Three bytes in five chunks are three chunks of one byte and two of none, all bytes being there."""
    chunks = even_chunks(3, 5, 100)
    assert sorted(chunks.chunk_bytes) == [0, 0, 1, 1, 1]
    assert sorted(chunks.piece_bytes) == [(), (), (1,), (1,), (1,)]


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
    """Every chunk has a tile, every tile is in one chunk, and has a place of its own in it."""
    chunks = tile_chunks(*shape)
    assert (chunks.bounds[0], chunks.bounds[-1], len(chunks.bounds)) == (0, chunks.tiling.tiles, shape[2] + 1)
    assert all(low < high for low, high in zip(chunks.bounds, chunks.bounds[1:], strict=False))
    assert chunks.chunks.total_bytes == shape[0] * shape[1] * 2
    parts = np.repeat(np.arange(shape[2]), chunks.counts)
    pieces = np.concatenate([np.arange(count) for count in chunks.counts])
    assert sorted(chunks.tiles_of(parts, pieces).tolist()) == list(range(chunks.tiling.tiles))


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


@QUICK
@given(GROUPED)
def test_tiles_are_named_by_part_and_piece(shape):
    """The tile that is the i-th piece of a part has the bytes of that piece, whatever order they are asked for in."""
    chunks = tile_chunks(*shape)
    pairs = [(part, piece) for part, count in enumerate(chunks.counts) for piece in range(count)][::-1]
    parts, pieces = (np.array(column) for column in zip(*pairs, strict=True))
    sizes = chunks.tiling.tile_bytes[chunks.tiles_of(parts, pieces)].tolist()
    assert sizes == [chunks.chunks.piece_bytes[part][piece] for part, piece in pairs]


def test_groups_are_shared_by_chunks_made_in_turns():
    """A chunk of 4 rows and 2 columns of tiles, made beside another: 2 rows together, column by column, not 4."""
    chunks = tile_chunks(8 * 16, 2 * 8, 2, group_rows=4)
    assert chunks.order[:8].tolist() == [0, 2, 4, 6, 1, 3, 5, 7]
    assert chunks.in_turns(2).order[:8].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert chunks.in_turns(9).order[:8].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert chunks.in_turns(1) is chunks


@QUICK
@given(shape=GROUPED, parts=st.integers(1, 5))
def test_chunks_made_in_turns_hold_the_same_tiles(shape, parts):
    """Another order inside chunks leaves each chunk its tiles and bytes, and its pieces those of the tiles in it."""
    rows, columns, count, group = shape
    before = tile_chunks(rows, columns, count, group)
    after = before.in_turns(parts)
    assert after.bounds == before.bounds
    assert after.chunks.chunk_bytes == before.chunks.chunk_bytes
    for low, high in pairwise(before.bounds):
        assert set(after.order[low:high].tolist()) == set(before.order[low:high].tolist())
    sizes = before.tiling.tile_bytes[after.order].tolist()
    assert [size for pieces in after.chunks.piece_bytes for size in pieces] == sizes


def test_parts_are_cut_into_equal_ones():
    """Twelve bytes in pieces of five are two parts of a piece of five and one of one each; no bytes are two of none."""
    whole = Chunks(piece_bytes=((5, 5, 2), ()))
    assert cut_evenly(whole, 2).piece_bytes == ((5, 1), (5, 1), (), ())


def test_parts_that_cannot_be_cut_evenly_are_refused():
    """Five equal parts of twelve bytes would not be whole bytes."""
    with pytest.raises(ValueError, match=r"parts of \[12\] B cannot be cut into 5 equal ones"):
        cut_evenly(Chunks(piece_bytes=((5, 5, 2),)), 5)
