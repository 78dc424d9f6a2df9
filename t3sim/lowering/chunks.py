"""Chunks: the parts of a buffer that travel, in pieces; and the output tiles of a GEMM grouped into them."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from t3sim.compiled import IntArray
from t3sim.lowering.tiling import Tiling


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """A buffer cut into parts of whole pieces; a piece is what one message carries, a chunk of a plan is one part.

    Part ``i`` holds the same bytes on every GPU. In which order a GPU produces parts is up to the plan.
    """

    piece_bytes: tuple[tuple[int, ...], ...]
    """Bytes of every piece, by part. A part of a tiny buffer may be empty."""

    @property
    def count(self) -> int:
        """Parts of the buffer."""
        return len(self.piece_bytes)

    @cached_property
    def chunk_bytes(self) -> tuple[int, ...]:
        """Bytes of each part."""
        return tuple(sum(pieces) for pieces in self.piece_bytes)

    @property
    def total_bytes(self) -> int:
        """Bytes of the whole buffer."""
        return sum(self.chunk_bytes)

    @cached_property
    def addresses(self) -> tuple[tuple[int, ...], ...]:
        """Place in the buffer of every piece, by part."""
        ends = np.cumsum([size for pieces in self.piece_bytes for size in pieces]).tolist()
        starts = iter([0, *ends[:-1]])
        return tuple(tuple(next(starts) for _ in pieces) for pieces in self.piece_bytes)


def even_chunks(total_bytes: int, count: int, piece_bytes: int) -> Chunks:
    """Cut ``total_bytes`` into ``count`` parts as equal as whole bytes allow, in pieces of ``piece_bytes``."""
    bounds = [total_bytes * index // count for index in range(count + 1)]
    return Chunks(piece_bytes=tuple(pieces_of(high - low, piece_bytes) for low, high in pairwise(bounds)))


def resliced(chunks: Chunks, piece_bytes: int) -> Chunks:
    """Keep the chunks of ``chunks`` and cut each into pieces of ``piece_bytes``."""
    return Chunks(piece_bytes=tuple(pieces_of(size, piece_bytes) for size in chunks.chunk_bytes))


def cut_evenly(chunks: Chunks, count: int) -> Chunks:
    """Cut each part into ``count`` parts of the same bytes, in pieces no larger than before.

    Raises ``ValueError`` where whole bytes do not allow that.
    """
    if any(size % count for size in chunks.chunk_bytes):
        raise ValueError(f"parts of {sorted(set(chunks.chunk_bytes))} B cannot be cut into {count} equal ones")
    cut = (pieces_of(sum(pieces) // count, max(pieces, default=1)) for pieces in chunks.piece_bytes)
    return Chunks(piece_bytes=tuple(pieces for pieces in cut for _ in range(count)))


def pieces_of(total_bytes: int, piece_bytes: int) -> tuple[int, ...]:
    """Cut ``total_bytes`` into pieces of ``piece_bytes``; the last one holds the rest."""
    whole, rest = divmod(total_bytes, piece_bytes)
    return (piece_bytes,) * whole + ((rest,) if rest else ())


@dataclass(frozen=True, kw_only=True)
class TileChunks:
    """The output tiles of a GEMM grouped into chunks: consecutive tiles of the dispatch order.

    Chunks end at the tile boundaries nearest to equal bytes: the slowest chunk sets the pace of a ring.
    """

    tiling: Tiling
    order: IntArray
    """Tiles in the dispatch order of GPU 0, shape (tiles,)."""
    count: int
    kept_bounds: tuple[int, ...] | None = None
    """Where the chunks end, if that was settled in another order of their tiles."""

    @cached_property
    def bounds(self) -> tuple[int, ...]:
        """Chunk ``i`` is ``order[bounds[i]:bounds[i + 1]]``."""
        if self.kept_bounds is not None:
            return self.kept_bounds
        ends = np.cumsum(self.tiling.tile_bytes[self.order])
        targets = np.arange(1, self.count) * (int(ends[-1]) / self.count)
        after = np.searchsorted(ends, targets)
        before_is_nearer = targets - np.where(after > 0, ends[after - 1], 0) < ends[after] - targets
        bounds = [0, *(after + 1 - before_is_nearer).tolist(), len(ends)]
        # No chunk may be empty: push bounds apart, first from the left, then from the right.
        for index in range(1, self.count):
            bounds[index] = max(bounds[index], bounds[index - 1] + 1)
        for index in range(self.count - 1, 0, -1):
            bounds[index] = min(bounds[index], bounds[index + 1] - 1)
        return tuple(bounds)

    @cached_property
    def chunks(self) -> Chunks:
        """The same chunks as bytes, one piece a tile."""
        sizes = self.tiling.tile_bytes[self.order]
        pairs = pairwise(self.bounds)
        return Chunks(piece_bytes=tuple(tuple(sizes[low:high].tolist()) for low, high in pairs))

    def tiles_of(self, parts: IntArray, pieces: IntArray) -> IntArray:
        """Name the tiles that are these pieces of these parts, shape (pieces,)."""
        return self.order[np.array(self.bounds)[parts] + pieces]

    def in_turns(self, parts: int) -> "TileChunks":
        """Give the same chunks for a kernel that makes tiles of ``parts`` of them in turns.

        The tile rows dispatched together are shared out among the parts under way: as many groups as these, each as
        tall as before, would need more operands at a time than one does.
        """
        columns = self.order % self.tiling.grid_n
        together = int(np.flatnonzero(np.append(columns, -1) != columns[0])[0])
        rows = max(1, together // parts)
        if rows == together:
            return self
        order = np.concatenate([self._grouped(self.order[low:high], rows) for low, high in pairwise(self.bounds)])
        return replace(self, order=order, kept_bounds=self.bounds)

    def _grouped(self, tiles: IntArray, rows: int) -> IntArray:
        """Order tiles by groups of tile rows, and within a group column by column."""
        row, column = np.divmod(tiles, self.tiling.grid_n)
        return tiles[np.lexsort((row, column, (row - row.min()) // rows))]

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles of each part."""
        return tuple(high - low for low, high in pairwise(self.bounds))
