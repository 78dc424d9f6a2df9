"""What a banked memory holds: tables of its own, which the data plane knows by one number for each GPU.

What a simulated channel holds is there twice: as it is, and ahead, a copy that runs to the next burst that completes;
when nothing arrives before, the copy becomes the channel.
"""

from typing import Final, NamedTuple

import numpy as np

from t3sim.compiled import IntArray, Records, record_type
from t3sim.hardware.memory.banked.dram import tables as dram
from t3sim.hardware.memory.banked.dram.address import AddressBits
from t3sim.hardware.memory.banked.interleave import REQUEST, Spread
from t3sim.hardware.memory.banked.path import FIFO, LANE, PORT, PathRules
from t3sim.tables import inner_opener

MOST_BURSTS: Final = 256
"""Bursts that are not served, at first."""
MOST_REQUESTS: Final = 4096
"""Requests of a lane of a channel, at first."""

BLOCK = record_type(*(f"word_{place}" for place in range(64)))
"""As much as is copied at one go."""
BURST = record_type("left")  # its requests on the channel that are not served
PATH = record_type(
    *PathRules._fields,
    "ring",  # requests that a lane holds
)


class Simulated(NamedTuple):
    """One simulated channel, as it is or ahead: with all of ``dram.tables.Channel``."""

    rules: Records
    banks: Records
    lists: Records
    groups: Records
    pseudos: Records
    queues: Records
    entries: Records
    acts: IntArray
    state: Records
    lanes: Records
    """(4,): what waits before the channel."""
    fifos: Records
    """(2,): by stream, what is on its way to it."""
    kinds: IntArray
    """By stream: whether a request in the FIFO is a write; a ring."""
    port: Records
    """(1,)"""
    bursts: Records
    """By slot."""
    path: Records
    """(1,)"""
    requests: Records
    """By lane: a ring."""
    blocks: Records
    """All that changes, in one piece."""


open_channel = inner_opener(
    Simulated,
    dram.ROWS
    | {
        "lanes": LANE,
        "fifos": FIFO,
        "kinds": np.dtype(np.int64),
        "port": PORT,
        "bursts": BURST,
        "path": PATH,
        "requests": REQUEST,
        "blocks": BLOCK,
    },
)
"""Open the tables of a channel."""

GPU = record_type(
    "simulated",  # channels
    "clock",  # cycles in ``second``
    "second",  # fs, both divided by what divides them
    "free",  # first free slot of a burst
    "left",  # free ones
    "room",  # that a lane's ring is to have, if that is more than it has
    "first_untouched",
    "last_untouched",
    "first_due",
    "last_due",
    *Spread._fields,
    *AddressBits._fields,
)
SLOT = record_type(
    "lane",
    "nbytes",
    "cause",
    "is_update",
    "kind",  # what is done when it is complete, 0 for nothing
    "a",
    "b",
    "channels",  # that have not served their part of it
    "end",  # of the last data so far, fs
    "next",
)
CHANNEL = record_type(
    "number",  # among those of the GPU
    "now",  # where its tables lie
    "ahead",  # and those of the copy
    "blocks",  # of what changes
    "planned",  # cycle that the copy has run to; 0 where it is of no use
    "table",  # decision table that it went by
    "slot",  # burst that it has completed
    "end",  # and the cycle of the last data of that
    "found",  # requests of the burst that comes
)
COMPLETED = record_type("slot", "end")


class Memory(NamedTuple):
    """What one GPU has beside its channels."""

    gpu: Records
    """(1,)"""
    slots: Records
    """Every burst that is not handed out has one, whatever overtakes it."""
    channels: Records
    tails: IntArray
    """By channel and lane: the end of what was queued."""
    completed: Records
    """What a run of a channel has completed."""
    done: IntArray
    """Slots of bursts that are to be handed out."""
    served: IntArray
    """Bytes of the bursts served in full, by cause."""
    waiting: IntArray
    """Bursts that are not served in full, by lane."""


open_memory = inner_opener(
    Memory,
    {name: np.dtype(np.int64) for name in Memory._fields}
    | {"gpu": GPU, "slots": SLOT, "channels": CHANNEL, "completed": COMPLETED},
)
"""Open the tables of a GPU."""
