"""Proof of a plan before it runs: every contribution gets where it must be, once, and nobody waits for ever.

A value is the set of ranks whose contributions are in it, followed along the moves that make it. Of a symmetric plan
the moves of home 0 are proof enough. What holds for its chunks holds for those of every home, turned; and the order
in which moves wait for each other, taken over home 0 alone, has a circle exactly if that over all homes has one: who
follows it on from home to home comes back after finitely many rounds.

Values are told apart by the move that made them. A rank may still be sending what it had when a newer value is made,
so sums are written beside what they add.
"""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NoReturn

from t3sim.collectives.grid import rotated
from t3sim.collectives.plan import Kind, Move, Operation, Plan
from t3sim.errors import PlanError

_SHOWN = 8
_SUMS = (Operation.REDUCE_SCATTER, Operation.ALL_REDUCE)


def check(plan: Plan) -> None:
    """Prove that ``plan`` does its operation; PlanError names what is wrong, with chunk and ranks."""
    _check_sizes(plan)
    for number in range(len(plan.moves)):
        _check_move(plan, number)
    _check_lanes(plan)
    values = _Values(plan)
    for number in _in_order(plan):
        values.follow(number)
    values.check_contributions_are_used()
    _check_result(plan, values)


def _check_sizes(plan: Plan) -> None:
    if plan.ranks < 1 or math.prod(plan.shape) != plan.ranks or min(plan.shape, default=0) < 1:
        raise PlanError(f"{plan.algorithm}: a grid of {plan.shape} does not hold {plan.ranks} ranks")
    everyone = plan.ranks * plan.subs
    allowed = {
        Operation.ALL_TO_ALL: {plan.ranks} if plan.subs == plan.ranks else set(),
        Operation.SEND: {plan.subs},
        Operation.BROADCAST: {plan.subs},
        Operation.ALL_REDUCE: {everyone, plan.subs},
    }.get(plan.operation, {everyone})
    if plan.subs < 1 or plan.parts not in allowed:
        sizes = f"{plan.parts} parts, {plan.subs} chunks of each home"
        raise PlanError(f"{plan.algorithm}: {sizes} do not fit a {plan.operation.value} of {plan.ranks} ranks")
    if plan.symmetric and plan.homes < plan.ranks:
        raise PlanError(f"{plan.algorithm}: a {plan.operation.value} from rank 0 alone cannot stand for all homes")


def _check_move(plan: Plan, number: int) -> None:
    move = plan.moves[number]
    chunks = plan.subs if plan.symmetric else plan.homes * plan.subs
    if not 0 <= move.chunk < chunks:
        _refuse(plan, number, f"there are {chunks} chunks")
    if not all(0 <= rank < plan.ranks for rank in (move.source, *move.destinations)):
        _refuse(plan, number, f"there are {plan.ranks} ranks")
    if not move.destinations or len(set(move.destinations)) < len(move.destinations):
        _refuse(plan, number, "its destinations are none, or one of them twice")
    if move.kind is Kind.LOCAL and move.destinations != (move.source,):
        _refuse(plan, number, "a sum stays where it is made")
    if move.kind in (Kind.REDUCE, Kind.MERGE) and len(move.destinations) > 1:
        _refuse(plan, number, "a contribution has one destination")
    if move.kind in (Kind.REDUCE, Kind.COPY) and move.destinations == (move.source,):
        _refuse(plan, number, "it goes nowhere")
    if len(set(move.after)) < len(move.after):
        _refuse(plan, number, "it waits for one move twice")
    for before in move.after:
        _check_wait(plan, number, before)


def _check_wait(plan: Plan, number: int, before: int) -> None:
    move = plan.moves[number]
    if not 0 <= before < len(plan.moves):
        _refuse(plan, number, f"it waits for move {before}, of {len(plan.moves)}")
    other = plan.moves[before]
    if other.chunk != move.chunk:
        _refuse(plan, number, f"it waits for a move of chunk {other.chunk}")
    if move.source not in other.destinations:
        _refuse(plan, number, f"it waits for what does not come to rank {move.source}, {_named(plan, before)}")
    if other.kind is Kind.MERGE and plan.merged[before][0] != before:
        _refuse(plan, number, f"it waits for {_named(plan, before)}, which arrives as move {plan.merged[before][0]}")


