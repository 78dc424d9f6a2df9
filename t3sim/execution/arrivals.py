"""What a plan brings to one GPU: where each piece goes, and which moves are in memory in full."""

from collections.abc import Generator, Iterable, Mapping
from typing import Any

from simpy.events import Event

from t3sim.collectives.plan import Kind, MoveId, Operation, Plan, arrivals_of, part_of
from t3sim.hardware.clock import Environment
from t3sim.lowering.chunks import Chunks

_INTO_COPIES = (Operation.ALL_TO_ALL, Operation.SEND)
"""Operations whose results must not overwrite what the GPU still has to send."""


class Arrivals:
    """Counts the pieces of every move to one GPU."""

    def __init__(
        self,
        env: Environment,
        plan: Plan,
        rank: int,
        chunks: Chunks,
        sums: Mapping[MoveId, int] | None = None,
        beside: Mapping[MoveId, int] | None = None,
    ) -> None:
        """Expect all that ``plan`` brings to ``rank``, and ``sums`` that the GPU makes itself, given with their parts.

        ``beside``: sums that need a buffer for copies, since they must not overwrite what they add.
        """
        self._env = env
        self._by_slice = plan.by_slice
        self._arrivals = {arrival.move: arrival for arrival in arrivals_of(plan, rank)}
        self.parts = {move: part_of(plan, arrival.chunk) for move, arrival in self._arrivals.items()}
        """Part of the buffer that each move brings."""
        self._sums = dict(sums or {})
        self._missing = {move: len(chunks.piece_bytes[part]) for move, part in (self.parts | self._sums).items()}
        self._complete = {move: Event(env) for move in self._missing}
        self.slots = self._numbered(plan)
        """Buffer for copies that a move arrives in; those without one arrive in the GPU's own buffer."""
        self.slots |= {move: self._slots_of(part) for move, part in (beside or {}).items()}
        self._marked: dict[MoveId, set[int]] = {move: set() for move in self._missing}
        self._news: list[Event] = []
        for move, left in self._missing.items():
            if not left:
                self._complete[move].succeed()

    def _numbered(self, plan: Plan) -> dict[MoveId, int]:
        """Give each arrival that does not land in the GPU's own buffer one for copies."""
        slots: dict[MoveId, int] = {}
        taken: dict[int, int] = {}
        for move, arrival in self._arrivals.items():
            if arrival.kind is Kind.REDUCE or plan.operation in _INTO_COPIES:
                part = self.parts[move]
                slots[move] = taken.get(part, 0)
                taken[part] = slots[move] + 1
        return slots

    def _slots_of(self, part: int) -> int:
        """Count the buffers for copies that hold ``part``."""
        return sum(self.parts[move] == part for move in self.slots if move in self.parts)

    def complete(self, move: MoveId) -> Event:
        """Return the event of ``move`` being in memory in full."""
        return self._complete[move]

    def source(self, move: MoveId) -> int:
        """Return the rank that makes ``move``."""
        return self._arrivals[move].source

    def is_added(self, move: MoveId) -> bool:
        """Whether ``move`` brings a contribution, and not a value that replaces what the GPU holds."""
        return self._arrivals[move].kind is Kind.REDUCE

    def mark(self, move: MoveId, piece: int) -> None:
        """Note that a piece of ``move`` is in memory."""
        self._missing[move] -= 1
        if self._by_slice:
            self._marked[move].add(piece)
            news, self._news = self._news, []
            for event in news:
                event.succeed()
        if not self._missing[move]:
            self._complete[move].succeed()

    def await_piece(self, moves: Iterable[MoveId], piece: int) -> Generator[Event, Any, None]:
        """Wait until ``piece`` of each of ``moves`` is in memory."""
        while not all(piece in self._marked[move] for move in moves):
            event = Event(self._env)
            self._news.append(event)
            yield event

    def missing(self) -> list[str]:
        """Say what has not arrived in full, for a stall report."""
        return [
            f"chunk {self._arrivals[move].chunk} from GPU {self._arrivals[move].source}: {left} pieces"
            for move, left in self._missing.items()
            if left and move in self._arrivals
        ]
