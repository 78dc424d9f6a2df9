"""What the data plane holds: tables of rows, one table for each sort of thing.

What is done next is a *frame*: a kind (see ``kinds``) and up to three numbers. Frames lie on a stack, the next one on
top, so that what a handler leads to at once is done before what comes after the handler. What is done at a later time,
or later in this instant, is an *event*: a frame with a time and an order (see ``hardware.clock``).

Rows that come and go are taken from *pools*: rows that are free are linked by their ``next``.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np

from t3sim.compiled import IntArray, Records, record_type
from t3sim.hardware.memory.fluid import tables as fluid
from t3sim.hardware.plane import trigger_state as trigger
from t3sim.lowering.layout import RegionRow
from t3sim.tables import opener

NONE: Final = -1
"""No row."""
OWN: Final = -1
"""The flow of what the node at the sending end of a link sends itself; the others are numbered from 0."""
BEFORE_ALL: Final = 2**62
"""The flow that went last where none did: after the last flow comes the first one."""

CLOCK = record_type(
    "now",
    "sequence",  # of the next event, shared with SimPy
    "events",  # in the heap
    "frames",  # on the stack
    "need",  # whether a table has to grow before the plane can go on
    "margin",  # free rows that a handler may use
    "probing",
    "values",  # data mode
    "kind",  # what Python is told
    "a",
    "b",
    "c",
    "serials",
    "handled",  # frames so far
    "event_room",
    "frame_room",
    "ring",  # bursts that a lane holds
    "entries",  # for which a DRAM queue has rows
    "late_room",  # for late bursts
    "table_entries",  # shape of the decision tables
    "table_counts",
)
EVENT = record_type("time", "key", "kind", "a", "b", "c")
FRAME = record_type("kind", "a", "b", "c")
POOL = record_type("free", "left")
POOLS: Final = (
    "returns",
    "flows",
    "packets",
    "messages",
    "rooms",
    "dues",
    "contributions",
    "sums",
    "slices",
    "incoming",
    "commands",
)
(RETURNS, FLOWS, PACKETS, MESSAGES, ROOMS, DUES, CONTRIBUTIONS, SUMS, SLICES, INCOMING, COMMANDS) = range(11)

CONTROLLER = record_type(
    "settling",
    "wake",  # when a wake is planned, or 0
    "advanced",  # when it was last served
    "read_latency",
    "table",
    "causes",  # met so far
    "first_region",  # where Python's next burst lies, for memories that ask
    "regions",  # and how many of these
)
ASKED = record_type("nbytes", "place")  # bytes asked of a memory for one cause, and the how-manieth it was
LINK = record_type(
    "rate",
    "latency",
    "send_buffer",
    "sent_bytes",
    "delivered_bytes",
    "wire_bytes",
    "busy",
    "overlaps",
    "sending",  # packet
    "stuck",
    "accepted",  # packets of the node's own
    "buffered",  # and their bytes
    "waiting",  # channels in which packets from other links wait
    "shared",
    "choosing",
    "last_channel",
    "last_end",
    "own_first",
    "own_unaccepted",
    "own_last",
    "first_channel",
    "trouble",
)
CHANNEL = record_type(
    "link",
    "number",
    "capacity",
    "credit",
    "look_again",
    "last_flow",
    "first_return",
    "last_return",
    "first_flow",
    "next",
)
RETURN = record_type("time", "nbytes", "next")
FLOW = record_type("number", "first", "last", "next")
PACKET = record_type(
    "nbytes", "wire_bytes", "message", "leg", "room", "flow", "channel", "kind", "a", "b", "next"
)  # kind, a, b: what is done when it has send-buffer space
MESSAGE = record_type("template", "piece", "pieces", "nbytes", "wire_bytes", "serial", "references", "next")
ROOM = record_type("link", "channel", "nbytes", "copies", "reducer", "next")
LEG = record_type("link", "channel", "flow", "kind", "end", "destination", "first_onward", "onward", "sums")
TEMPLATE = record_type("first_receiver", "merges", "first_adder", "spread", "key", "move", "distance")
END = record_type("first_due")
DUE = record_type("time", "kind", "message", "leg", "next")
REDUCER = record_type(
    "rate",
    "entries",
    "free",
    "busy_until",
    "choosing",
    "first_ready",
    "first_came",
    "last_came",
    "first_blocked",
    "last_blocked",
    "first_open",
    "last_open",
)
CONTRIBUTION = record_type("message", "leg", "last", "room", "next")
SUM_ROW = record_type("key", "piece", "message", "leg", "missing", "through", "next")
TROUBLE = record_type("retry", "first_outage", "outages", "lossy", "first_try", "next_try", "end_try")
OUTAGE = record_type("start", "end")
KERNEL = record_type("controller", "read_cause", "write_cause", "lanes_left", "single", "first_news", "last_news")
WINDOW = record_type(
    "limit",  # most bytes in flight
    "grain",  # of which so many are asked for at once
    "in_flight",
    "first_waiter",  # of the lanes that wait for room
    "last_waiter",
    "called",  # whether the first of them is about to look
    "turn",  # lane that has asked for some of a slice, or NONE
)
LANE = record_type(
    "kernel",
    "task",
    "end_task",
    "step",
    "index",  # of what it waits for
    "piece",
    "slice",  # that it is reading, or NONE
    "asked",  # reads of it
    "window",
    "slices_left",
    "left",  # whether all slices have left: see ``lanes.DUE``
    "wants_left",
    "next",  # that waits for the same
)
TASK = record_type(
    "first_piece",
    "begin",
    "pieces",
    "is_local",
    "by_slice",  # whether a slice waits for its own slice of what is awaited only
    "reads",
    "first_wait",
    "waits",
    "delay",
    "template",
    "first_way",
    "spread",
    "first_wire",
    "sum",
    "first_base",  # of the buffers in which its slices lie: see ``bases``
)
ARRIVAL = record_type(
    "kernel",  # or NONE, of what a station takes
    "station",  # or NONE
    "is_update",  # whether the memory adds what it brings
    "missing",
    "complete",  # see ``lanes.DUE``
    "first_waiter",
    "last_waiter",
    "first_mark",
    "first_piece",
    "pieces",
    "by_slice",  # whether somebody waits for its pieces one by one
    "delay",  # then from a piece's being in memory to its use
    "base",  # address of the buffer that it lands in
    "told",  # whether Python is told when it is complete
)
SLICE = record_type("lane", "task", "piece", "nbytes", "reads", "left", "next")  # left: reads to come
INCOMING_ROW = record_type("arrival", "piece", "message", "leg", "is_last", "next")

PIPELINE = record_type(
    "controller",
    "buffer",
    "read_cause",
    "write_cause",
    "ahead",  # slabs loaded at once
    "hit_latency",
    "slab",  # that computes next
    "end_slab",
    "awaited",  # slab that it waits for
    "since",
    "stall",  # time waited
    "spots",  # end of those of its stage
)
SLAB = record_type("read", "evicted", "time", "arrived")
BUFFER = record_type("held", "level")  # level: what somebody waits for it to fall to, or NONE

# Where bytes lie, for memories that ask.
REGION = record_type(*RegionRow._fields)
SPOT = record_type("first_missed", "missed", "first_evicted", "evicted")  # regions of a slab of the stage that runs


class State(NamedTuple):
    """All tables; every row that another one names is named by its place."""

    clock: Records
    """(1,)."""
    events: Records
    """A binary heap by time and key."""
    frames: Records
    pools: Records
    controllers: Records
    asked: Records
    """By controller and cause."""
    tables: IntArray
    """Decision tables of arbitration, all padded to one shape: (tables, 2, 2, entries, 2, passed over)."""
    tails: IntArray
    """By controller and lane: its end."""
    # The fluid memories: by controller, then as one of them has it.
    service: Records
    bursts: Records
    completed: Records
    served: IntArray
    queue_lanes: Records
    queue: Records
    late: Records
    rings: Records
    servers: Records
    links: Records
    channels: Records
    returns: Records
    flows: Records
    packets: Records
    messages: Records
    rooms: Records
    legs: Records
    onward: IntArray
    """Legs that follow a leg."""
    ways: IntArray
    """First legs, by template and number of a piece."""
    templates: Records
    adders: IntArray
    """Reducers, by template and number of a piece."""
    receivers: IntArray
    """Arrivals by template and destination; ``NONE``: the receiver is Python's."""
    ends: Records
    dues: Records
    reducers: Records
    contributions: Records
    sums: Records
    troubles: Records
    outages: Records
    tries: IntArray
    kernels: Records
    windows: Records
    lanes: Records
    tasks: Records
    waits: IntArray
    """Arrivals that tasks wait for."""
    arrivals: Records
    marks: IntArray
    """By arrival and piece: whether it is in memory."""
    pieces: IntArray
    """Bytes of pieces."""
    wires: IntArray
    """Bytes whose time pieces hold a wire."""
    slices: Records
    incoming: Records
    pipelines: Records
    slabs: Records
    """Of all stages of all GEMMs."""
    buffers: Records
    # Track and trigger.
    units: Records
    stations: Records
    tiles: Records
    places: IntArray
    """Tiles of stations, by piece."""
    groups: Records
    fires: Records
    commands: Records
    begun: IntArray
    """Tiles that are complete from the start, in the order in which they are let go."""
    engines: Records
    trackers: Records
    sets: Records
    memories: IntArray
    """By controller: the directory of what its memory holds, if that is not the fluid one."""
    regions: Records
    """Row 0 is for one that is worked out as it is asked for."""
    addresses: IntArray
    """Of pieces in their buffer."""
    bases: IntArray
    """By task: addresses of the buffer that its slices are written to, and of those that copies are read from."""
    spots: Records