def _check_lanes(plan: Plan) -> None:
    """Every rank starts each move of a symmetric plan once, so all of them are in one order."""
    taken: dict[tuple[int, int, int], int] = {}
    for number, move in enumerate(plan.moves):
        place = (0 if plan.symmetric else move.source, move.lane, move.step)
        if place in taken:
            _refuse(plan, number, f"it has the lane and step of {_named(plan, taken[place])}")
        taken[place] = number


def _in_order(plan: Plan) -> list[int]:
    """Put the moves in an order in which each comes after what it waits for."""
    waiting: list[int] = [0] * len(plan.moves)
    followers: dict[int, list[int]] = defaultdict(list)
    for number, befores in enumerate(_waits(plan)):
        waiting[number] = len(befores)
        for before in befores:
            followers[before].append(number)
    ready = [number for number, count in enumerate(waiting) if not count]
    for number in ready:
        for follower in followers[number]:
            waiting[follower] -= 1
            if not waiting[follower]:
                ready.append(follower)
    if len(ready) < len(plan.moves):
        stuck = _circle({number for number, count in enumerate(waiting) if count}, followers)
        _refuse(plan, stuck[0], f"it waits for itself, by way of {'; '.join(_named(plan, n) for n in stuck[1:_SHOWN])}")
    return ready


def _waits(plan: Plan) -> list[list[int]]:
    """List for each move what it waits for: what must have arrived, and the move before it in its lane."""
    waits = [[other for before in move.after for other in plan.merged.get(before, (before,))] for move in plan.moves]
    lanes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for number, move in enumerate(plan.moves):
        lanes[0 if plan.symmetric else move.source, move.lane].append(number)
    for numbers in lanes.values():
        numbers.sort(key=lambda number: plan.moves[number].step)
        for before, number in pairwise(numbers):
            waits[number].append(before)
    return waits


def _circle(stuck: set[int], followers: dict[int, list[int]]) -> list[int]:
    """Find a circle among moves each of which waits for another of them."""
    before = {follower: number for number in stuck for follower in followers[number] if follower in stuck}
    path: dict[int, int] = {}
    number = min(stuck)
    while number not in path:
        path[number] = len(path)
        number = before[number]
    return list(path)[path[number] :]


@dataclass
class _Held:
    """The newest value of a chunk at a rank."""

    ranks: int
    """Whose contributions are in it: bit ``r`` for rank ``r``."""
    moves: int = 0
    """Which moves made it: bit ``i`` for the ``i``-th followed of its chunk."""


