"""Where the bytes of a GEMM's LLC traffic lie."""

from functools import cached_property

import numpy as np

from t3sim.compiled import IntArray
from t3sim.hardware.compute.llc_cache import EVICTED, MISSED, Trail
from t3sim.lowering.layout import Layout, Region, part_of_region
from t3sim.lowering.tiling import Tiling
from t3sim.units import ceil_div


class Blocks:
    """How blocks are numbered: slabs of A by tile row, of B by tile column, then the output by workgroup."""

    def __init__(self, block: int, tiling: Tiling, split_k: int) -> None:
        self.block = block
        self.tiling = tiling
        self.split_k = split_k
        self.a = ceil_div(tiling.tile_m * tiling.slab_k * tiling.element_bytes, block)
        self.b = ceil_div(tiling.tile_n * tiling.slab_k * tiling.element_bytes, block)
        self.c = ceil_div(tiling.tile_elements * tiling.element_bytes, block)
        self.b_base = tiling.grid_m * split_k * tiling.slabs * self.a
        self.c_base = self.b_base + tiling.grid_n * split_k * tiling.slabs * self.b
        self.touched = tiling.slabs * (self.a + self.b) + self.c
        """Blocks that one workgroup touches."""


class LlcPlaces:
    """Where the bytes of a GEMM's LLC traffic lie, as regions."""

    def __init__(
        self, blocks: Blocks, rows: IntArray, columns: IntArray, workgroups: IntArray, trail: Trail, flushed: IntArray
    ) -> None:
        """``rows``, ``columns``: tile row and column by rank of first touch; ``workgroups``: their tiles in order."""
        self._blocks = blocks
        self._rows, self._columns, self._tiles = rows, columns, workgroups
        self._numbers = [trail.blocks[kind, : trail.noted[kind]].copy() for kind in range(2)]
        self._bounds = [np.append(trail.first[kind].reshape(-1), trail.noted[kind]) for kind in range(2)]
        self._flushed = flushed
        self._slots = blocks.tiling.slabs + 1
        self._layout = Layout(tiling=blocks.tiling, split_k=blocks.split_k)

    @property
    def most_blocks(self) -> int:
        """Most blocks that the slabs of a stage read and write back."""
        firsts = [bounds[:-1].reshape(-1, self._slots) for bounds in self._bounds]
        return int(sum(first[:, -1] - first[:, 0] for first in firsts).max())

    def of_stage(self, stage: int) -> tuple[tuple[Region, IntArray], tuple[Region, IntArray]]:
        """Operands read for the slabs of a stage, and output written back for them: regions, blocks of each slab."""
        missed, evicted = (self._of_slabs(kind, stage) for kind in (MISSED, EVICTED))
        return missed, evicted

    def store_evicted(self, stage: int) -> Region:
        """Output written back for the output of one stage."""
        low, high = self._bounds[EVICTED][(stage + 1) * self._slots - 1 :][:2]
        return self._regions[EVICTED][low:high]

    def flushed(self) -> Region:
        """Output written back when the kernel ends: what is in the cache, or all of it for sums of parts."""
        return self._region(self._flushed) if self._blocks.split_k == 1 else self._layout.output()

    def _of_slabs(self, kind: int, stage: int) -> tuple[Region, IntArray]:
        bounds = self._bounds[kind][stage * self._slots : (stage + 1) * self._slots]
        return self._regions[kind][bounds[0] : bounds[-1]], np.diff(bounds)

    @cached_property
    def _regions(self) -> list[Region]:
        """Those of the missed and of the evicted blocks: worked out at once, which takes a tenth of stage by stage."""
        return [self._region(numbers) for numbers in self._numbers]

    def _region(self, numbers: IntArray) -> Region:
        blocks, slabs, split = self._blocks, self._blocks.tiling.slabs, self._blocks.split_k
        region = np.empty((len(numbers), 4), np.int64)
        at = np.empty(len(numbers), np.int64)
        is_a, is_c = numbers < blocks.b_base, numbers >= blocks.c_base
        is_b = ~(is_a | is_c)
        piece, at[is_a] = np.divmod(numbers[is_a], blocks.a)
        rank, slab = np.divmod(piece, slabs)
        region[is_a] = self._layout.slabs_of_a(self._rows[rank // split], rank % split, slab)
        piece, at[is_b] = np.divmod(numbers[is_b] - blocks.b_base, blocks.b)
        rank, slab = np.divmod(piece, slabs)
        region[is_b] = self._layout.slabs_of_b(self._columns[rank // split], rank % split, slab)
        piece, at[is_c] = np.divmod(numbers[is_c] - blocks.c_base, blocks.c)
        region[is_c] = self._layout.tiles(self._tiles[piece])
        return part_of_region(region, at, blocks.block)
