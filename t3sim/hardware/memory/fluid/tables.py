"""What the fluid memory holds: rows of the data plane's tables.

Everything that changes is there twice: side ``NOW`` is what is, side ``AHEAD`` a copy that runs ahead to the next
completion and is thrown away when something arrives earlier.
"""

from typing import Final, NamedTuple

import numpy as np

from t3sim.compiled import IntArray, Records, record_of, record_type
from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.memory.turns import NO_TURNS, TURNS

NOW, AHEAD = range(2)
SIDES: Final = 2
MOST_BURSTS: Final = 256
"""Bursts that a lane holds at first."""


class ServiceTimes(NamedTuple):
    """What serving takes; times in fs."""

    granule: int
    """Bytes of an entry of the DRAM queue."""
    access: int
    """Service of an entry of that many bytes."""
    update: int
    """The same, of a near-memory update."""
    turnaround: int
    """Added when the bus changes between reading and writing."""
    stream_switch: int
    """Added when the stream changes and the direction does not."""


SERVICE = record_type(*ServiceTimes._fields)
BURST = record_type("nbytes", "cause", "is_update", "kind", "a", "b")
"""One burst as it was pushed; ``kind``, ``a``, ``b``: what is done when it is complete, 0 for nothing."""
LANE = record_type(
    "head",  # burst being admitted
    "head_left",  # and its bytes left
    "serving",  # burst being served
    "serving_left",  # and its bytes left
    "tail",  # end of the lane
)
REQUEST = record_type("lane", "nbytes")
COMPLETED = record_type("lane", "number", "end", "kind", "a", "b")
COUNTERS = (
    "bus_turnarounds",  # changes of direction, also where an idle channel hides them
    "stream_switches",  # changes of stream without one
)
SERVER = record_type(
    "entries",  # of the queue
    "free_at",  # when the channel has served all that it took up
    "clock",  # time of the last admission
    "first",  # first entry of the queue
    "count",  # requests in the queue
    "last_lane",  # lane served last, or -1
    "busy",  # time spent serving
    *COUNTERS,
    *TURNS,
)


class FrontEnd(NamedTuple):
    """What one front end and its channel hold; times in fs, sizes in bytes."""

    service: Records
    """(1,): with the fields of ``ServiceTimes``."""
    bursts: Records
    """(4, ring): by lane, burst n at n modulo ring."""
    completed: Records
    """(4 x ring,): takes the awaited bursts that a call completes."""
    served: IntArray
    """(2, MOST_CAUSES): bytes served, by side and cause; those of ``AHEAD`` mean nothing."""
    queue_lanes: Records
    """(2, 4): by side."""
    queue: Records
    """(2, entries): by side, requests in a ring buffer."""
    servers: Records
    """(2,): by side, the channel, and whose turn it was."""


def new_front_end(queue_entries: int, times: ServiceTimes) -> FrontEnd:
    """Make an idle front end with an empty queue of ``queue_entries``."""
    servers = np.zeros(SIDES, SERVER)
    servers["last_lane"] = -1
    servers["entries"] = queue_entries
    for name, value in zip(TURNS, NO_TURNS, strict=True):
        servers[name] = value
    return FrontEnd(
        service=record_of(times).astype(SERVICE),
        bursts=np.zeros((LANES, MOST_BURSTS), BURST),
        completed=np.zeros(LANES * MOST_BURSTS, COMPLETED),
        served=np.zeros((SIDES, MOST_CAUSES), np.int64),
        queue_lanes=np.zeros((SIDES, LANES), LANE),
        queue=np.zeros((SIDES, queue_entries), REQUEST),
        servers=servers,
    )
