"""The seam between the memory controller and what serves its requests: what a memory model is.

A model is a spec, registered under the name that ``memory.model`` uses, which builds the part that serves.
"""

from typing import Any, Protocol, Self

from t3sim.compiled import IntArray
from t3sim.hardware.standing import BusStanding
from t3sim.lowering.layout import Place

KIND = "memory model"
LANES = 4
"""Bursts wait in lanes, first in, first out: 2 x stream, and 1 for writes."""
MOST_CAUSES = 64
"""Causes by which a model counts bytes: numbers below this."""


FrontEnd = tuple[Any, ...]
"""Of the fluid memory: ``fluid.tables.FrontEnd``."""


class MemoryView(Protocol):
    """The channels of one GPU as others may look at them."""

    def pending(self) -> dict[int, int]:
        """Bursts not yet served, by lane."""

    def served(self) -> list[int]:
        """Bytes served, by cause, shape (MOST_CAUSES,)."""

    def occupancy(self) -> int:
        """Count the requests in the DRAM queue (of one channel)."""

    def busy_fs(self) -> int:
        """Time spent serving."""

    def counters(self) -> dict[str, int]:
        """Count what the model did so far, by names of its own; ``bus_turnarounds`` is one of every model's."""

    def commands(self) -> dict[str, int]:
        """Count the commands and requests of all channels so far; empty for a model that has no rows."""

    def faults(self) -> list[str]:
        """Say in what the model contradicts itself when nothing is left to serve."""

    def standing(self, now: int) -> BusStanding | None:
        """Say how it stands, with nothing left to serve; ``None`` for a model that cannot be told so."""

    def resume(self, standing: BusStanding) -> None:
        """Go on from there, at time 0."""


class Channels(MemoryView, Protocol):
    """The same, with the lanes and queues before them, of a model that serves itself: advanced lazily and exactly."""

    def push(self, lane: int, nbytes: int, cause: int, place: Place, *, is_update: bool, notify: bool) -> int:
        """Append a burst to a lane; return its number there.

        ``place`` says where the bytes lie, for models that look at addresses. A burst takes part in arbitration from
        the next ``admit`` on.
        """

    def advance(self, table: IntArray, now: int) -> list[tuple[int, int, int]]:
        """Serve all that nothing can change any more at ``now``; the awaited bursts this completed: lane, number, end.

        An end may lie after ``now``.
        """

    def admit(self, table: IntArray, now: int) -> int:
        """Let in what was pushed; when to advance for the next awaited burst if nothing more comes, 0 if none."""


class MemorySpec(Protocol):
    """What the controller needs to know of any memory model's spec."""

    @property
    def queue_entries(self) -> int:
        """Entries of the DRAM queue."""

    @property
    def read_latency(self) -> int:
        """From service to data at the reader, fs."""

    @property
    def peak_bytes_per_s(self) -> int:
        """Peak bandwidth."""

    @property
    def granule(self) -> int:
        """Bytes of one access on every channel."""

    @property
    def uses_places(self) -> bool:
        """Whether it asks where bytes lie."""

    @property
    def can_resume(self) -> bool:
        """Whether all that it has served means no more to what comes than a ``BusStanding`` says."""

    def channel(self) -> Channels | FrontEnd:
        """Build what serves: the channels, or what the data plane is to serve."""

    def without_channels(self, lost: int) -> Self:
        """Give the same memory when ``lost`` of its channels do not work. Raises ``ValueError`` when none is left."""
