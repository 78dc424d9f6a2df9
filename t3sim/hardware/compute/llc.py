"""Last-level cache: which of a GEMM's operand reads go to DRAM, and when its output is written back.

A set-associative LRU cache simulated at the grain of a *block* (one operand slab of a tile, by default) over the
exact order in which the stages' workgroups touch their operands. For a kernel with CUs of its own the order does
not depend on time, so one pass of a compiled function gives its DRAM traffic, which the CU array then issues as it
goes. For one that shares CUs, or the LLC, with a collective it is replayed stage by stage.

Output stores either allocate (and are written back when evicted, or when the kernel ends and its dirty lines are
made visible to peers) or bypass the cache, as near-memory updates do.
"""

from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from t3sim.compiled import BoolArray, IntArray
from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.hardware.compute.llc_cache import DIRTY_BYTES, TAG, Trail, replay
from t3sim.hardware.compute.llc_places import Blocks, LlcPlaces
from t3sim.lowering.layout import Region
from t3sim.lowering.tiling import Tiling
from t3sim.units import ceil_div

MOST_BLOCKS = 2**19


class LlcSpec(Spec):
    """The last-level cache (L2) of one GPU."""

    capacity: PositiveBytes
    """Bytes it holds."""
    ways: Annotated[int, Field(gt=0)]
    """Blocks of a set."""
    block: PositiveBytes
    """Grain of the simulation; an operand slab takes as many blocks as it needs."""
    hit_latency: Femtoseconds
    """From a CU's load to its data, when the LLC holds it."""
    bandwidth: PositiveBytesPerSecond | None = None
    """Bytes that move between the LLC and all CUs; none: as many as they ask for."""

    @model_validator(mode="after")
    def _whole_sets(self) -> "LlcSpec":
        if self.capacity < self.block * self.ways:
            raise ValueError(
                f"capacity {self.capacity} B holds less than one set of {self.ways} blocks of {self.block} B"
            )
        if self.capacity // self.block > MOST_BLOCKS:
            raise ValueError(f"blocks of {self.block} B make more than {MOST_BLOCKS} blocks to simulate")
        return self

    @property
    def sets(self) -> int:
        """Sets of the simulated cache."""
        return self.capacity // (self.block * self.ways)


@dataclass(frozen=True, kw_only=True)
class LlcTraffic:
    """DRAM bytes that one GEMM causes through the LLC, at the place in the kernel where they arise."""

    asked_bytes: int
    """Operand bytes that all workgroups read, from the LLC or through it."""
    read_bytes: IntArray
    """Operand misses, shape (stages, slabs)."""
    evicted_bytes: IntArray
    """Dirty output evicted by operand reads, shape (stages, slabs)."""
    store_evicted_bytes: IntArray
    """Dirty output evicted when a stage's own stores allocate, shape (stages,)."""
    flush_bytes: int
    """Dirty output still held when the kernel ends."""
    places: LlcPlaces | None = None
    """Where these bytes lie; none where it was not asked for."""

    def written_through(self) -> "LlcTraffic":
        """Return the same traffic for output that is in memory already when the LLC evicts it."""
        return replace(
            self,
            evicted_bytes=np.zeros_like(self.evicted_bytes),
            store_evicted_bytes=np.zeros_like(self.store_evicted_bytes),
            flush_bytes=0,
        )

    def of_stage(self, stage: int) -> tuple[tuple[Region, IntArray], tuple[Region, IntArray]]:
        """Where the operands lie that are read for the slabs of a stage, and the output that is written back for them.

        Each in the order of the slabs, with the number of each one's blocks, shape (slabs,).
        """
        return self._located.of_stage(stage)

    @property
    def most_blocks(self) -> int:
        """Most blocks that the slabs of a stage read and write back."""
        return self._located.most_blocks

    def store_evicted(self, stage: int) -> Region:
        """Where the output lies that is written back for the output of one stage."""
        return self._located.store_evicted(stage)

    def flushed(self) -> Region:
        """Where the output lies that is written back when the kernel ends."""
        return self._located.flushed()

    @property
    def _located(self) -> LlcPlaces:
        assert self.places is not None, "the traffic was made without places"
        return self.places


