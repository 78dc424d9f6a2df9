"""GEMM tiling: output tiles (one per workgroup), K-slabs, and the order in which workgroups are dispatched."""

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import numpy as np
from pydantic import Field

from t3sim.config import Spec
from t3sim.kernels import IntArray
from t3sim.units import ceil_div

# Far beyond any kernel: a slip of the keyboard is named instead of simulated.
MOST_EXTENT = 2**16
MOST_WORKGROUPS = 1024


class GemmKernelSpec(Spec):
    """How GEMM kernels are written."""

    tile_m: Annotated[int, Field(gt=0, le=MOST_EXTENT)]
    tile_n: Annotated[int, Field(gt=0, le=MOST_EXTENT)]
    slab_k: Annotated[int, Field(gt=0, le=MOST_EXTENT)]
    group_rows: Annotated[int, Field(gt=0)]
    """Tile rows whose workgroups are dispatched together, column by column."""
    workgroups_per_cu: Annotated[int, Field(gt=0, le=MOST_WORKGROUPS)]
    wavefronts: Annotated[int, Field(gt=0, le=MOST_WORKGROUPS)]
    """Wavefronts of a workgroup; the tracker counts at this grain."""
    prefetch_slabs: Annotated[int, Field(ge=0)]


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
