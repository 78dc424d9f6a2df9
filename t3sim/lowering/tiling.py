"""GEMM tiling: output tiles (one per workgroup), K-slabs, and the order in which workgroups are dispatched."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import Field

from t3sim.compiled import IntArray
from t3sim.config import Spec
from t3sim.units import ceil_div

# Far beyond any kernel: a slip of the keyboard is named instead of simulated.
MOST_TILE_EXTENT = 2**16
MOST_WORKGROUPS = 1024
MOST_SPLIT_K = 64

_Extent = Annotated[int, Field(gt=0, le=MOST_TILE_EXTENT)]
_Workgroups = Annotated[int, Field(gt=0, le=MOST_WORKGROUPS)]


class GemmKernelSpec(Spec):
    """How GEMM kernels are written."""

    tile_m: _Extent
    """Rows of the output tile of a workgroup."""
    tile_n: _Extent
    """Columns of it."""
    slab_k: _Extent
    """Depth of K that is loaded and computed at once."""
    group_rows: Annotated[int, Field(gt=0)]
    """Tile rows whose workgroups are dispatched together, column by column."""
    workgroups_per_cu: _Workgroups
    """Workgroups resident on a CU."""
    wavefronts: _Workgroups
    """Wavefronts of a workgroup; the tracker counts at this grain."""
    prefetch_slabs: Annotated[int, Field(ge=0)]
    """Slabs loaded ahead of the one that computes."""
    other_tiles: tuple[tuple[_Extent, _Extent, _Workgroups], ...] = ()
    """Further macro-tiles to choose from, ``[tile_m, tile_n, workgroups_per_cu]``; none: always the one above."""
    most_split_k: Annotated[int, Field(gt=0, le=MOST_SPLIT_K)] = 1
    """Workgroups that may share a tile of a plain GEMM, each with a part of K; 1: they never do."""

    @property
    def macro_tiles(self) -> tuple["MacroTile", ...]:
        """All macro-tiles, in order of preference."""
        return tuple(
            MacroTile(tile_m=rows, tile_n=columns, workgroups_per_cu=per_cu)
            for rows, columns, per_cu in ((self.tile_m, self.tile_n, self.workgroups_per_cu), *self.other_tiles)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroTile:
    """The output tile of one workgroup, and how many workgroups of it fit on a CU."""

    tile_m: int
    tile_n: int
    workgroups_per_cu: int


@dataclass(frozen=True, kw_only=True)
class Tiling:
    """The tile grid of one GEMM ``C[M, N] = A[M, K] @ B[K, N]``; a tile is the output of one workgroup.

    Tiles are numbered row-major over the grid: ``tile = row * grid_n + column``. Tiles at the lower and right edge
    hold fewer elements when the dimension is not a multiple of the tile.
    """

    M: int
    N: int
    K: int
    element_bytes: int
    tile_m: int
    tile_n: int
    slab_k: int

    @property
    def grid_m(self) -> int:
        """Tile rows."""
        return ceil_div(self.M, self.tile_m)

    @property
    def grid_n(self) -> int:
        """Tile columns."""
        return ceil_div(self.N, self.tile_n)

    @property
    def tiles(self) -> int:
        """Output tiles, which is also the number of workgroups."""
        return self.grid_m * self.grid_n

    @property
    def slabs(self) -> int:
        """K-slabs each workgroup steps through."""
        return ceil_div(self.K, self.slab_k)

    @property
    def output_bytes(self) -> int:
        """Bytes of C."""
        return self.M * self.N * self.element_bytes

    @property
    def tile_elements(self) -> int:
        """Elements of C in a whole tile; fewer than the macro-tile where C is smaller."""
        return min(self.tile_m, self.M) * min(self.tile_n, self.N)

    def operand_bytes(self, depth: int) -> int:
        """Bytes of A and B that a whole tile takes for ``depth`` of K."""
        return (min(self.tile_m, self.M) + min(self.tile_n, self.N)) * depth * self.element_bytes

    @cached_property
    def row_heights(self) -> IntArray:
        """Rows of C in each tile row, shape (grid_m,)."""
        return _extents(self.M, self.tile_m)

    @cached_property
    def column_widths(self) -> IntArray:
        """Columns of C in each tile column, shape (grid_n,)."""
        return _extents(self.N, self.tile_n)

    @cached_property
    def slab_depths(self) -> IntArray:
        """K elements in each slab, shape (slabs,)."""
        return _extents(self.K, self.slab_k)

    @cached_property
    def tile_bytes(self) -> IntArray:
        """Bytes of C in each tile, shape (tiles,)."""
        return (np.outer(self.row_heights, self.column_widths) * self.element_bytes).reshape(-1)

    def dispatch_order(self, group_rows: int) -> IntArray:
        """List the tiles in the order workgroups are dispatched, shape (tiles,).

        Tile rows are taken in groups of ``group_rows``; within a group, column by column. A stage then covers a
        compact block of C and its workgroups share operand slabs in the LLC. One row a group is plain row order.
        """
        grid = np.arange(self.tiles, dtype=np.int64).reshape(self.grid_m, self.grid_n)
        groups = [grid[top : top + group_rows].T.reshape(-1) for top in range(0, self.grid_m, group_rows)]
        return np.concatenate(groups)


def _extents(total: int, step: int) -> IntArray:
    starts = np.arange(0, total, step, dtype=np.int64)
    return np.minimum(step, total - starts)
