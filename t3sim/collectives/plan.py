"""Plans: what a collective moves, apart from who moves it and over which wires.

A *chunk* is a part of the buffer that travels as one. Its *home* is the rank it belongs to: the rank that owns its sum
(reduce-scatter, all-reduce), had it first (all-gather, broadcast, all-to-all). With ``subs`` chunks a home, chunk
``home * subs + sub`` is its ``sub``-th. A plan lists *moves* of chunks between ranks, and what each waits for.

Most algorithms look the same from every rank. Their plans list the moves of the chunks of home 0 only (``symmetric``);
those of home ``h`` are the same with every rank moved on by ``h`` over ``shape``, a grid of ranks that wraps around.
So a plan of a thousand ranks is as small as one of eight, and that one rank may stand for all is part of what it says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import NamedTuple

from t3sim.collectives.grid import rotated, turn


class Kind(Enum):
    """What a move does with a chunk."""

    COPY = "copy"
    """Its value replaces what the destination holds."""
    REDUCE = "reduce"
    """Its value is added to what the destination holds, when it is used there: a contribution."""
    LOCAL = "local"
    """Stays at its rank: contributions that arrived are summed and the sum is written to memory."""
    MERGE = "merge"
    """A contribution to a sum made on the way, in a switch, of all MERGE moves of this chunk to this destination; what
    arrives is one value, and it replaces what the destination holds. A rank may send to itself. The value arrives under
    the lowest number of these moves; who waits for it names that one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One chunk from one rank to another (or to several at once, which a switch multiplies)."""

    chunk: int
    source: int
    destinations: tuple[int, ...]
    """One rank; several: one message, copied by a switch. ``(source,)`` for ``LOCAL``."""
    kind: Kind
    after: tuple[int, ...] = ()
    """Moves (by their place in the plan) that must have arrived at ``source``, or been done there, before this starts.
    The value moved is that of the COPY, MERGE or LOCAL among them (else what the rank had from the start), plus the
    contributions of the REDUCE moves among them."""
    step: int = 0
    """Moves of one rank and lane start in the order of their steps."""
    lane: int = 0
    """Moves of one rank in different lanes go on at the same time; those of one lane follow one another."""


class Operation(Enum):
    """What a collective does. For the bytes that each means, see ``Plan.parts``."""

    REDUCE_SCATTER = "reduce_scatter"
    """Every rank contributes to every chunk; its home owns the sum."""
    ALL_GATHER = "all_gather"
    """A chunk is at its home first, and everywhere at the end."""
    ALL_REDUCE = "all_reduce"
    """Every rank contributes to every chunk, and all own the sum."""
    ALL_TO_ALL = "all_to_all"
    """Chunk ``(home, sub)`` goes from ``home`` to the rank ``sub`` further on."""
    BROADCAST = "broadcast"
    """All chunks are at rank 0 first, and everywhere at the end."""
    SEND = "send"
    """All chunks go from each rank to the next: a pipeline's hand-over."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All moves of one collective over ``ranks`` ranks."""

    operation: Operation
    algorithm: str
    """Registered name of what made it."""
    ranks: int
    shape: tuple[int, ...]
    """Grid of the ranks, row-major: rank ``r`` has the coordinates ``numpy.unravel_index(r, shape)``."""
    subs: int = 1
    """Chunks of each home."""
    parts: int
    """Equal parts that the buffer of ``bytes`` is cut into; a chunk is one of them (see ``part_of``)."""
    moves: tuple[Move, ...]
    symmetric: bool
    """Whether ``moves`` are those of the chunks of home 0 and stand for all homes."""
    by_slice: bool = False
    """Whether a move's slice waits for the same slice of the moves before it only, not for whole chunks."""
    in_shots: bool = False
    """Whether all ranks wait for each other before anything that came is summed (kernels of one or two shots)."""

    @property
    def homes(self) -> int:
        """How many ranks are homes of chunks: all, or rank 0 alone."""
        whole = self.operation is Operation.ALL_REDUCE and self.parts == self.subs
        return 1 if whole or self.operation is Operation.BROADCAST else self.ranks

    @property
    def sums(self) -> bool:
        """Whether ranks add what arrives to what they have."""
        return any(move.kind is Kind.REDUCE for move in self.moves)

    @cached_property
    def merged(self) -> Mapping[int, tuple[int, ...]]:
        """By the number of each MERGE move: those that are summed with it, itself included, the lowest first."""
        groups: dict[tuple[int, tuple[int, ...]], list[int]] = {}
        for number, move in enumerate(self.moves):
            if move.kind is Kind.MERGE:
                groups.setdefault((move.chunk, move.destinations), []).append(number)
        return {number: tuple(group) for group in groups.values() for number in group}

    @cached_property
    def last_sums(self) -> frozenset[int]:
        """Numbers of the local sums that are made as slices come: those that no further contribution is made of."""
        if self.in_shots:
            return frozenset()
        adding = (move for move in self.moves if move.kind is not Kind.COPY)
        used = {number for move in adding for number in move.after}
        return frozenset(number for number, move in enumerate(self.moves) if move.kind is Kind.LOCAL) - used

    @cached_property
    def agenda(self) -> Mapping[int, tuple["Entry", ...]]:
        """What starts and what is only awaited at each rank, as ``tasks_of`` orders it.

        In a symmetric plan rank 0 has the entries of all: each stands for one task of every rank.
        """
        awaited = {(number, move.source) for move in self.moves for number in move.after}
        entries: dict[int, list[Entry]] = {}
        for number, move in enumerate(self.moves):
            entries.setdefault(0 if self.symmetric else move.source, []).append(Entry(number, move.source, starts=True))
            for rank in arriving_at(self, number):
                if (number, rank) not in awaited:
                    entries.setdefault(0 if self.symmetric else rank, []).append(Entry(number, rank, starts=False))

        def order(entry: Entry) -> tuple[int, bool, int]:
            move = self.moves[entry.number]
            return (move.lane, not entry.starts, move.step)

        return {rank: tuple(sorted(of_rank, key=order)) for rank, of_rank in entries.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """One move at one rank: it starts there, or arrives there and no move of the rank waits for it."""

    number: int
    rank: int
    """As written in the plan: for home 0, if it is symmetric."""
    starts: bool


class MoveId(NamedTuple):
    """One move of a plan with all its homes written out: what a message says it belongs to."""

    home: int
    """By how much the ranks are moved on; 0 in a plan that is not symmetric."""
    number: int
    """Place in ``Plan.moves``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One thing that one rank does, as its executors see it; ranks and chunks are absolute."""

    move: MoveId | None
    """``None``: only waits."""
    chunk: int
    kind: Kind
    destinations: tuple[int, ...]
    waits: tuple[MoveId, ...]
    """Moves that must have arrived here (never own ones: those of one lane are in order)."""
    own: tuple[MoveId, ...]
    """Moves of this rank itself that must be done (a ``LOCAL`` sum)."""
    reads: int
    """Copies of the chunk to read: what the rank holds, one for each contribution it adds; 0 where it only waits."""
    lane: int
    merges: int = 0
    """Of a ``MERGE``: how many messages the switch sums, this one included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What arrives at one rank; ranks and chunks are absolute."""

    move: MoveId
    chunk: int
    source: int
    """Of merged messages: where the first of them comes from."""
    kind: Kind


@lru_cache(maxsize=128)
def tasks_of(plan: Plan, rank: int) -> tuple[Task, ...]:
    """List what ``rank`` does, in the order it starts: by lane, then step. Ends, lane by lane, with what it waits for.

    Arrivals that no move of the rank waits for are awaited by tasks without a move, the last of their lane.
    """
    return tuple(_tasks(plan, rank))


@lru_cache(maxsize=128)
def arrivals_of(plan: Plan, rank: int) -> tuple[Arrival, ...]:
    """List what arrives at ``rank``, as the plan numbers it; messages that a switch merges arrive as one."""
    arrivals = []
    for number, move in enumerate(plan.moves):
        for destination in arriving_at(plan, number):
            if plan.symmetric or destination == rank:
                home, chunk, source = _turned(plan, move, destination, rank)
                arrivals.append(Arrival(move=MoveId(home, number), chunk=chunk, source=source, kind=move.kind))
    return tuple(arrivals)


def arriving_at(plan: Plan, number: int) -> tuple[int, ...]:
    """Ranks at which a message arrives as move ``number``; of merged ones only the first does."""
    move = plan.moves[number]
    if move.kind is Kind.LOCAL or (move.kind is Kind.MERGE and plan.merged[number][0] != number):
        return ()
    return move.destinations


def part_of(plan: Plan, chunk: int) -> int:
    """Which part of the buffer a chunk is.

    All-to-all: the part of its home's buffer that is for its destination, numbered as the destination. Send: as the
    chunks of its home are numbered. Where every rank is a home: homes from the last to the first, so that a rank's own
    chunk is the last of those it produces and rank 0 takes the parts in order. Else (chunks of home 0 alone): as they
    are numbered.
    """
    home, sub = divmod(chunk, plan.subs)
    if plan.operation is Operation.ALL_TO_ALL:
        return rotated(home, sub, plan.shape)
    if plan.operation is Operation.SEND:
        return sub
    return (plan.homes - 1 - home) * plan.subs + sub


def _tasks(plan: Plan, rank: int) -> Iterator[Task]:
    for entry in plan.agenda.get(0 if plan.symmetric else rank, ()):
        number, move = entry.number, plan.moves[entry.number]
        home, chunk, _ = _turned(plan, move, entry.rank, rank)
        if not entry.starts:
            waits = (MoveId(home, number),)
            yield Task(
                move=None, chunk=chunk, kind=move.kind, destinations=(), waits=waits, own=(), reads=0, lane=move.lane
            )
            continue
        kinds = [plan.moves[before].kind for before in move.after]
        before = list(zip(move.after, kinds, strict=True))
        yield Task(
            move=MoveId(home, number),
            chunk=chunk,
            kind=move.kind,
            destinations=tuple(rotated(destination, home, plan.shape) for destination in move.destinations),
            waits=tuple(MoveId(home, other) for other, kind in before if kind is not Kind.LOCAL),
            own=tuple(MoveId(home, other) for other, kind in before if kind is Kind.LOCAL),
            reads=1 + kinds.count(Kind.REDUCE),
            lane=move.lane,
            merges=len(plan.merged[number]) if move.kind is Kind.MERGE else 0,
        )


def _turned(plan: Plan, move: Move, seat: int, rank: int) -> tuple[int, int, int]:
    """(home, chunk, source) of a move once the plan is turned so that what it has at ``seat`` is at ``rank``."""
    if not plan.symmetric:
        return 0, move.chunk, move.source
    home = turn(seat, rank, plan.shape)
    return home, home * plan.subs + move.chunk, rotated(move.source, home, plan.shape)
