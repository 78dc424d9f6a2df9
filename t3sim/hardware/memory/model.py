"""The seam between the memory controller and what serves its requests: what a memory model is.

A model is a spec, registered under the name that ``memory.model`` uses, which builds the part that serves.
"""

from typing import Any, Protocol, Self

from t3sim.hardware.standing import BusStanding

KIND = "memory model"
LANES = 4
"""Bursts wait in lanes, first in, first out: 2 x stream, and 1 for writes."""
MOST_CAUSES = 64
"""Causes by which a model counts bytes: numbers below this."""


FrontEnd = tuple[Any, ...]
"""Of the fluid memory: ``fluid.tables.FrontEnd``."""


class MemoryView(Protocol):
    """The channels of one GPU as others may look at them."""

    def burst(self, lane: int, number: int) -> Any:
        """Return the row of a burst that was queued just now; ``number``: how the model calls it.

        It has ``nbytes``, ``cause``, ``is_update``, and ``kind``, ``a``, ``b``: what is done when it is complete.
        """

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


class ServedMemory(MemoryView, Protocol):
    """What the data plane serves for one controller, beside the fluid memory."""

    @property
    def engine(self) -> Any:
        """The plane's engine with this model (``plane.engine.Engine``)."""

    def join(self, plane: Any, number: int) -> int:
        """Become the memory of a controller of ``plane``; return where its tables lie (``Directory.number``)."""

    def grow(self, margin: int) -> None:
        """Make room where less than ``margin`` is left, or less than compiled code has asked for."""


class MemorySpec(Protocol):
    """What the controller needs to know of any memory model's spec."""

    @property
    def queue_entries(self) -> int:
        """Entries of the DRAM queue."""

    @property
    def read_latency(self) -> int:
        """From service to data at the reader, fs."""

    @property
    def load_latency(self) -> int:
        """Of one read on an idle memory, from controller to reader, fs."""

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

    def channel(self) -> ServedMemory | FrontEnd:
        """Build what the data plane is to serve."""

    def without_channels(self, lost: int) -> Self:
        """Give the same memory when ``lost`` of its channels do not work. Raises ``ValueError`` when none is left."""
