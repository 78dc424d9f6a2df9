"""The address-space configuration: what a plan makes of each chunk of a producer's output on one GPU (T3, section 4.2).

A *station* is a chunk at a GPU: the contributions that its tiles wait for there, and where they go once they have them.
The fused form of a plan has no summing of its own: contributions are added where they land, so that what the plan's
local sums wait for is waited for by whatever uses the sums.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t3sim.collectives.plan import Arrival, Kind, MoveId, Operation, Plan, Task, arrivals_of, part_of, tasks_of
from t3sim.compiled import IntArray
from t3sim.errors import PlanError
from t3sim.lowering.layout import Region


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """One move that a complete tile triggers."""

    move: MoveId
    destinations: tuple[int, ...]
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """One chunk at one GPU."""

    chunk: int
    part: int
    """Of the buffer."""
    own: bool
    """Whether what the GPU has or produces itself is among the contributions."""
    arrivals: tuple[MoveId, ...]
    """Moves that bring the others."""
    fires: tuple[Fire, ...]
    """What is sent on when they are complete."""
    lane: int | None
    """Lane of the first move that sends it on; ``None`` where nothing is sent."""

    @property
    def is_remote(self) -> bool:
        """Whether stores go straight to another GPU's memory (``remote_map``): nothing to wait for, one way to go."""
        return self.own and not self.arrivals and len(self.fires) == 1

    @property
    def is_kept(self) -> bool:
        """Whether the complete chunk is part of this GPU's result: nothing takes it away as a contribution."""
        return all(fire.kind is Kind.COPY for fire in self.fires) and not self.is_remote


@lru_cache(maxsize=256)
def stations(plan: Plan, rank: int) -> tuple[Station, ...]:
    """List the stations of ``rank``: those of its own contributions in the order in which they are to be produced.

    That is the order in which the plan sends them off; chunks that stay come last, and then what only arrives.
    Raises ``PlanError`` where a contribution would have to be in two sums: no address space can say that.
    """
    arrivals = {arrival.move: arrival for arrival in arrivals_of(plan, rank)}
    summed: dict[MoveId, frozenset[MoveId]] = {}
    fires: dict[tuple[int, frozenset[MoveId]], list[Fire]] = {}
    for task in sorted(tasks_of(plan, rank), key=lambda task: _start(plan, task)):
        waits = frozenset(task.waits).union(*(summed.get(move, frozenset()) for move in task.own))
        if task.kind is Kind.LOCAL and task.move is not None:
            summed[task.move] = waits
        group = fires.setdefault((task.chunk, waits), [])
        if task.move is not None and task.kind is not Kind.LOCAL:
            group.append(Fire(move=task.move, destinations=task.destinations, kind=task.kind))
    found = [
        Station(
            chunk=chunk,
            part=part_of(plan, chunk),
            own=all(arrivals[move].kind is Kind.REDUCE for move in waits),
            arrivals=tuple(sorted(waits, key=lambda move: (move.home, move.number))),
            fires=tuple(group),
            lane=plan.moves[group[0].move.number].lane if group else None,
        )
        for (chunk, waits), group in fires.items()
        if group or not any(chunk == other and waits < more for other, more in fires)
    ]
    unmoved = own_chunks(plan, rank) - {station.chunk for station in found if station.own}
    found += [
        Station(chunk=chunk, part=part_of(plan, chunk), own=True, arrivals=(), fires=(), lane=None)
        for chunk in sorted(unmoved)
    ]
    _refuse_shared(plan, rank, found, arrivals)
    return tuple(sorted(found, key=lambda station: (not station.own, station.is_kept)))


def own_chunks(plan: Plan, rank: int) -> set[int]:
    """Chunks to which ``rank`` has something to contribute from the start."""
    if plan.operation in (Operation.REDUCE_SCATTER, Operation.ALL_REDUCE):
        return set(range(plan.homes * plan.subs))
    if plan.operation is Operation.BROADCAST:
        return set(range(plan.homes * plan.subs)) if rank == 0 else set()
    return set(range(rank * plan.subs, (rank + 1) * plan.subs))


