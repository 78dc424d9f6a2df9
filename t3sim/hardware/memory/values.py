"""Data mode: real numbers in a GPU's memory, by address.

A buffer is cut into *cells*, each with one number that stands for all its elements. Every boundary between pieces, of
any operation that uses the buffer, is a boundary between cells: the machine moves whole cells, and what goes astray is
at least one. Where nothing has been written, reading is noted as a fault.

Numbers are exact: integers below 2**52, no two of a buffer alike, so that sums over 1,024 GPUs fit 64 bits and one
contribution cannot stand in for another. Beside them, if asked for, go the same sums rounded at every addition to a
floating-point type.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from t3sim.compiled import IntArray
from t3sim.lowering.chunks import Chunks

FloatArray = NDArray[Any]

EMPTY = int(np.iinfo(np.int64).min)
"""What memory holds where nothing has been written."""
MOST_CELLS = 4096
"""Cells that a buffer is cut into beyond what its pieces ask for, at most."""

_BITS = 52
_ADDRESS_BITS = 36
_MASK = np.uint64(2**_BITS - 1)
# Odd multipliers and shifts of half the width: each step maps 52 bits to 52 bits one to one (as in SplitMix64).
_STEPS = ((np.uint64(26), np.uint64(0xBF58476D1CE4E5B9)), (np.uint64(23), np.uint64(0x94D049BB133111EB)))


class Precision(StrEnum):
    """Floating-point type that sums are rounded to at every addition."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"

    def rounded(self, numbers: FloatArray) -> FloatArray:
        """Round to the nearest number of this type, ties to even; given and returned as float32."""
        single = numbers.astype(np.float32)
        if self is Precision.FP16:
            return single.astype(np.float16).astype(np.float32)
        if self is Precision.BF16:
            bits = single.view(np.uint32)
            bits = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
            return (bits & np.uint32(0xFFFF0000)).view(np.float32)
        return single


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """The numbers of some cells, in memory or on their way. Nobody changes them once they are made."""

    exact: IntArray
    rounded: FloatArray | None = None
    precision: Precision | None = None

    def __len__(self) -> int:
        return len(self.exact)

    def __getitem__(self, cells: slice) -> "Numbers":
        rounded = None if self.rounded is None else self.rounded[cells]
        return Numbers(self.exact[cells], rounded, self.precision)

    def filled(self, count: int) -> "Numbers":
        """Give it ``count`` numbers: what came to the wrong place may be too short for it."""
        if len(self) == count:
            return self
        rounded = None if self.rounded is None else np.pad(self.rounded, (0, count - len(self)))
        return Numbers(np.pad(self.exact, (0, count - len(self))), rounded, self.precision)

    def __add__(self, other: "Numbers") -> "Numbers":
        rounded = None
        if self.precision is not None and self.rounded is not None and other.rounded is not None:
            rounded = self.precision.rounded(self.rounded + other.rounded)
        return Numbers(self.exact + other.exact, rounded, self.precision)


def summed(terms: Sequence[Numbers]) -> Numbers | None:
    """Add up numbers one after the other; ``None`` for none, when there is no data."""
    return reduce(add, terms) if terms else None


