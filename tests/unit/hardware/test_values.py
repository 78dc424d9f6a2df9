"""Numbers in memory: who contributes what, what a read finds, and how sums are rounded."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from t3sim.hardware.memory.values import Cells, Precision, Space, Values, cells_of, contribution
from t3sim.lowering.chunks import Chunks, even_chunks, resliced

CHUNKS = Chunks(piece_bytes=((4, 6), (), (10, 2, 2)))
"""Three parts, the second of them empty."""


@pytest.fixture
def memory():
    """Give the memory of GPU 1 of a program of two operations on one buffer; the first finds part 2."""
    cells = Cells(np.array([0, 4, 8, 10, 20, 22]), 24)
    spaces = [Space(0, cells, {1: parts}.get) for parts in ([2], [])]
    return Values(1, spaces, Precision.BF16, lambda *_: None)


def test_contributions_are_distinct_and_small():
    """No two of a buffer are alike, over GPUs and addresses, and 1,024 of the largest fit 63 bits."""
    addresses = np.arange(0, 2**36, 2**24 + 2)
    found = np.concatenate([contribution(rank, 3, addresses).exact for rank in range(16)])
    assert len(np.unique(found)) == 16 * len(addresses)
    assert found.min() >= 0
    assert found.max() < 2**52
    assert 1024 * 2**52 < 2**63


def test_contributions_differ_from_buffer_to_buffer():
    """What one operation moves cannot be taken for what another does."""
    addresses = np.arange(0, 4096, 2)
    first, second = (contribution(0, buffer, addresses).exact for buffer in (0, 1))
    assert not np.isin(first, second).any()


def test_a_buffer_is_cut_where_any_operation_cuts_it():
    """Cells begin at every piece of every cut, and at every element as far as those are few."""
    tiles = Chunks(piece_bytes=((7, 3), (10, 5)))
    cells = cells_of([tiles, resliced(tiles, 4)], 2)
    assert cells.starts.tolist() == sorted({*range(0, 25, 2), 0, 7, 10, 20, 4, 8, 14, 18, 22})
    assert cells.sizes.sum() == 25
    large = cells_of([even_chunks(2**24, 3, 2**20)], 2)
    assert len(large.starts) <= 4096 + 3 * 6
    assert set(large.starts.tolist()) >= {
        address for part in even_chunks(2**24, 3, 2**20).addresses for address in part
    }


def test_pieces_are_their_cells():
    """A piece is the cells from its address to the next; an empty part has none."""
    bounds = Cells(np.array([0, 2, 4, 10, 15, 20, 22]), 24).bounds(CHUNKS)
    assert [part.tolist() for part in bounds] == [[0, 2, 3], [3], [3, 5, 6, 7]]


def test_what_is_written_is_read(memory):
    """An operation reads what it or another on its buffer wrote, and what it finds from the start."""
    first, second = memory.open(0, CHUNKS), memory.open(1, CHUNKS)
    assert np.array_equal(second.read(2, range(3)).exact, contribution(1, 0, np.array([10, 20, 22])).exact)
    other = contribution(7, 0, np.array([0, 4, 8]))
    first.put(0, range(2), other)
    assert np.array_equal(second.read(0, range(1, 2)).exact, other.exact[1:])
    assert not memory.empty_reads


def test_copies_have_buffers_of_their_own(memory):
    """A buffer for copies is neither the GPU's own nor that of another operation."""
    first, second = memory.open(0, CHUNKS), memory.open(1, CHUNKS)
    first.put(0, range(1), contribution(5, 0, np.array([0])), 0)
    for unit, slot in ((first, None), (first, 1), (second, 0)):
        assert unit.read(0, range(1), slot).exact.tolist() == [0]
    assert [(read.operation, read.slot) for read in memory.empty_reads] == [(0, None), (0, 1), (1, 0)]


def test_updates_add_to_what_is_there(memory):
    """The first update finds nothing to add to; later ones add."""
    unit = memory.open(0, CHUNKS, produced=True)
    one, two = (contribution(rank, 0, np.array([0])) for rank in (1, 2))
    unit.update(0, range(1), one)
    unit.update(0, range(1), two)
    assert unit.read(0, range(1)).exact.tolist() == [one.exact[0] + two.exact[0]]
    assert not memory.empty_reads


def test_a_piece_is_cut_out_of_what_a_message_carries(memory):
    """Of a message of several pieces each piece has its own numbers; one that is too short leaves zeros."""
    unit = memory.open(0, CHUNKS)
    carried = unit.produced(2, range(1, 3))
    assert unit.of_piece(carried, 2, range(1, 3), 2).exact.tolist() == [carried.exact[1]]
    short = unit.of_piece(carried, 0, range(1), 0)
    assert short.exact.tolist() == [carried.exact[0]]
    assert unit.of_piece(carried[:1], 0, range(2), 1).exact.tolist() == [0, 0]


def test_a_gemm_stores_all_that_it_contributes(memory):
    """After a GEMM every cell holds this GPU's contribution."""
    unit = memory.open(0, CHUNKS, produced=True)
    unit.produce()
    starts = memory.spaces[0].cells.starts
    assert np.array_equal(memory.store(0, None).exact, contribution(1, 0, starts).exact)


@given(arrays(np.float32, 20, elements=st.floats(2.0**-10, 2.0**10, width=32)))
def test_rounding_is_to_the_nearest(numbers):
    """fp16 rounds as numpy's own type; bf16 to one of the two neighbours of 8 bits, the nearer, ties to even."""
    assert np.array_equal(Precision.FP32.rounded(numbers), numbers)
    assert np.array_equal(Precision.FP16.rounded(numbers), numbers.astype(np.float16).astype(np.float32))
    exponents = np.floor(np.log2(numbers.astype(np.float64)))
    scaled = numbers.astype(np.float64) / 2 ** (exponents - 7)
    assert np.array_equal(Precision.BF16.rounded(numbers), np.round(scaled) * 2 ** (exponents - 7))


def test_sums_are_rounded_at_every_addition():
    """In bf16, 256 + 1 is 256, so that ones added one by one are lost, where their sum beforehand is not."""
    make = partial(contribution, 0, 0, np.array([0]))
    large, small = make(Precision.BF16), make(Precision.BF16)
    large.rounded[:], small.rounded[:] = 256, 1
    one_by_one = large + small + small
    assert one_by_one.rounded.tolist() == [256]
    assert (large + (small + small)).rounded.tolist() == [258]
    assert one_by_one.exact.tolist() == [3 * make().exact[0]]
