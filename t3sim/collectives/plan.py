"""Plans: what a collective moves, apart from who moves it and over which wires.

A *chunk* is a part of the buffer that travels as one. Its *home* is the rank it belongs to: the rank that owns its sum
(reduce-scatter, all-reduce), had it first (all-gather, broadcast, all-to-all). With ``subs`` chunks a home, chunk
``home * subs + sub`` is its ``sub``-th. A plan lists *moves* of chunks between ranks, and what each waits for.

Most algorithms look the same from every rank. Their plans list the moves of the chunks of home 0 only (``symmetric``);
those of home ``h`` are the same with every rank moved on by ``h`` over ``shape``, a grid of ranks that wraps around.
So a plan of a thousand ranks is as small as one of eight, and that one rank may stand for all is part of what it says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


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
    arrives is one value, and it replaces what the destination holds. A rank may send to itself."""


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


@dataclass(frozen=True, slots=True)
class MoveId:
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
    """Copies of the chunk to read: what the rank holds, and one for each contribution it adds; 0 where it only waits."""
    lane: int


def tasks_of(plan: Plan, rank: int) -> tuple[Task, ...]:
    """List what ``rank`` does, in the order it starts: by lane, then step. Ends, lane by lane, with what it waits for.

    Arrivals that no move of the rank waits for are awaited by tasks without a move, the last of their lane.
    """
    raise NotImplementedError


def part_of(plan: Plan, chunk: int) -> int:
    """Which part of the buffer a chunk is.

    All-to-all: the part of its home's buffer that is for its destination, numbered as the destination. Where every
    rank is a home: homes from the last to the first, so that a rank's own chunk is the last of those it produces and
    rank 0 takes the parts in order. Else (chunks of home 0 alone): as they are numbered.
    """
    raise NotImplementedError


def rotated(rank: int, by: int, shape: Sequence[int]) -> int:
    """Move ``rank`` on by ``by``: coordinate by coordinate over ``shape``, each wrapping around."""
    raise NotImplementedError
