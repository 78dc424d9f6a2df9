"""Where matrices lie: tiles and slabs cover them exactly once, and parts cut a region at whole rows."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t3sim.lowering.chunks import Chunks
from t3sim.lowering.layout import Buffers, Layout, linear, part_of_region, received_address
from t3sim.lowering.tiling import Tiling

QUICK = settings(deadline=None, derandomize=True, max_examples=60)


def touched(region):
    """Count how often a region touches each byte."""
    return Counter(
        int(address + row * stride + byte)
        for address, rows, width, stride in region
        for row in range(rows)
        for byte in range(width)
    )


def once(first, nbytes):
    """Touch ``nbytes`` from ``first`` on once each."""
    return Counter(range(first, first + nbytes))


@st.composite
def layouts(draw):
    """Draw a small GEMM; edges are ragged more often than not."""
    tiling = Tiling(
        M=draw(st.integers(1, 20)),
        N=draw(st.integers(1, 20)),
        K=draw(st.integers(1, 12)),
        element_bytes=draw(st.sampled_from([1, 2, 4])),
        tile_m=draw(st.sampled_from([4, 8])),
        tile_n=draw(st.sampled_from([3, 8])),
        slab_k=draw(st.sampled_from([4, 5])),
    )
    return Layout(tiling=tiling, split_k=draw(st.integers(1, 3)))


def grid(*extents):
    """List all combinations of indices, one array for each."""
    return [axis.reshape(-1) for axis in np.meshgrid(*map(np.arange, extents), indexing="ij")]


@QUICK
@given(layouts())
def test_tiles_are_the_output(layout):
    """The tiles of C touch each of its bytes once, and so does the region of C as a whole."""
    tiling = layout.tiling
    whole = once(layout.c_address, tiling.M * tiling.N * tiling.element_bytes)
    assert touched(layout.tiles(np.arange(tiling.tiles))) == whole
    assert touched(layout.output()) == whole


@QUICK
@given(layouts())
def test_slabs_are_the_operands(layout):
    """The slabs of all tile rows, in all parts of K, are A, byte by byte; those of all tile columns are B."""
    tiling = layout.tiling
    depth = tiling.K * layout.split_k
    assert touched(layout.slabs_of_a(*grid(tiling.grid_m, layout.split_k, tiling.slabs))) == once(
        0, tiling.M * depth * tiling.element_bytes
    )
    assert touched(layout.slabs_of_b(*grid(tiling.grid_n, layout.split_k, tiling.slabs))) == once(
        layout.b_address, depth * tiling.N * tiling.element_bytes
    )


@QUICK
@given(layouts())
def test_matrices_do_not_overlap(layout):
    """B begins after A, C after B, and what is received after C."""
    tiling = layout.tiling
    depth, size = tiling.K * layout.split_k, tiling.element_bytes
    assert layout.b_address >= tiling.M * depth * size
    assert layout.c_address >= layout.b_address + depth * tiling.N * size
    assert layout.c_address + tiling.M * tiling.N * size <= layout.end <= received_address(layout.end)


@QUICK
@given(st.lists(st.lists(st.integers(1, 50), max_size=3), min_size=1, max_size=4), st.integers(0, 3))
def test_buffers_of_a_collective_do_not_overlap(pieces, copies):
    """The pieces of all parts fill the GPU's own buffer from address 0 on; each buffer for copies lies by itself."""
    sizes = tuple(map(tuple, pieces))
    total = sum(map(sum, sizes))
    chunks, buffers = Chunks(piece_bytes=sizes), Buffers(piece_bytes=sizes)
    lying = Counter()
    for slot in (None, *range(copies)):
        for addresses, of_part in zip(chunks.addresses, sizes, strict=True):
            for address, size in zip(addresses, of_part, strict=True):
                lying += touched(linear(buffers.base(slot) + address, size))
    assert set(lying.values()) <= {1}
    assert sum(lying.values()) == total * (1 + copies)
    assert set(range(total)) <= set(lying)


def test_received_chunks_lie_behind_whatever_a_gpu_has():
    """What arrives lies beyond any usual matrix, and behind one that is larger still."""
    assert received_address(100) == received_address(2**30) == 2**36
    assert 2**40 <= received_address(2**40 - 5) < 2**40 + 2**21


def test_addresses_of_a_small_gemm():
    """A 3 x 5 tile grid corner by hand: row and column of a tile, part and slab of an operand."""
    tiling = Tiling(M=5, N=6, K=3, element_bytes=2, tile_m=2, tile_n=4, slab_k=2)
    layout = Layout(tiling=tiling, split_k=2)
    at_b, at_c = layout.b_address, layout.c_address
    assert layout.tiles(np.array([0, 3, 5])).tolist() == [
        [at_c, 2, 8, 12],
        [at_c + 2 * 12 + 8, 2, 4, 12],
        [at_c + 4 * 12 + 8, 1, 4, 12],
    ]
    # Row 4 of A, second part (from column 3 on), second slab (its column 2): one element.
    assert layout.slabs_of_a(np.array([2]), np.array([1]), np.array([1])).tolist() == [[4 * 12 + 5 * 2, 1, 2, 12]]
    # Columns 4 and 5 of B, row 3 + 2.
    assert layout.slabs_of_b(np.array([1]), np.array([1]), np.array([1])).tolist() == [[at_b + 5 * 12 + 8, 1, 4, 12]]


@QUICK
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 6), st.integers(1, 200))
def test_parts_are_the_region_cut_at_whole_rows(rows, width, gap, nbytes):
    """The parts of a block touch its bytes once each, are of whole rows, and of ``nbytes`` each but for one row."""
    region = np.array([[1000, rows, width, width + gap]], np.int64)
    count = -(-rows * width // nbytes)
    parts = [part_of_region(region, np.array([index]), nbytes) for index in range(count)]
    assert sum((touched(part) for part in parts), Counter()) == touched(region)
    for part in parts[:-1]:
        assert part[0, 2:].tolist() == [width, width + gap]
        assert abs(part[0, 1] * width - nbytes) < width


@pytest.mark.parametrize("nbytes", [1, 64, 100_000])
def test_linear_is_one_piece(nbytes):
    """A buffer is one row."""
    assert linear(512, nbytes).tolist() == [[512, 1, nbytes, 0]]
