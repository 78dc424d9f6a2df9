"""Data mode: what each operation of a program finds in memory, what it has to leave there, and whether it does.

Results are compared whenever an operation ends on a GPU, and once more when the machine has come to rest. What is
expected follows from what operations mean, by numpy, and not from any plan's moves.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from t3sim.collectives.grid import rotated
from t3sim.collectives.plan import Operation, arrivals_of, part_of
from t3sim.compiled import BoolArray
from t3sim.execution.address_space import own_chunks
from t3sim.execution.diagnosis import Evidence, diagnosis
from t3sim.hardware.memory.values import (
    EMPTY,
    FloatArray,
    Numbers,
    OperationValues,
    Precision,
    Space,
    Values,
    cells_of,
    contribution,
)
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.work import CollectiveWork, GemmWork, Work
from t3sim.units import ceil_div
from t3sim.workload.operations import DTYPE_BYTES

SUMS = (Operation.REDUCE_SCATTER, Operation.ALL_REDUCE)
"""Operations whose results are sums."""
MOST_DESCRIBED = 5
"""Wrong pieces that are described; the others are counted."""


@dataclass(frozen=True, kw_only=True)
class DataMode:
    """That memories hold numbers."""

    precision: Precision | None = None
    """Type that sums are rounded to beside the exact ones; ``None``: exact ones alone."""


@dataclass(frozen=True, kw_only=True)
class DataReport:
    """What data mode found."""

    errors: int = 0
    """Elements that are missing, doubled or misplaced: of a wrong cell, all; each once for a GPU and an operation."""
    findings: tuple[str, ...] = ()
    """The first of them described, with GPU, part and piece."""
    spread: float | None = None
    """Largest relative difference between a sum as the machine rounds it and the same in fp64."""

    def __add__(self, other: "DataReport") -> "DataReport":
        spreads = [spread for spread in (self.spread, other.spread) if spread is not None]
        return DataReport(
            errors=self.errors + other.errors,
            findings=(*self.findings, *other.findings),
            spread=max(spreads, default=None),
        )

    def __str__(self) -> str:
        return f"{self.errors} elements in memory are wrong:\n  " + "\n  ".join(self.findings)


@dataclass(frozen=True, slots=True)
class _Result:
    """Cells that an operation has to leave in a buffer of one GPU: its own, or one for copies."""

    slot: int | None
    part: int
    numbers: Numbers


class DataRun:
    """The data of one run of a program: every GPU's memory, and what has to be in it."""

    def __init__(self, works: Sequence[Work], ranks: int, precision: Precision | None = None) -> None:
        """``works``: what the operations of the program carry out, in their order."""
        self._works = works
        self._ranks = ranks
        self._precision = precision
        self._before = _predecessors(works)
        """By operation: the one before it in its buffer."""
        self._spaces = self._laid_out()
        self.values = tuple(Values(rank, self._spaces, precision, self.check) for rank in range(ranks))
        """By rank: what its memory holds."""
        self._shared: dict[int, Numbers] = {}
        self._checked: set[int] = set()
        self._wrong: dict[tuple[int, int, int | None], BoolArray] = {}
        """By operation, rank and buffer: the cells that were wrong at some time."""
        self._described: dict[tuple[int, int, int, int], str] = {}
        """By operation, rank, part and piece."""
        self._spread = 0.0

    def check(self, number: int, rank: int) -> None:
        """Compare what operation ``number``, which has ended there, has left in the memory of ``rank``."""
        self._checked.add(number)
        opened = self.values[rank].opened[number]
        for result in self._results(number, rank):
            cells = opened.cells(result.part, _all_pieces(opened, result.part))
            held = self.values[rank].store(number, result.slot)[cells]
            self._compare(opened, result, cells, held)

    def report(self) -> DataReport:
        """Compare once more what the last operation on each buffer has left, and say what was found in all."""
        overwritten = set(self._before.values())
        for number in sorted(self._checked - overwritten):
            for rank in range(self._ranks):
                self.check(number, rank)
        return self._report()

    def report_unfinished(self) -> DataReport:
        """Say what was found, and what is not as it has to be in operations that have not ended."""
        for number, work in enumerate(self._works):
            if isinstance(work, CollectiveWork):
                for values in self.values:
                    if number in values.opened:
                        self.check(number, values.rank)
        return self._report()

    def _report(self) -> DataReport:
        early = self._read_early()
        wrong = [0] * len(self._works)
        for (number, _, _), cells in self._wrong.items():
            wrong[number] += int(self._spaces[number].cells.sizes[cells].sum())
        findings = [*early, *self._described.values()]
        more = len(findings) - MOST_DESCRIBED
        return DataReport(
            errors=sum(
                ceil_div(nbytes, DTYPE_BYTES[work.op.dtype]) for nbytes, work in zip(wrong, self._works, strict=True)
            ),
            findings=(*findings[:MOST_DESCRIBED], *([f"and {more} pieces more"] if more > 0 else [])),
            spread=None if self._precision is None else self._spread,
        )

    def _compare(self, opened: OperationValues, result: _Result, cells: slice, held: Numbers) -> None:
        wrong = held.exact != result.numbers.exact
        if held.rounded is not None and result.numbers.rounded is not None:
            right = ~wrong
            expected = result.numbers.rounded[right]
            spread = np.abs(held.rounded[right] - expected) / expected
            self._spread = max(self._spread, float(spread.max(initial=0)))
        if not wrong.any():
            return
        rank, number = opened.values.rank, opened.number
        self._mask(number, rank, result.slot)[cells] |= wrong
        for piece in _all_pieces(opened, result.part):
            place = opened.cells(result.part, range(piece, piece + 1))
            inside = wrong[place.start - cells.start : place.stop - cells.start]
            if inside.any() and (number, rank, result.part, piece) not in self._described:
                cell = place.start + int(inside.argmax())
                there = int(held.exact[cell - cells.start])
                what = self._explained(number, rank, cell, there, result, cells)
                place_name = self._named(opened, result.part, piece)
                self._described[number, rank, result.part, piece] = f"{place_name}: {what}"

    def _read_early(self) -> dict[str, None]:
        """Count what was read before anything was there as wrong, and describe it."""
        findings: dict[str, None] = {}
        for values in self.values:
            for read in values.empty_reads:
                opened = values.opened[read.operation]
                for piece in read.pieces:
                    self._mask(read.operation, values.rank, read.slot)[
                        opened.cells(read.part, range(piece, piece + 1))
                    ] = True
                    findings[f"{self._named(opened, read.part, piece)}: read before anything was there"] = None
        return findings

    def _mask(self, number: int, rank: int, slot: int | None) -> BoolArray:
        count = len(self._spaces[number].cells.starts)
        return self._wrong.setdefault((number, rank, slot), np.zeros(count, bool))

    def _named(self, opened: OperationValues, part: int, piece: int) -> str:
        work = self._works[opened.number]
        assert isinstance(work, CollectiveWork)
        return f"{work.operation} {work.op.id}: GPU {opened.values.rank}, part {part}, piece {piece}"

    def _explained(self, number: int, rank: int, cell: int, there: int, result: _Result, cells: slice) -> str:
        if len(self._described) >= MOST_DESCRIBED:
            return ""
        work = self._works[number]
        assert isinstance(work, CollectiveWork)
        opened = self.values[0].opened[number]
        summed = self._summing(number)
        evidence = Evidence(
            cell=cell,
            there=there,
            wanted=int(result.numbers.exact[cell - cells.start]),
            contributions=np.stack([self._found(summed, each).exact for each in range(self._ranks)]),
            is_sum=self._is_sum(summed),
        )
        places = [
            (part, piece, opened.cells(part, range(piece, piece + 1)))
            for part, sizes in enumerate(opened.chunks.piece_bytes)
            for piece in range(len(sizes))
        ]
        if work.plan.operation is Operation.ALL_GATHER:
            home = next(rank for rank in range(self._ranks) if result.part in self._parts_of(number, rank))
            if home != rank and self.values[home].store(number, None).exact[cell] == there:
                return f"holds what GPU {home} has there, which is wrong"
        return diagnosis(evidence, lambda other: next((p, q) for p, q, at in places if at.start <= other < at.stop))

    def _summing(self, number: int) -> int:
        """Find the operation that made the sums that ``number`` moves; itself, if it makes them or none are."""
        before: int | None = number
        while before is not None:
            if self._is_sum(before):
                return before
            before = self._before.get(before)
        return number

    def _is_sum(self, number: int) -> bool:
        work = self._works[number]
        return isinstance(work, CollectiveWork) and work.plan.operation in SUMS

    # What has to be there.

    def _results(self, number: int, rank: int) -> Iterator[_Result]:
        """List what operation ``number`` has to leave in the memory of ``rank``."""
        work = self._works[number]
        assert isinstance(work, CollectiveWork)
        plan = work.plan
        if plan.operation is Operation.REDUCE_SCATTER:
            parts = self._parts_of(number, rank)
        elif plan.operation in (Operation.ALL_TO_ALL, Operation.SEND):
            yield from self._copies(number, work, rank)
            return
        else:
            parts = list(range(plan.parts))
        for part in parts:
            yield _Result(None, part, self._result(number)[self._part(number, part)])

    def _copies(self, number: int, work: CollectiveWork, rank: int) -> Iterator[_Result]:
        """List what comes to ``rank`` from each other rank, into buffers for copies, and what stays."""
        plan, slots = work.plan, self.values[rank].opened[number].slots
        arrived = {arrival.chunk: slots.get(arrival.move) for arrival in arrivals_of(plan, rank)}
        for home in range(self._ranks):
            for sub in range(plan.subs):
                to = (home + 1) % self._ranks if plan.operation is Operation.SEND else rotated(home, sub, plan.shape)
                if to == rank:
                    chunk = home * plan.subs + sub
                    part = part_of(plan, chunk)
                    numbers = self._found(number, home)[self._part(number, part)]
                    yield _Result(arrived.get(chunk), part, numbers)

    def _result(self, number: int) -> Numbers:
        """Return the whole buffer as operation ``number`` leaves it where it has to: at homes, or everywhere."""
        if number not in self._shared:
            self._shared[number] = self._computed(number)
        return self._shared[number]

    def _computed(self, number: int) -> Numbers:
        work = self._works[number]
        assert isinstance(work, CollectiveWork)
        plan = work.plan
        if plan.operation in SUMS:
            total, missing = self._found(number, 0), self._found(number, 0).exact == EMPTY
            for rank in range(1, self._ranks):
                found = self._found(number, rank)
                missing |= found.exact == EMPTY
                total = Numbers(total.exact + found.exact, _plus(total.rounded, found.rounded))
            return Numbers(np.where(missing, EMPTY, total.exact), total.rounded)
        if plan.operation is Operation.BROADCAST:
            return self._found(number, 0)
        exact = np.full(len(self._spaces[number].cells.starts), EMPTY, np.int64)
        rounded = None if self._precision is None else np.zeros(len(exact))
        for home in range(self._ranks):
            found = self._found(number, home)
            for part in self._parts_of(number, home):
                cells = self._part(number, part)
                exact[cells] = found.exact[cells]
                if rounded is not None and found.rounded is not None:
                    rounded[cells] = found.rounded[cells]
        return Numbers(exact, rounded)

    def _found(self, number: int, rank: int) -> Numbers:
        """Return the whole buffer of ``rank`` as operation ``number`` finds it, or its own GEMM leaves it."""
        before = self._before.get(number)
        if before is None or isinstance(self._works[before], GemmWork):
            space = self._spaces[number]
            made = contribution(rank, space.buffer, space.cells.starts, self._precision)
            made = Numbers(made.exact, None if made.rounded is None else made.rounded.astype(np.float64))
            return made if before is not None else self._only(made, number, space.found(rank))
        result = self._result(before)
        work = self._works[before]
        assert isinstance(work, CollectiveWork)
        if work.plan.operation is not Operation.REDUCE_SCATTER:
            return result
        return self._only(result, before, self._parts_of(before, rank))

    def _only(self, numbers: Numbers, number: int, parts: Sequence[int]) -> Numbers:
        """Take away all but some parts."""
        exact = np.full(len(numbers), EMPTY, np.int64)
        for part in parts:
            cells = self._part(number, part)
            exact[cells] = numbers.exact[cells]
        return Numbers(exact, numbers.rounded)

    def _parts_of(self, number: int, home: int) -> list[int]:
        """List the parts whose home is ``home``."""
        work = self._works[number]
        assert isinstance(work, CollectiveWork)
        return [part_of(work.plan, home * work.plan.subs + sub) for sub in range(work.plan.subs)]

    def _part(self, number: int, part: int) -> slice:
        """Return the cells of a part, as operation ``number`` cuts its buffer."""
        work = self._works[number]
        assert isinstance(work, CollectiveWork)
        ends = np.cumsum([0, *work.chunks.chunk_bytes])
        first, last = np.searchsorted(self._spaces[number].cells.starts, ends[part : part + 2])
        return slice(int(first), int(last))

    def _laid_out(self) -> tuple[Space, ...]:
        """Give every operation its buffer, cut where any operation cuts it."""
        buffers: list[int] = []
        for number in range(len(self._works)):
            before = self._before.get(number)
            buffers.append(number if before is None else buffers[before])
        cuts: dict[int, list[Chunks]] = {}
        for buffer, work in zip(buffers, self._works, strict=True):
            cuts.setdefault(buffer, []).extend(_cuts(work))
        cells = {buffer: cells_of(of, DTYPE_BYTES[self._works[buffer].op.dtype]) for buffer, of in cuts.items()}
        return tuple(
            Space(buffer, cells[buffer], partial(_found_parts, work, first=buffer == number))
            for number, (buffer, work) in enumerate(zip(buffers, self._works, strict=True))
        )


