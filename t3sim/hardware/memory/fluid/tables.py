"""What the fluid memory holds: rows of the data plane's tables.

Everything that changes is there twice: side ``NOW`` is what is, side ``AHEAD`` a copy that runs ahead to the next
completion and is thrown away when something arrives earlier.
"""

from typing import Final, NamedTuple

import numpy as np

from t3sim.compiled import IntArray, Records, record_of, record_type
from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.memory.turns import NO_TURNS, TURNS

FOREVER: Final = 2**62
NOW, AHEAD = range(2)
SIDES: Final = 2
RINGS: Final = 6
MOST_BURSTS: Final = 256
"""Bursts that a lane holds at first."""


class ServiceTimes(NamedTuple):
    """What serving takes; times in fs."""

    granule: int
    """Bytes of an entry of the DRAM queue."""
    read: int
    """Service of a read of that many bytes."""
    write: int
    """The same, of a write."""
    update: int
    """The same, of a near-memory update."""
    to_read: int
    """Added when the bus changes from writing to reading."""
    to_write: int
    """Added when it changes from reading to writing."""
    stream_switch: int = 0
    """Added when the stream changes and the direction does not."""
    read_after: int = 0
    """From a read's service to its data, beside the GPU's read latency."""
    write_after: int = 0
    """From a write's service to the end of its data."""
    refresh: int = 0
    """What a refresh takes."""
    refresh_after: int = FOREVER
    """From one to the next."""
    late_reads: int = 0
    """Younger reads that are served before the last one of a burst."""
    late_writes: int = 0
    """The same of writes."""


class Queues(NamedTuple):
    """Queues before a channel: one that is served in order, or one of reads, one of writes, and a path to them."""

    in_order: int
    """Whether there is one, of ``read_entries``."""
    read_entries: int
    write_entries: int = 1
    path_entries: int = 1
    """Requests of a stream on their way to the queues."""
    cycle: int = 1
    """From one request that enters a queue to the next, fs."""
    drain_from: int = 0
    """Writes are drained from so many on, or when no reads wait."""
    drain_to: int = 0
    """Until there are fewer than this, and reads wait."""
    least_reads: int = 0
    """Reads that a turn serves, if as many wait, before writes may end it."""


SERVICE = record_type(*ServiceTimes._fields, *Queues._fields)
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
RING = record_type(
    "start",  # its place in the queue's table
    "entries",
    "first",
    "count",
    "last",  # of a path: 1 where the request that entered last is a write
)
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
    "turn",  # queue that is served: of reads, or of writes
    "reads_in_turn",  # served since it is that of reads
    "refresh_due",  # time of the next refresh
    "entry",  # when the next request may enter a queue
    "busy",  # time spent serving
    *COUNTERS,
    *TURNS,
)


class FrontEnd(NamedTuple):
    """What one front end and its channel hold; times in fs, sizes in bytes."""

    service: Records
    """(1,): with the fields of ``ServiceTimes`` and of ``Queues``."""
    bursts: Records
    """(4, ring): by lane, burst n at n modulo ring."""
    completed: Records
    """(4 x ring,): takes the awaited bursts that a call completes."""
    served: IntArray
    """(2, MOST_CAUSES): bytes served, by side and cause; those of ``AHEAD`` mean nothing."""
    queue_lanes: Records
    """(2, 4): by side."""
    queue: Records
    """(2, entries): by side, requests in ring buffers."""
    late: Records
    """(2, 2 x room): by side, bursts of two queues whose last request is passed by others; ``end``: until so many
    requests are served."""
    rings: Records
    """(2, 6): by side, of two queues, the paths to them and their late bursts: see ``two_queues``."""
    servers: Records
    """(2,): by side, the channel, and whose turn it was."""


def new_front_end(queues: Queues, times: ServiceTimes) -> FrontEnd:
    """Make an idle front end with empty queues."""
    servers = np.zeros(SIDES, SERVER)
    servers["last_lane"] = -1
    servers["entries"] = queues.read_entries
    servers["refresh_due"] = times.refresh_after
    servers["turn"] = 1  # as whenever no read waits
    for name, value in zip(TURNS, NO_TURNS, strict=True):
        servers[name] = value
    sizes = queues.read_entries, queues.write_entries, queues.path_entries, queues.path_entries
    room = max(times.late_reads, times.late_writes) + 2
    rings = np.zeros((SIDES, RINGS), RING)
    rings["entries"] = *sizes, room, room
    rings["start"] = *(sum(sizes[:ring]) for ring in range(LANES)), 0, room
    rings["last"] = 1
    return FrontEnd(
        service=record_of(times, queues).astype(SERVICE),
        bursts=np.zeros((LANES, MOST_BURSTS), BURST),
        completed=np.zeros(LANES * MOST_BURSTS, COMPLETED),
        served=np.zeros((SIDES, MOST_CAUSES), np.int64),
        queue_lanes=np.zeros((SIDES, LANES), LANE),
        queue=np.zeros((SIDES, queues.read_entries if queues.in_order else sum(sizes)), REQUEST),
        late=np.zeros((SIDES, 2 * room), COMPLETED),
        rings=rings,
        servers=servers,
    )
