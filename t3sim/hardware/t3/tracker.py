"""The tracker: counts updates to output tiles at the memory controller and fires the trigger on the last one.

A finite set-associative table (paper: 256 entries, about 19 KB). An entry belongs to one workgroup's output tile and
counts the updates of its wavefronts, whoever makes them: local stores, remote stores, incoming DMA. It is allocated
by the first update of the tile and freed by the last. The tracker is off the critical path: where a set is full, the
update itself is in memory already and only its count waits, first come, first served. (Were the stores to wait, a
ring whose chunks hold more tiles than the tracker has entries would wait for itself.)

The last free entry of a set is for the first of its tiles, in dispatch order, that is not complete. Else tiles that
wait for what other GPUs trigger could hold all entries, here and there, while those that trigger it wait for one.

The data plane counts (``hardware.plane.tracker``); here its rows are set up and looked at.
"""

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from t3sim.config import Spec
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.plane import trigger_state as kinds
from t3sim.hardware.plane.plane import Plane, plane_of
from t3sim.hardware.plane.state import NONE
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


class Tracker:
    """Update counters of the tiles in flight on one GPU.

    A tile is known by its workgroup's place in this GPU's dispatch order, counted on from one operation to the next;
    consecutive workgroups fall into consecutive sets.
    """

    def __init__(self, env: Environment, spec: TrackerSpec, rank: int) -> None:
        self.spec = spec
        self.name = f"Gpu[{rank}].Tracker"
        self.probe: Probe | None = None
        self.reserved = 0
        """Numbers that were taken, of all operations."""
        self._rank = rank
        self._plane = plane = plane_of(env)
        self._first_set = plane.add("sets", [(0, NONE, NONE, NONE)] * spec.sets)
        self.number = plane.add("trackers", [(spec.ways, 0, 0, 0, 0, 0, 0, 0)])
        """Of its row in the data plane."""
        self._last = np.full(spec.sets, NONE, np.int64)
        """By set: the last of its tiles."""
        self._tiles: list[slice] = []
        self._fires: dict[int, Action] = {}
        """By tile: what is to be done when its updates are complete, as the probe has it."""
        _register(plane, self)

    def skip(self, tiles: int) -> None:
        """Take the numbers of so many tiles that are complete."""
        self.reserved += tiles

    def reserve(self, first: int, tiles: int) -> None:
        """Give the ``tiles`` rows of the data plane from ``first`` on their numbers.

        In this order they are to be completed. No two operations share numbers: a neighbour that is ahead updates
        tiles of the next one while the last tiles of this one are still open.
        """
        rows, sets, ends = self._plane.rows("tiles"), self.spec.sets, min(tiles, self.spec.sets)
        new = rows[first : first + tiles]
        new["number"] = self.reserved + np.arange(tiles)
        new["set"] = self._first_set + new["number"] % sets
        new["after"] = first + np.arange(tiles) + sets
        new["after"][tiles - ends :] = NONE
        begin, here = first + np.arange(ends), (self.reserved + np.arange(ends)) % sets
        before, oldest = self._last[here], self._plane.rows("sets")["oldest"]
        rows["after"][before[before != NONE]] = begin[before != NONE]
        passed = oldest[self._first_set + here] == NONE
        oldest[self._first_set + here[passed]] = begin[passed]
        self.reserved += tiles
        self._last[(self.reserved - ends + np.arange(ends)) % sets] = first + tiles - ends + np.arange(ends)
        self._tiles.append(slice(first, first + tiles))

    @property
    def live_entries(self) -> int:
        """Entries in use."""
        return int(self._row["live"])

    @property
    def peak_entries(self) -> int:
        """Entries in use at once, at most so far."""
        return int(self._row["peak"])

    @property
    def issued(self) -> int:
        """Updates that it was told of."""
        return int(self._row["issued"])

    @property
    def counted(self) -> int:
        """Those whose tile had an entry."""
        return int(self._row["counted"])

    @property
    def fired(self) -> int:
        """Tiles whose updates were complete."""
        return int(self._row["fired"])

    @property
    def waited(self) -> int:
        """Counts that found their set full."""
        return int(self._row["waited"])

    def waiting(self) -> list[str]:
        """Say what is still open, for a stall report."""
        report = []
        if self.live_entries:
            first = min((row for row in self._open("entry")), key=lambda row: int(row["entry"]))["number"]
            report.append(f"{self.name}: {self.live_entries} tiles still expect updates, the first is {first}")
        if behind := sum(int(row["waits"]) for row in self._open("waits")):
            held = f"tiles that wait hold those of their sets (tracker.entries: {self.spec.entries})"
            report.append(f"{self.name}: {behind} counts wait for an entry; {held}")
        return report

    def _open(self, field: str) -> list[Any]:
        """List the rows of tiles of which a field is not 0."""
        rows = self._plane.rows("tiles")
        return [row for tiles in self._tiles for row in rows[tiles][rows[tiles][field] != 0]]

    @property
    def _row(self) -> Any:
        return self._plane.rows("trackers")[self.number]

    # What the plane tells.

    def tell_overcounted(self, tile: int, total: int) -> None:
        """Refuse more updates to a tile than it expects."""
        row = self._plane.rows("tiles")[tile]
        expected = self._plane.rows("stations")["expected"][row["station"]]
        raise SimulationError(f"{self.name}: workgroup {row['number']} got {total} of {expected} updates")

    def tell_counted(self, tile: int, updates: int) -> None:
        """Let the probe see updates, and what is done when they are complete."""
        assert self.probe is not None
        row, plane = self._plane.rows("tiles")[tile], self._plane
        expected = int(plane.rows("stations")["expected"][row["station"]])
        fire = self.probe.update_counted(
            self._rank, int(row["number"]), updates, expected, lambda: plane.perform(kinds.FIRED, tile)
        )
        self._fires[tile] = fire

    def tell_fired(self, tile: int) -> None:
        """Do what is to be done when a tile's updates are complete."""
        self._fires.pop(tile)()

    def tell_tracked(self) -> None:
        """Let the probe look at the counters."""
        assert self.probe is not None
        self.probe.tracker_changed(self._rank)


def _register(plane: Plane, tracker: Tracker) -> None:
    """Let the plane tell a tracker what it has to know."""
    found = plane.parts.setdefault("trackers", [])
    found.append(tracker)

    def of(tile: int) -> Tracker:
        unit = plane.rows("stations")["unit"][plane.rows("tiles")["station"][tile]]
        one: Tracker = found[int(plane.rows("units")["tracker"][unit])]
        return one

    plane.handlers |= {
        kinds.TELL_OVERCOUNTED: lambda tile, total, _c: of(tile).tell_overcounted(tile, total),
        kinds.TELL_COUNTED: lambda tile, updates, _c: of(tile).tell_counted(tile, updates),
        kinds.TELL_FIRED: lambda tile, _b, _c: of(tile).tell_fired(tile),
        kinds.TELL_TRACKED: lambda number, _b, _c: found[number].tell_tracked(),
    }