def _cuts(work: Work) -> Iterator[Chunks]:
    """List the ways in which ``work`` may cut its buffer."""
    if isinstance(work, GemmWork):
        yield work.tiles.chunks
        return
    yield work.chunks
    if work.producer is not None:
        yield work.producer.tiles.chunks


def _found_parts(work: Work, rank: int, *, first: bool) -> Sequence[int]:
    """Parts that are in the memory of ``rank`` from the start: all that it contributes, if nothing comes before."""
    if not first or isinstance(work, GemmWork):
        return ()
    return [part_of(work.plan, chunk) for chunk in sorted(own_chunks(work.plan, rank))]


def _predecessors(works: Sequence[Work]) -> dict[int, int]:
    """Find for each operation the one whose output it works on, in the same buffer; one output is taken once.

    The second half of an all-reduce goes on with the first. Another operation takes what the first it waits for has
    left, if that is a whole buffer of as many bytes, or the sums that it gathers from where they are.
    """
    before: dict[int, int] = {}
    last: dict[str, int] = {}
    for number, work in enumerate(works):
        if isinstance(work, CollectiveWork):
            for name in (work.op.id, *work.op.after):
                found = last.get(name)
                if found is not None and found not in before.values() and _hands_over(works[found], work):
                    before[number] = found
                    break
        last[work.op.id] = number
    return before


def _hands_over(first: Work, second: CollectiveWork) -> bool:
    """Whether what ``first`` leaves is what ``second`` works on."""
    if second.continues and second.op is first.op:
        return True
    if isinstance(first, GemmWork):
        return first.op.output_bytes == second.op.bytes
    if first.op.bytes != second.op.bytes or first.plan.operation in (Operation.ALL_TO_ALL, Operation.SEND):
        return False
    if first.plan.operation is Operation.REDUCE_SCATTER:
        return second.plan.operation is Operation.ALL_GATHER and _of_homes(first) == _of_homes(second)
    return True


def _of_homes(work: CollectiveWork) -> list[int]:
    """Give the bytes of each home's parts, which lie side by side, in the order of the buffer."""
    sizes, subs = work.chunks.chunk_bytes, work.plan.subs
    return [sum(sizes[first : first + subs]) for first in range(0, len(sizes), subs)]


def _all_pieces(opened: OperationValues, part: int) -> range:
    return range(len(opened.chunks.piece_bytes[part]))


def _plus(first: FloatArray | None, second: FloatArray | None) -> FloatArray | None:
    return None if first is None or second is None else first + second
