"""Tiles, slabs and the dispatch order of workgroups."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.lowering.tiling import Tiling


def tiling(rows, columns, depth=8, element_bytes=2):
    """Build a tiling in tiles of 16 x 8 and slabs of 4."""
    return Tiling(M=rows, N=columns, K=depth, element_bytes=element_bytes, tile_m=16, tile_n=8, slab_k=4)


def test_exact_grid():
    """32 x 24 elements are 2 x 3 full tiles."""
    exact = tiling(32, 24)
    assert (exact.grid_m, exact.grid_n, exact.tiles, exact.slabs) == (2, 3, 6, 2)
    assert exact.tile_bytes.tolist() == [256] * 6
    assert exact.output_bytes == 1536


def test_ragged_edges_hold_what_is_left():
    """One row, column and K element more make a tile row of height 1, a column of width 1 and a slab of depth 1."""
    ragged = tiling(33, 25, depth=9)
    assert (ragged.grid_m, ragged.grid_n, ragged.tiles, ragged.slabs) == (3, 4, 12, 3)
    assert ragged.row_heights.tolist() == [16, 16, 1]
    assert ragged.column_widths.tolist() == [8, 8, 8, 1]
    assert ragged.slab_depths.tolist() == [4, 4, 1]
    assert ragged.tile_bytes.tolist() == [256, 256, 256, 32, 256, 256, 256, 32, 16, 16, 16, 2]


def test_one_element_less_is_one_element_less():
    """31 x 23 elements keep the grid of 32 x 24, with a last row and column one short."""
    short = tiling(31, 23)
    assert (short.row_heights.tolist(), short.column_widths.tolist()) == ([16, 15], [8, 8, 7])


def test_dispatch_takes_groups_of_rows_column_by_column():
    """In groups of two tile rows the workgroups go down and then right; the last group has what rows are left."""
    order = tiling(5 * 16, 3 * 8).dispatch_order(2)
    assert order.tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, 12, 13, 14]


@pytest.mark.parametrize(
    ("group", "order"),
    [(1, [0, 1, 2, 3, 4, 5]), (2, [0, 3, 1, 4, 2, 5]), (99, [0, 3, 1, 4, 2, 5])],
)
def test_group_of_one_row_is_row_order(group, order):
    """Groups of one row give row order, and groups of all rows or more column order."""
    assert tiling(32, 24).dispatch_order(group).tolist() == order


@settings(max_examples=50)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 9), st.sampled_from([1, 2, 4]))
def test_tiles_cover_the_output_once(rows, columns, group, element_bytes):
    """Every tile is dispatched once, and all tiles together are the output."""
    some = tiling(rows, columns, element_bytes=element_bytes)
    assert sorted(some.dispatch_order(group).tolist()) == list(range(some.tiles))
    assert int(some.tile_bytes.sum()) == rows * columns * element_bytes
    assert int(some.tile_bytes.min()) > 0