class LlcReplay:
    """The LLC as one GEMM goes through it, stage by stage, starting cold.

    ``split_k`` workgroups follow each other on every tile, ``tiling`` being that of one part of K: a part reads other
    columns of A and rows of B than its neighbour, so to the cache it is a tile row and a tile column of its own.
    Operand blocks are numbered in the order the kernel first touches their row or column, as first-touch
    allocation places them, so the set mapping does not depend on the chunk a GPU starts with.
    """

    def __init__(
        self,
        spec: LlcSpec,
        tiling: Tiling,
        order: IntArray,
        *,
        write_allocate: bool | BoolArray,
        split_k: int = 1,
        with_places: bool = False,
    ) -> None:
        """``order``: tiles in dispatch order, shape (tiles,).

        ``write_allocate``: whether output allocates, of all workgroups or of each in dispatch order.
        ``with_places``: note which blocks moved.
        """
        rows = _first_touch(order // tiling.grid_n, tiling.grid_m)
        columns = _first_touch(order % tiling.grid_n, tiling.grid_n)
        self._spec, self._tiling, self._with_places = spec, tiling, with_places
        self._workgroups = workgroups = np.repeat(order, split_k)
        self._write_allocate = np.broadcast_to(write_allocate, len(workgroups)).copy()
        part = np.arange(len(workgroups)) % split_k
        own = rows[workgroups // tiling.grid_n] * split_k + part, columns[workgroups % tiling.grid_n] * split_k + part
        self._operands = np.stack(own, axis=1)
        self._heights = tiling.row_heights[workgroups // tiling.grid_n]
        self._widths = tiling.column_widths[workgroups % tiling.grid_n]
        self._blocks = Blocks(spec.block, tiling, split_k)
        self._ranked = np.argsort(rows), np.argsort(columns)
        self._cache = np.full((3, spec.sets, spec.ways), -1, np.int64)
        self._clock = np.zeros(2, np.int64)

    def go_on(self, bounds: IntArray, strange_bytes: IntArray) -> LlcTraffic:
        """Replay the next stages.

        ``bounds``: their workgroups begin at ``bounds[:-1]`` of the dispatch order and end before ``bounds[1:]``.
        ``strange_bytes``: bytes of others that take places in the LLC during each stage, shape (stages,).
        """
        blocks, tiling, stages = self._blocks, self._tiling, len(strange_bytes)
        touched = int(bounds[-1] - bounds[0]) * blocks.touched + int((strange_bytes // blocks.block + 1).sum())
        trail = Trail(
            np.empty((2, touched if self._with_places else 0), np.int64),
            np.zeros((2, stages, tiling.slabs + 1), np.int64),
            np.zeros(2, np.int64),
        )
        reads, evicted = np.zeros((2, stages, tiling.slabs), np.int64)
        store_evicted = np.zeros(stages, np.int64)
        flush = replay(
            self._cache,
            self._clock,
            blocks.block,
            self._operands,
            self._heights,
            self._widths,
            tiling.slab_depths,
            (blocks.a, blocks.b, blocks.c, blocks.b_base, blocks.c_base, tiling.element_bytes),
            bounds,
            strange_bytes,
            self._write_allocate,
            (reads, evicted, store_evicted),
            trail,
        )
        # Its own rows of A and columns of B, once along K: what a workgroup reads does not depend on the cache.
        lines = (self._heights + self._widths)[bounds[0] : bounds[-1]]
        return LlcTraffic(
            asked_bytes=int(lines.sum() * tiling.slab_depths.sum()) * tiling.element_bytes,
            read_bytes=reads,
            evicted_bytes=evicted,
            store_evicted_bytes=store_evicted,
            flush_bytes=int(flush),
            places=self._places(trail) if self._with_places else None,
        )

    def _places(self, trail: Trail) -> LlcPlaces:
        flushed = self._cache[TAG][self._cache[DIRTY_BYTES] > 0]
        return LlcPlaces(self._blocks, *self._ranked, self._workgroups, trail, flushed)


def gemm_traffic(
    spec: LlcSpec,
    tiling: Tiling,
    order: IntArray,
    stage_workgroups: int,
    *,
    write_allocate: bool | BoolArray,
    split_k: int = 1,
    with_places: bool = False,
) -> LlcTraffic:
    """Replay a whole GEMM that has the LLC to itself, ``stage_workgroups`` being resident at once (``LlcReplay``)."""
    whole = LlcReplay(spec, tiling, order, write_allocate=write_allocate, split_k=split_k, with_places=with_places)
    workgroups = len(order) * split_k
    stages = ceil_div(workgroups, stage_workgroups)
    bounds = np.minimum(np.arange(stages + 1) * stage_workgroups, workgroups)
    return whole.go_on(bounds, np.zeros(stages, np.int64))


def _first_touch(touched: IntArray, count: int) -> IntArray:
    """Rank of each index by its first appearance in ``touched``, shape (count,)."""
    _, first = np.unique(touched, return_index=True)
    ranks = np.empty(count, np.int64)
    ranks[touched[np.sort(first)]] = np.arange(len(first))
    return ranks
