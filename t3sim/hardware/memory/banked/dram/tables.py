"""What one DRAM channel holds: rows of its banks, bank groups, pseudo channels, queues and requests.

Each bank keeps its requests of either queue in a list, oldest first, and knows the oldest that hits its open row.
``next_X`` is the earliest cycle for a command X by the timings to those before it.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np

from t3sim.compiled import IntArray, Records, record_of, record_type
from t3sim.hardware.memory.access import Access
from t3sim.hardware.memory.banked.control import Control, ControlSpec
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.dram.timing import Timing, timing_of

NEVER: Final = 2**62
NONE: Final = -1
READ, WRITE, UPDATE = (int(access) for access in Access)
READ_QUEUE, WRITE_QUEUE = range(2)

_BANK = record_type(
    "group",
    "pseudo",  # its pseudo channel
    "open_row",  # NONE: closed
    "next_act",
    "next_pre",
    "next_rd",
    "next_wr",
    "opened_for",  # request whose row was opened for it and whose RD or WR is to come, or NONE
    "late_hits",  # hits of the open row that were served past an older request
)
# Requests of a bank in one queue: slots, or NONE.
_LIST = record_type("head", "tail", "hit")
_GROUP = record_type("next_act", "next_rd", "next_wr")
_QUEUE = record_type(
    "count",  # requests in it
    "next_column",  # the first RD or WR in any pseudo channel
    "hit_banks",  # banks with a request that hits the open row
    "row_banks",  # banks whose oldest request needs another row
    "waiting_banks",  # banks with any request
)
_PSEUDO = record_type(
    "banks",  # its banks
    "next_rd",
    "next_wr",
    "next_act",
    "next_precharge_all",
    "next_refresh",
    "activates",
)
_ENTRY = record_type(
    "bank",
    "row",
    "kind",  # READ, WRITE or UPDATE
    "arrived",
    "age",  # order of service: smaller is older
    "after",  # next slot of its list, or of the free ones
    "tag",  # the caller's
    "touched",  # whether it has had a command
)
COUNTERS = (
    "activates",
    "precharges",  # of one bank
    "precharges_all",  # of all banks of a pseudo channel, for a refresh
    "refreshes",
    "row_hits",  # requests whose row was open
    "row_misses",  # whose bank was closed
    "row_conflicts",  # for which another row was closed
    "reads",
    "writes",
    "updates",
    "bus_turnarounds",  # RD after WR, WR after RD
)
"""What is counted: commands, requests by what their row's state was, changes of the bus's direction."""
_STATE = record_type(
    "next_act",  # the first in any pseudo channel
    "next_row_command",  # when the row command bus is free
    "refresh_due",  # cycle in which the next refresh of every pseudo channel comes due
    "refreshes_due",  # how many are
    "soonest",  # before this cycle nothing can happen, unless something arrives;
    "column_soonest",  # no column command;
    "row_soonest",  # no row command
    "opened_banks",  # banks whose row was opened for a request that is still to have its RD or WR
    "open_banks",
    "free",  # first free slot
    "youngest",  # age of the request that came last
    "queue_at_turn",
    "last_queue",  # of the last column command, or NONE
    "cycle",  # of the last tick
    *COUNTERS,
)
ACTS_IN_WINDOW: Final = 4


class Parts(NamedTuple):
    """How many of each a channel has."""

    banks: int
    groups: int
    """Bank groups of all pseudo channels."""
    pseudo_channels: int


class Channel(Protocol):
    """A channel: how fast it is and how it is scheduled, and all that changes in it; times in command clock cycles."""

    @property
    def rules(self) -> Records:
        """(1,): with the fields of ``Timing``, of ``Control`` and of ``Parts``."""

    @property
    def banks(self) -> Records:
        """All banks."""

    @property
    def lists(self) -> Records:
        """By bank: of the read queue, of the write queue."""

    @property
    def groups(self) -> Records:
        """Bank groups of all pseudo channels."""

    @property
    def pseudos(self) -> Records:
        """Pseudo channels."""

    @property
    def queues(self) -> Records:
        """Read queue, write queue."""

    @property
    def entries(self) -> Records:
        """Requests, by slot: as many as entries of both queues, and one a bank."""

    @property
    def acts(self) -> IntArray:
        """By pseudo channel: cycles of the last four ACTs."""

    @property
    def state(self) -> Records:
        """(1,): the channel as a whole."""


class ChannelTables(NamedTuple):
    """The tables of a ``Channel``."""

    rules: Records
    banks: Records
    lists: Records
    groups: Records
    pseudos: Records
    queues: Records
    entries: Records
    acts: IntArray
    state: Records


ROWS: Final = {
    "rules": record_type(*Timing._fields, *Control._fields, *Parts._fields),
    "banks": _BANK,
    "lists": _LIST,
    "groups": _GROUP,
    "pseudos": _PSEUDO,
    "queues": _QUEUE,
    "entries": _ENTRY,
    "acts": np.dtype(np.int64),
    "state": _STATE,
}
"""Types of rows."""


def new_channel(dram: DramSpec, control: ControlSpec) -> ChannelTables:
    """Make an idle channel with all banks closed."""
    banks = np.zeros(dram.banks, _BANK)
    banks["group"] = np.arange(len(banks)) // dram.banks_per_group
    banks["pseudo"] = banks["group"] % dram.pseudo_channels
    pseudos = np.zeros(dram.pseudo_channels, _PSEUDO)
    for number in range(dram.pseudo_channels):
        pseudos["banks"][number] = sum(1 << bank for bank in np.flatnonzero(banks["pseudo"] == number).tolist())
    banks["open_row"] = banks["opened_for"] = NONE
    lists = np.zeros(2 * len(banks), _LIST)
    lists["head"] = lists["tail"] = lists["hit"] = NONE
    entries = np.zeros(control.read_entries + control.write_entries + len(banks), _ENTRY)
    entries["after"] = [*range(1, len(entries)), NONE]
    state = np.zeros(1, _STATE)
    state["refresh_due"] = dram.nREFI if control.refresh else NEVER
    state["soonest"] = 1  # as in any cycle without reads, it turns to writes
    state["last_queue"] = NONE
    return ChannelTables(
        rules=record_of(
            timing_of(dram), control.control(), Parts(dram.banks, dram.groups, dram.pseudo_channels)
        ).astype(ROWS["rules"]),
        banks=banks,
        lists=lists,
        groups=np.zeros(dram.groups, _GROUP),
        pseudos=pseudos,
        queues=np.zeros(2, _QUEUE),
        entries=entries,
        acts=np.full(dram.pseudo_channels * ACTS_IN_WINDOW, -NEVER, np.int64),
        state=state,
    )