@dataclass
class _Values:
    """Follows the moves, each after what it waits for."""

    plan: Plan
    held: dict[tuple[int, int], _Held] = field(default_factory=dict)
    """By rank and chunk, once something has arrived."""
    moved: dict[int, _Held] = field(default_factory=dict)
    """What each move carries or, from the last of merged ones on, what arrives under its number."""
    used: set[int] = field(default_factory=set)
    """Contributions that are in a later value."""
    followed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    """Moves followed so far, by chunk: with numbers of its own each chunk's sets of moves stay small."""

    def at(self, rank: int, chunk: int) -> _Held:
        """Give what ``rank`` holds of ``chunk``."""
        return self.held.get((rank, chunk)) or _Held(self._first(rank, chunk))

    def follow(self, number: int) -> None:
        """Find the value that a move carries, and bring it to its destinations."""
        plan, move = self.plan, self.plan.moves[number]
        value = self._value(number)
        value.moves |= 1 << self.followed[move.chunk]
        self.followed[move.chunk] += 1
        self.moved[number] = value
        if move.kind is Kind.MERGE:
            group = plan.merged[number]
            if not all(other in self.moved for other in group):
                return
            value = self._sum(number, [(plan.moves[other].source, self.moved[other]) for other in group])
            self.moved[group[0]] = value
        if move.kind is not Kind.REDUCE:
            for rank in move.destinations:
                self._replace(number, rank, value)

    def check_contributions_are_used(self) -> None:
        """Refuse contributions that arrive and are in no later value."""
        for number, move in enumerate(self.plan.moves):
            if move.kind is Kind.REDUCE and number not in self.used:
                _refuse(self.plan, number, f"rank {move.destinations[0]} never adds it to anything")

    def _first(self, rank: int, chunk: int) -> int:
        """Give what ``rank`` has of ``chunk`` from the start."""
        owns = self.plan.operation in _SUMS or rank == (chunk // self.plan.subs if self.plan.homes > 1 else 0)
        return 1 << rank if owns else 0

    def _value(self, number: int) -> _Held:
        plan, move = self.plan, self.plan.moves[number]
        bases = [before for before in move.after if plan.moves[before].kind is not Kind.REDUCE]
        if len(bases) > 1:
            _refuse(plan, number, f"two values are to be moved, {_named(plan, bases[0])} and {_named(plan, bases[1])}")
        base = self.moved[bases[0]] if bases else _Held(self._first(move.source, move.chunk))
        parts = [(move.source, base)]
        for before in move.after:
            if plan.moves[before].kind is Kind.REDUCE:
                if before in self.used:
                    _refuse(plan, number, f"{_named(plan, before)} is added a second time")
                self.used.add(before)
                parts.append((plan.moves[before].source, self.moved[before]))
        value = self._sum(number, parts)
        if not value.ranks:
            _refuse(plan, number, f"rank {move.source} has nothing of the chunk by then")
        return value

    def _sum(self, number: int, parts: list[tuple[int, _Held]]) -> _Held:
        total = _Held(0)
        for source, part in parts:
            doubled = total.ranks & part.ranks
            if doubled:
                _refuse(
                    self.plan, number, f"what comes from rank {source} doubles the contribution of {_ranks(doubled)}"
                )
            total = _Held(total.ranks | part.ranks, total.moves | part.moves)
        return total

    def _replace(self, number: int, rank: int, value: _Held) -> None:
        """Let ``value`` be the newest at ``rank``: it must come after the one before it, and hold more."""
        plan, move = self.plan, self.plan.moves[number]
        last = self.at(rank, move.chunk)
        if last.moves & ~value.moves:
            _refuse(plan, number, f"rank {rank} gets another value of the chunk, in no order with this one")
        if last.ranks & ~value.ranks:
            _refuse(plan, number, f"rank {rank} loses the contribution of {_ranks(last.ranks & ~value.ranks)}")
        # What a switch sends to all comes back to its source too.
        if last.ranks == value.ranks and rank != move.source and move.kind is not Kind.LOCAL:
            _refuse(plan, number, f"rank {rank} has this value already")
        self.held[rank, move.chunk] = value


def _check_result(plan: Plan, values: _Values) -> None:
    everyone = (1 << plan.ranks) - 1
    for chunk in range(plan.subs * (1 if plan.symmetric else plan.homes)):
        home, sub = divmod(chunk, plan.subs)
        first = 1 << (home if plan.homes > 1 else 0)
        wanted = everyone if plan.operation in _SUMS else first
        for rank in _owners(plan, home, sub):
            missing = wanted & ~values.at(rank, chunk).ranks
            if missing:
                what = f"rank {rank} does not have the contribution of {_ranks(missing)} to chunk {chunk}"
                raise PlanError(f"{plan.algorithm} {plan.operation.value} of {plan.ranks} ranks: {what}")


def _owners(plan: Plan, home: int, sub: int) -> range | tuple[int]:
    """Ranks that must have a chunk at the end."""
    if plan.operation is Operation.REDUCE_SCATTER:
        return (home,)
    if plan.operation is Operation.ALL_TO_ALL:
        return (rotated(home, sub, plan.shape),)
    if plan.operation is Operation.SEND:
        return ((home + 1) % plan.ranks,)
    return range(plan.ranks)


def _refuse(plan: Plan, number: int, why: str) -> NoReturn:
    raise PlanError(f"{plan.algorithm} {plan.operation.value} of {plan.ranks} ranks: {_named(plan, number)}: {why}")


def _named(plan: Plan, number: int) -> str:
    move: Move = plan.moves[number]
    there = ", ".join(str(rank) for rank in move.destinations[:_SHOWN]) or "none"
    where = f"at rank {move.source}" if move.kind is Kind.LOCAL else f"from rank {move.source} to {there}"
    return f"move {number}, {move.kind.value} of chunk {move.chunk} {where}"


def _ranks(bits: int) -> str:
    found = [str(rank) for rank in range(bits.bit_length()) if bits >> rank & 1]
    shown = ", ".join(found[:_SHOWN])
    return f"rank {shown}" if len(found) <= _SHOWN else f"rank {shown} and {len(found) - _SHOWN} more"
