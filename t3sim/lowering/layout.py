"""Where the bytes of a GEMM and of a collective's buffers lie in a GPU's memory.

Matrices are row-major and packed, one after the other: A, B, C. Chunks that a collective receives land in a buffer of
their own, as kernels for it use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from t3sim.compiled import IntArray
from t3sim.lowering.tiling import Tiling

Region = IntArray
"""Blocks of rows, shape (blocks, 4): address of the first byte, rows, bytes of a row, distance of rows in bytes."""

Place = Callable[[], Region]
"""A region, worked out only for who looks at addresses."""

_ALIGNMENT = 2**21
_RECEIVED = 2**36
"""Where buffers for received chunks start, unless what lies before them is larger."""


def linear(address: int, nbytes: int) -> Region:
    """Return the region of ``nbytes`` in one piece."""
    return np.array([[address, 1, nbytes, 0]], np.int64)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Addresses of the operands and the output of one GEMM; ``split_k`` parts of K as wide as ``tiling`` says."""

    tiling: Tiling
    split_k: int = 1

    @property
    def a_stride(self) -> int:
        """Bytes from one row of A to the next."""
        return self.tiling.K * self.split_k * self.tiling.element_bytes

    @property
    def row_bytes(self) -> int:
        """Bytes from one row of B or C to the next."""
        return self.tiling.N * self.tiling.element_bytes

    @property
    def b_address(self) -> int:
        """Address of B."""
        return aligned(self.tiling.M * self.a_stride)

    @property
    def c_address(self) -> int:
        """Address of C."""
        return self.b_address + aligned(self.tiling.K * self.split_k * self.row_bytes)

    def tiles(self, tiles: IntArray) -> Region:
        """Return the regions of output tiles, one block each."""
        rows, columns = tiles // self.tiling.grid_n, tiles % self.tiling.grid_n
        return np.stack(
            [
                self.c_address
                + rows * self.tiling.tile_m * self.row_bytes
                + columns * self.tiling.tile_n * self.tiling.element_bytes,
                self.tiling.row_heights[rows],
                self.tiling.column_widths[columns] * self.tiling.element_bytes,
                np.full(len(tiles), self.row_bytes),
            ],
            axis=1,
        )

    def slabs_of_a(self, rows: IntArray, parts: IntArray, slabs: IntArray) -> Region:
        """Return the regions of slabs of A: of tile rows ``rows``, in parts ``parts`` of K."""
        first = (parts * self.tiling.K + slabs * self.tiling.slab_k) * self.tiling.element_bytes
        return np.stack(
            [
                rows * self.tiling.tile_m * self.a_stride + first,
                self.tiling.row_heights[rows],
                self.tiling.slab_depths[slabs] * self.tiling.element_bytes,
                np.full(len(rows), self.a_stride),
            ],
            axis=1,
        )

    def slabs_of_b(self, columns: IntArray, parts: IntArray, slabs: IntArray) -> Region:
        """Return the regions of slabs of B: of tile columns ``columns``, in parts ``parts`` of K."""
        first = (parts * self.tiling.K + slabs * self.tiling.slab_k) * self.row_bytes
        return np.stack(
            [
                self.b_address + first + columns * self.tiling.tile_n * self.tiling.element_bytes,
                self.tiling.slab_depths[slabs],
                self.tiling.column_widths[columns] * self.tiling.element_bytes,
                np.full(len(columns), self.row_bytes),
            ],
            axis=1,
        )

    @property
    def end(self) -> int:
        """Address behind C."""
        return self.c_address + aligned(self.tiling.output_bytes)

    def output(self) -> Region:
        """Return the region of C."""
        return np.array([[self.c_address, self.tiling.M, self.row_bytes, self.row_bytes]], np.int64)


def received_address(end: int) -> int:
    """Address of the first buffer for received chunks, where the GPU's own data end at ``end``."""
    return max(_RECEIVED, aligned(end))


@dataclass(frozen=True, kw_only=True)
class Buffers:
    """Where the pieces of a collective lie: in the GPU's own buffer at address 0, or in one of those for copies.

    A contribution that is added later waits in a buffer for copies of its own; there are as many as arrive.
    """

    piece_bytes: tuple[tuple[int, ...], ...]
    """Bytes of every piece, by part."""
    addresses: tuple[tuple[int, ...], ...]
    """Place of every piece in the buffer, by part."""

    def place(self, part: int, piece: int, slot: int | None = None, within: range | None = None) -> Place:
        """Place of a piece, or bytes ``within`` it, in the GPU's own buffer, or in that for copies number ``slot``."""
        buffer = 0 if slot is None else self._copies + slot * self._stride
        within = range(self.piece_bytes[part][piece]) if within is None else within
        return partial(linear, buffer + self.addresses[part][piece] + within.start, len(within))

    @cached_property
    def _stride(self) -> int:
        return aligned(sum(map(sum, self.piece_bytes)))

    @cached_property
    def _copies(self) -> int:
        return received_address(self._stride)


def part_of_region(region: Region, index: IntArray, nbytes: int) -> Region:
    """Cut each block of ``region`` into parts of ``nbytes``, at whole rows, and return part ``index`` of each."""
    address, rows, row_bytes, stride = region.T
    first = np.minimum(index * nbytes // row_bytes, rows)
    last = np.minimum((index + 1) * nbytes // row_bytes, rows)
    is_last = (index + 1) * nbytes >= rows * row_bytes
    count = np.where(is_last, rows, last) - first
    return np.stack([address + first * stride, count, row_bytes, stride], axis=1)


def aligned(nbytes: int) -> int:
    """Round up to where a matrix or buffer may start, bytes."""
    return -(-nbytes // _ALIGNMENT) * _ALIGNMENT