@dataclass(frozen=True, eq=False)
class Dispatch:
    """Order of a GPU's output tiles: workgroup ``i`` makes piece ``pieces[i]`` of part ``parts[i]``."""

    parts: IntArray
    """Shape (tiles,)."""
    pieces: IntArray
    """Shape (tiles,)."""


@lru_cache(maxsize=256)
def dispatch(plan: Plan, rank: int, counts: tuple[int, ...], *, staggered: bool) -> Dispatch:
    """Order the tiles of ``rank``'s output, of which part ``i`` has ``counts[i]``.

    Parts follow one another as the plan sends them off, or without staggering by their numbers. Where the plan sends
    all of them at once, each in a lane of its own, their tiles take turns: so all links are used, and what a switch
    is to sum comes to it at about the same time from everywhere.
    """
    own = [station.part for station in stations(plan, rank) if station.own]
    if not staggered:
        groups = [[part] for part in sorted(own)]
    else:
        turns = in_turns(plan, rank)
        groups = [list(turns)] if turns else []
        groups += [[part] for part in own if part not in turns]
    pairs = [(part, piece) for group in groups for piece, part in _in_turns(group, counts)]
    parts, pieces = [part for part, _ in pairs], [piece for _, piece in pairs]
    return Dispatch(np.array(parts, np.int64), np.array(pieces, np.int64))


@dataclass(frozen=True, kw_only=True)
class AddressSpace:
    """Configuration of the producer's output buffer on one GPU."""

    stations: tuple[Station, ...]
    own: Dispatch
    """Order in which the tiles of own stations are produced."""
    regions: Callable[[], Mapping[int, Region]]
    """Works out where the tiles of each part of the buffer lie, one block each, for who looks at addresses."""
    copies: int
    """Distance from a tile to its first copy that came over the network."""
    copies_stride: int
    """Distance from one copy to the next."""
    wavefronts: int
    """Updates by which a workgroup's store of one tile is counted."""
    stored_locally: bool
    """Whether a GEMM's stores make the own contribution; if not, it is in memory from the start."""
    near_memory: bool = True
    tiles_per_command: int = 1

    def copy(self, slot: int | None) -> int:
        """Distance from a tile to its copy in buffer number ``slot`` for copies; ``None``: to the tile itself."""
        return 0 if slot is None else self.copies + slot * self.copies_stride


def in_turns(plan: Plan, rank: int) -> tuple[int, ...]:
    """List the parts of which a staggered kernel makes tiles in turns: those that leave at once, each by its lane."""
    sent = [station for station in stations(plan, rank) if station.own and station.lane is not None]
    return tuple(station.part for station in sent) if len({station.lane for station in sent}) == len(sent) else ()


def _in_turns(group: Sequence[int], counts: tuple[int, ...]) -> list[tuple[int, int]]:
    """List (piece, part) of several parts, one piece of each at a time."""
    return [
        (piece, part) for piece in range(max(counts[part] for part in group)) for part in group if piece < counts[part]
    ]


def _start(plan: Plan, task: Task) -> tuple[int, int]:
    """When a task starts among those of its rank: by step, then lane; what only waits comes last."""
    return (plan.moves[task.move.number].step if task.move is not None else len(plan.moves), task.lane)


def _refuse_shared(plan: Plan, rank: int, found: Sequence[Station], arrivals: Mapping[MoveId, Arrival]) -> None:
    taken = Counter(move for station in found for move in station.arrivals)
    own = Counter(station.chunk for station in found if station.own)
    shared = [arrivals[move].chunk for move, times in taken.items() if times > 1]
    shared += [chunk for chunk, times in own.items() if times > 1]
    if shared:
        message = "at once takes part in several sums, which track and trigger cannot tell apart"
        raise PlanError(f"{plan.algorithm} {plan.operation.value}: at rank {rank} chunk {min(shared)} {message}")
