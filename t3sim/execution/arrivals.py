"""What a plan brings to one GPU: where each piece goes, and rows of the data plane that count what is in memory."""

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from t3sim.collectives.plan import Kind, MoveId, Operation, Plan, arrivals_of, part_of
from t3sim.hardware.plane.kinds import MARK
from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.plane.state import NONE
from t3sim.lowering.chunks import Chunks

_INTO_COPIES = (Operation.ALL_TO_ALL, Operation.SEND)
"""Operations whose results must not overwrite what the GPU still has to send."""


class Arrivals:
    """The moves to one GPU."""

    def __init__(
        self,
        plan: Plan,
        rank: int,
        chunks: Chunks,
        sums: Mapping[MoveId, int] | None = None,
        beside: Mapping[MoveId, int] | None = None,
    ) -> None:
        """Expect all that ``plan`` brings to ``rank``, and ``sums`` that the GPU makes itself, given with their parts.

        ``beside``: sums that need a buffer for copies, since they must not overwrite what they add.
        """
        self._arrivals = {arrival.move: arrival for arrival in arrivals_of(plan, rank)}
        self.parts = {move: part_of(plan, arrival.chunk) for move, arrival in self._arrivals.items()}
        """Part of the buffer that each move brings."""
        self._counts = {move: len(chunks.piece_bytes[part]) for move, part in (self.parts | dict(sums or {})).items()}
        self.slots = self._numbered(plan)
        """Buffer for copies that a move arrives in; those without one arrive in the GPU's own buffer."""
        self.slots |= {move: self._slots_of(part) for move, part in (beside or {}).items()}
        self.rows: dict[MoveId, int] = {}
        """Row of each move in the data plane."""
        self._plane: Plane | None = None

    def count(
        self,
        plane: Plane,
        kernel: int,
        first_piece: Sequence[int],
        parts: Mapping[MoveId, int],
        base: Callable[[int | None], int],
    ) -> None:
        """Let ``plane`` count them for its ``kernel``.

        ``first_piece``: by part, where its pieces stand there; ``base``: address of a buffer for copies, or with
        ``None`` of the GPU's own.
        """
        self._plane = plane
        # A move without pieces is complete from the start, and so has one that counts at once.
        missing = [max(1, count) for count in self._counts.values()]
        marks, rows = plane.add("marks", np.zeros(sum(missing), np.int64)), []
        for (move, count), counted in zip(self._counts.items(), missing, strict=True):
            of_pieces = marks, first_piece[parts[move]], count
            rows.append((kernel, NONE, 0, counted, 0, NONE, NONE, *of_pieces, 0, 0, base(self.slots.get(move)), 0))
            marks += counted
        self.rows |= dict(zip(self._counts, itertools.count(plane.add("arrivals", rows)), strict=False))
        for move, count in self._counts.items():
            if not count:
                plane.perform(MARK, self.rows[move], 0)

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

    def source(self, move: MoveId) -> int:
        """Return the rank that makes ``move``."""
        return self._arrivals[move].source

    def is_added(self, move: MoveId) -> bool:
        """Whether ``move`` brings a contribution, and not a value that replaces what the GPU holds."""
        return self._arrivals[move].kind is Kind.REDUCE

    def missing(self) -> list[str]:
        """Say what has not arrived in full, for a stall report."""
        assert self._plane is not None
        left = self._plane.rows("arrivals")["missing"]
        return [
            f"chunk {arrival.chunk} from GPU {arrival.source}: {left[self.rows[move]]} pieces"
            for move, arrival in self._arrivals.items()
            if left[self.rows[move]]
        ]