def contribution(rank: int, buffer: int, addresses: IntArray, precision: Precision | None = None) -> Numbers:
    """Return what ``rank`` has to contribute at ``addresses`` of a buffer, a number each.

    Rank and address are mixed one to one. As floating-point numbers they lie between 1 and 2: nothing cancels.
    """
    keys = np.uint64(rank << _ADDRESS_BITS) | addresses.astype(np.uint64)
    keys = (keys ^ _mixed(np.array([buffer + 1], np.uint64))) & _MASK
    exact = _mixed(keys).astype(np.int64)
    return Numbers(exact, None if precision is None else precision.rounded(1 + exact / 2**_BITS), precision)


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, factor in _STEPS:
        keys = (keys ^ keys >> shift) * factor & _MASK
    return keys ^ keys >> _STEPS[0][0]


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of one buffer."""

    starts: IntArray
    """Address of each, ascending."""
    total_bytes: int

    @cached_property
    def sizes(self) -> IntArray:
        """Bytes of each."""
        return np.diff(self.starts, append=self.total_bytes)

    def bounds(self, chunks: Chunks) -> tuple[IntArray, ...]:
        """Find the cells of every piece: by part, the first of each piece and what follows the last piece."""
        ends = np.cumsum([0, *chunks.chunk_bytes])
        return tuple(
            np.searchsorted(self.starts, [*addresses, ends[part + 1]])
            for part, addresses in enumerate(chunks.addresses)
        )


def cells_of(cuts: Sequence[Chunks], element_bytes: int) -> Cells:
    """Cut a buffer where any of ``cuts`` does, and further, element by element, as far as ``MOST_CELLS`` go."""
    total = cuts[0].total_bytes
    step = max(element_bytes, -(-total // (MOST_CELLS * element_bytes)) * element_bytes)
    starts = [np.array([address for part in cut.addresses for address in part], np.int64) for cut in cuts]
    return Cells(np.unique(np.concatenate([np.arange(0, total, step, dtype=np.int64), *starts])), total)


@dataclass(frozen=True, eq=False)
class Space:
    """What one operation of a program works on."""

    buffer: int
    """Operations that hand each other their data share one."""
    cells: Cells
    found: Callable[[int], Sequence[int]]
    """By rank: the parts that are in memory from the start, if the operation does not produce them itself."""


@dataclass(frozen=True, slots=True)
class EmptyRead:
    """Memory that was read before anything was there."""

    operation: int
    part: int
    pieces: range
    slot: int | None


class Values:
    """The numbers in one GPU's memory, and what its operations do with them."""

    def __init__(
        self, rank: int, spaces: Sequence[Space], precision: Precision | None, ended: Callable[[int, int], None]
    ) -> None:
        """``spaces``: by operation. ``ended`` is called with an operation and the rank at which it has ended."""
        self.rank = rank
        self.spaces = spaces
        self.precision = precision
        self.opened: dict[int, OperationValues] = {}
        """By number of the operation."""
        self.empty_reads: list[EmptyRead] = []
        self._ended = ended
        self._stores: dict[tuple[int, int | None], Numbers] = {}

    def open(
        self, number: int, chunks: Chunks, slots: Mapping[Any, int] | None = None, *, produced: bool = False
    ) -> "OperationValues":
        """Let operation ``number`` use its buffer, cut into ``chunks``.

        ``slots``: which of its buffers for copies an arriving move has, if any. ``produced``: it stores what it works
        on itself; else what nothing before it in the program leaves there is in memory from the start.
        """
        opened = self.opened[number] = OperationValues(self, number, chunks, slots or {})
        if not produced:
            for part in self.spaces[number].found(self.rank):
                pieces = range(len(chunks.piece_bytes[part]))
                opened.put(part, pieces, opened.produced(part, pieces))
        return opened

    def ended(self, number: int) -> None:
        """Say that operation ``number`` has ended on this GPU: its result has to be in memory."""
        self._ended(number, self.rank)

    def store(self, number: int, slot: int | None) -> Numbers:
        """Return the numbers in an operation's buffer, or in one of those for its copies; to be changed in place."""
        space = self.spaces[number]
        key = (space.buffer, None) if slot is None else (number, slot)
        found = self._stores.get(key)
        if found is None:
            count = len(space.cells.starts)
            rounded = None if self.precision is None else np.zeros(count, np.float32)
            found = self._stores[key] = Numbers(np.full(count, EMPTY, np.int64), rounded, self.precision)
        return found


@dataclass(slots=True, eq=False)
class OperationValues:
    """What one operation at one GPU does with the numbers in its memory."""

    values: Values
    number: int
    chunks: Chunks
    slots: Mapping[Any, int]
    bounds: tuple[IntArray, ...] = field(init=False)
    """Cells of every piece, by part."""

    def __post_init__(self) -> None:
        self.bounds = self.values.spaces[self.number].cells.bounds(self.chunks)

    def produced(self, part: int, pieces: range) -> Numbers:
        """Return what this GPU has to contribute to ``pieces`` of a part: what its GEMM stores there."""
        space = self.values.spaces[self.number]
        addresses = space.cells.starts[self.cells(part, pieces)]
        return contribution(self.values.rank, space.buffer, addresses, self.values.precision)

    def produce(self) -> None:
        """Store all that a GEMM on this GPU contributes."""
        for part, sizes in enumerate(self.chunks.piece_bytes):
            self.put(part, range(len(sizes)), self.produced(part, range(len(sizes))))

    def read(self, part: int, pieces: range, slot: int | None = None) -> Numbers:
        """Read ``pieces`` of a part; as 0 where nothing has been written."""
        cells, store = self.cells(part, pieces), self.values.store(self.number, slot)
        found = store[cells]
        empty = found.exact == EMPTY
        if empty.any():
            self.values.empty_reads.append(EmptyRead(self.number, part, pieces, slot))
        rounded = None if found.rounded is None else found.rounded.copy()
        return Numbers(np.where(empty, 0, found.exact), rounded, found.precision)

    def put(self, part: int, pieces: range, numbers: Numbers, slot: int | None = None) -> None:
        """Write ``numbers`` over what ``pieces`` of a part hold."""
        store, cells = self.values.store(self.number, slot), self.cells(part, pieces)
        store.exact[cells] = numbers.exact
        if store.rounded is not None:
            store.rounded[cells] = numbers.rounded

    def update(self, part: int, pieces: range, numbers: Numbers) -> None:
        """Add ``numbers`` to what ``pieces`` of a part hold, as near-memory ALUs do; the first update finds nothing."""
        store = self.values.store(self.number, None)[self.cells(part, pieces)]
        summed = Numbers(np.where(store.exact == EMPTY, 0, store.exact), store.rounded, store.precision) + numbers
        self.put(part, pieces, summed)

    def of_piece(self, carried: Numbers, part: int, pieces: range, piece: int) -> Numbers:
        """Cut the numbers of ``piece`` out of those that a message carries for ``pieces``."""
        first = self.cells(part, pieces).start
        cells = self.cells(part, range(piece, piece + 1))
        return carried[cells.start - first : cells.stop - first].filled(cells.stop - cells.start)

    def cells(self, part: int, pieces: range) -> slice:
        """Return the cells of ``pieces`` of a part."""
        bounds = self.bounds[part]
        return slice(int(bounds[pieces.start]), int(bounds[pieces.stop]))
