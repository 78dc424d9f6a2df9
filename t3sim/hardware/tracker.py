"""The tracker: counts updates to output tiles at the memory controller and fires the trigger on the last one.

A finite set-associative table (paper: 256 entries, about 19 KB). An entry belongs to one workgroup's output tile and
counts the updates of its wavefronts, whoever makes them: local stores, remote stores, incoming DMA. It is allocated
by the first update of the tile and freed by the last. An update whose set is full waits, in order, with what is
behind it: a local store holds its workgroup, an incoming packet holds its link's buffer.
"""

from collections import deque
from enum import IntEnum
from typing import Annotated

from pydantic import Field, model_validator

from t3sim.config import Spec
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action


class TrackerSpec(Spec):
    """The tracker of one GPU."""

    entries: Annotated[int, Field(gt=0)]
    ways: Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _whole_sets(self) -> "TrackerSpec":
        if self.entries % self.ways:
            raise ValueError(f"{self.entries} entries are not whole sets of {self.ways} ways")
        return self

    @property
    def sets(self) -> int:
        """Sets of the table."""
        return self.entries // self.ways


class Origin(IntEnum):
    """Where updates come from; each waits in its own line when its set is full."""

    LOCAL = 0
    INCOMING = 1


class Tracker:
    """Update counters of the tiles in flight on one GPU.

    A tile is keyed by its workgroup's place in this GPU's dispatch order; consecutive workgroups fall into
    consecutive sets.
    """

    def __init__(self, spec: TrackerSpec, name: str) -> None:
        self.spec = spec
        self.name = name
        self.issued = 0
        self.counted = 0
        self.fired = 0
        self.peak_entries = 0
        self.waited = 0
        self._live: dict[int, int] = {}
        self._used = [0] * spec.sets
        self._lines: tuple[deque[tuple[int, Action]], ...] = (deque(), deque())

    def admit(self, workgroup: int, origin: Origin, updates: int, proceed: Action) -> None:
        """Announce ``updates``; run ``proceed`` once the tile has an entry: now, or when its set has room again."""
        self.issued += updates
        line = self._lines[origin]
        if line or not self._allocate(workgroup):
            self.waited += 1
            line.append((workgroup, proceed))
        else:
            proceed()

    def count(self, workgroup: int, updates: int, expected: int) -> bool:
        """Count ``updates`` to a tile; true when they complete the ``expected`` number: the trigger fires.

        Raises ``SimulationError`` when a tile gets more updates than expected.
        """
        self.counted += updates
        total = self._live[workgroup] + updates
        if total > expected:
            raise SimulationError(f"{self.name}: workgroup {workgroup} got {total} of {expected} updates")
        self._live[workgroup] = total
        if total < expected:
            return False
        del self._live[workgroup]
        self._used[workgroup % self.spec.sets] -= 1
        self.fired += 1
        self._resume()
        return True

    @property
    def live_entries(self) -> int:
        """Entries in use."""
        return len(self._live)

    def waiting(self) -> list[str]:
        """Say what is still open, for a stall report."""
        report = (
            [f"{self.name}: {len(self._live)} tiles still expect updates, the first is {next(iter(self._live))}"]
            if self._live
            else []
        )
        return report + [
            f"{self.name}: {len(line)} {Origin(i).name.lower()} updates wait for an entry"
            for i, line in enumerate(self._lines)
            if line
        ]

    def _allocate(self, workgroup: int) -> bool:
        if workgroup in self._live:
            return True
        index = workgroup % self.spec.sets
        if self._used[index] >= self.spec.ways:
            return False
        self._used[index] += 1
        self._live[workgroup] = 0
        self.peak_entries = max(self.peak_entries, len(self._live))
        return True

    def _resume(self) -> None:
        for line in self._lines:
            while line and self._allocate(line[0][0]):
                line.popleft()[1]()