ROWS: Final = {
    "clock": CLOCK,
    "events": EVENT,
    "frames": FRAME,
    "pools": POOL,
    "controllers": CONTROLLER,
    "asked": ASKED,
    "service": fluid.SERVICE,
    "bursts": fluid.BURST,
    "completed": fluid.COMPLETED,
    "queue_lanes": fluid.LANE,
    "queue": fluid.REQUEST,
    "late": fluid.COMPLETED,
    "rings": fluid.RING,
    "servers": fluid.SERVER,
    "links": LINK,
    "channels": CHANNEL,
    "returns": RETURN,
    "flows": FLOW,
    "packets": PACKET,
    "messages": MESSAGE,
    "rooms": ROOM,
    "legs": LEG,
    "templates": TEMPLATE,
    "ends": END,
    "dues": DUE,
    "reducers": REDUCER,
    "contributions": CONTRIBUTION,
    "sums": SUM_ROW,
    "troubles": TROUBLE,
    "outages": OUTAGE,
    "kernels": KERNEL,
    "windows": WINDOW,
    "lanes": LANE,
    "tasks": TASK,
    "arrivals": ARRIVAL,
    "slices": SLICE,
    "incoming": INCOMING_ROW,
    "pipelines": PIPELINE,
    "slabs": SLAB,
    "buffers": BUFFER,
    "units": trigger.UNIT,
    "stations": trigger.STATION,
    "tiles": trigger.TILE,
    "groups": trigger.GROUP,
    "fires": trigger.FIRE,
    "commands": trigger.COMMAND,
    "engines": trigger.DMA,
    "trackers": trigger.TRACKER,
    "sets": trigger.SET,
    "regions": REGION,
    "spots": SPOT,
}
"""Types of rows; of the tables that are not here, integers."""


def opened_as(model: str) -> Callable[[State], State]:
    """Make what opens the tables that compiled code is handed, of a plane whose memories are of a model."""
    return opener(State, {name: ROWS.get(name, np.dtype(np.int64)) for name in State._fields}, model)


def blocks_of(regions: Any) -> IntArray:
    """View rows of regions as they are said elsewhere (``lowering.layout.Region``)."""
    blocks: IntArray = regions.view(np.int64).reshape(-1, len(RegionRow._fields))
    return blocks
