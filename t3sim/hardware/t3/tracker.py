"""The tracker: counts updates to output tiles at the memory controller and fires the trigger on the last one.

A finite set-associative table (paper: 256 entries, about 19 KB). An entry belongs to one workgroup's output tile and
counts the updates of its wavefronts, whoever makes them: local stores, remote stores, incoming DMA. It is allocated
by the first update of the tile and freed by the last. The tracker is off the critical path: where a set is full, the
update itself is in memory already and only its count waits, first come, first served. (Were the stores to wait, a
ring whose chunks hold more tiles than the tracker has entries would wait for itself.)

The last free entry of a set is for the first of its tiles, in dispatch order, that is not complete. Else tiles that
wait for what other GPUs trigger could hold all entries, here and there, while those that trigger it wait for one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, model_validator

from t3sim.config import Spec
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action
from t3sim.hardware.probe import Probe


class TrackerSpec(Spec):
    """The tracker of one GPU."""

    entries: Annotated[int, Field(gt=0)]
    """Tiles that can be counted at once."""
    ways: Annotated[int, Field(gt=0)]
    """Entries of a set."""

    @model_validator(mode="after")
    def _whole_sets(self) -> "TrackerSpec":
        if self.entries % self.ways:
            raise ValueError(f"{self.entries} entries are not whole sets of {self.ways} ways")
        return self

    @property
    def sets(self) -> int:
        """Sets of the table."""
        return self.entries // self.ways


@dataclass(frozen=True, slots=True)
class _Count:
    """Updates to one tile, and what to do when they complete it."""

    workgroup: int
    updates: int
    expected: int
    fire: Action


class Tracker:
    """Update counters of the tiles in flight on one GPU.

    A tile is keyed by its workgroup's place in this GPU's dispatch order, counted on from one operation to the next;
    consecutive workgroups fall into consecutive sets.
    """

    def __init__(self, spec: TrackerSpec, rank: int) -> None:
        self.spec = spec
        self.name = f"Gpu[{rank}].Tracker"
        self.probe: Probe | None = None
        self._rank = rank
        self.issued = 0
        self.counted = 0
        self.fired = 0
        self.peak_entries = 0
        self.waited = 0
        """Counts that found their set full."""
        self._incomplete = bytearray()
        """By workgroup: whether its tile is to be counted, and has not been in full."""
        self._oldest = list(range(spec.sets))
        """By set: no workgroup before this one has a tile that is to be completed."""
        self._live: dict[int, int] = {}
        self._used = [0] * spec.sets
        self._waiting: defaultdict[int, dict[int, list[_Count]]] = defaultdict(dict)
        """By set and tile, the tile that waits longest first."""

    def reserve(self, counted: Sequence[bool]) -> int:
        """Take numbers for the workgroups of the program's next operation; the first of them.

        ``counted``: which of their tiles get updates; in this order tiles are to be completed. No two operations share
        numbers: a neighbour that is ahead updates tiles of the next one while the last tiles of this one are still
        open.
        """
        first = len(self._incomplete)
        self._incomplete.extend(counted)
        return first

    def count(self, workgroup: int, updates: int, expected: int, fire: Action) -> None:
        """Count ``updates`` to a tile; ``fire`` runs when they complete the ``expected`` number.

        Raises ``SimulationError`` when a tile gets more updates than expected.
        """
        self.issued += updates
        if self.probe is not None:
            fire = self.probe.update_counted(self._rank, workgroup, updates, expected, fire)
        count = _Count(workgroup, updates, expected, fire)
        if self._allocate(workgroup):
            self._add(count)
        else:
            self.waited += 1
            self._waiting[workgroup % self.spec.sets].setdefault(workgroup, []).append(count)
        if self.probe is not None:
            self.probe.tracker_changed(self._rank)

    @property
    def reserved(self) -> int:
        """Numbers that were taken, of all operations."""
        return len(self._incomplete)

    @property
    def live_entries(self) -> int:
        """Entries in use."""
        return len(self._live)

    def waiting(self) -> list[str]:
        """Say what is still open, for a stall report."""
        report = []
        if self._live:
            first = next(iter(self._live))
            report.append(f"{self.name}: {len(self._live)} tiles still expect updates, the first is {first}")
        if behind := sum(len(counts) for tiles in self._waiting.values() for counts in tiles.values()):
            held = f"tiles that wait hold those of their sets (tracker.entries: {self.spec.entries})"
            report.append(f"{self.name}: {behind} counts wait for an entry; {held}")
        return report

    def _allocate(self, workgroup: int) -> bool:
        """Whether the tile has an entry; opens one if its set has room for it."""
        if workgroup in self._live:
            return True
        index = workgroup % self.spec.sets
        free = self.spec.ways - self._used[index]
        if not free or (free == 1 and self._awaited(index) not in (None, workgroup)):
            return False
        self._used[index] += 1
        self._live[workgroup] = 0
        self.peak_entries = max(self.peak_entries, len(self._live))
        return True

    def _awaited(self, index: int) -> int | None:
        """Find the first tile of a set that is not complete; ``None`` if it has its entry, or all are complete."""
        oldest = self._oldest[index]
        while oldest < len(self._incomplete) and not self._incomplete[oldest]:
            oldest += self.spec.sets
        self._oldest[index] = oldest
        return None if oldest in self._live or oldest >= len(self._incomplete) else oldest

    def _add(self, count: _Count) -> None:
        self.counted += count.updates
        total = self._live[count.workgroup] + count.updates
        if total > count.expected:
            raise SimulationError(f"{self.name}: workgroup {count.workgroup} got {total} of {count.expected} updates")
        self._live[count.workgroup] = total
        if total == count.expected:
            del self._live[count.workgroup]
            self._incomplete[count.workgroup] = False
            index = count.workgroup % self.spec.sets
            self._used[index] -= 1
            self.fired += 1
            count.fire()
            self._resume(index)

    def _resume(self, index: int) -> None:
        """Give the free entry of a set to the tile that it is kept for, or else to the one that waits longest."""
        waiting = self._waiting[index]
        while waiting:
            awaited = self._awaited(index)
            tile = awaited if awaited is not None and awaited in waiting else next(iter(waiting))
            if not self._allocate(tile):
                return
            for count in waiting.pop(tile):
                self._add(count)  # the last one may free the entry again, and resume those left
