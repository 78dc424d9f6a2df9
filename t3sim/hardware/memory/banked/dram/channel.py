"""State of one DRAM channel and the commands that change it; compiled.

Requests wait in a read queue and a write queue (updates are writes that keep their bank group for longer). Each bank
keeps its requests of either queue in a list, oldest first, and knows the oldest that hits its open row: finding the
next command then looks at banks, not at requests, and sets of banks (bits of one integer) name those worth a look.

``next_X`` is the earliest cycle for a command X by the timings to those before it; a command has to be past the one of
its bank, of its bank group and of its pseudo channel, of which most channels have one. Pseudo channels share the queues
and the command buses, and are refreshed one after the other.
"""

from typing import Final, NamedTuple, Protocol

import numpy as np

from t3sim.compiled import IntArray, Records, part, record_of, record_type
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
_ACTS_IN_WINDOW = 4
_ORDER_BITS = 20
_LONGEST_WAIT = 2**_ORDER_BITS - 1


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
        acts=np.full(dram.pseudo_channels * _ACTS_IN_WINDOW, -NEVER, np.int64),
        state=state,
    )


def counters_of(channel: Channel) -> dict[str, int]:
    """Read what was counted so far, by name."""
    return {name: int(channel.state[name][0]) for name in COUNTERS}


@part
def queue_of(kind: int) -> int:
    """Queue that requests of a kind wait in."""
    return READ_QUEUE if kind == READ else WRITE_QUEUE


@part
def enqueue(channel: Channel, bank: int, row: int, kind: int, arrived: int, tag: int) -> None:
    """Put a request into the queue of its kind; the caller has seen that there is room."""
    state, queue = channel.state[0], queue_of(kind)
    listed = channel.lists[2 * bank + queue]
    slot = state.free
    entry = channel.entries[slot]
    state.free = entry.after
    state.youngest += 1
    channel.queues[queue].count += 1
    entry.bank = bank
    entry.row = row
    entry.kind = kind
    entry.arrived = arrived
    entry.age = state.youngest
    entry.after = NONE
    entry.tag = tag
    entry.touched = 0
    if listed.head == NONE:
        listed.head = slot
    else:
        channel.entries[listed.tail].after = slot
    listed.tail = slot
    if channel.banks[bank].open_row == row and listed.hit == NONE:
        listed.hit = slot
    _sort_bank(channel, bank, queue)


@part
def _sort_bank(channel: Channel, bank: int, queue: int) -> None:
    """Note what the bank has in this queue: a hit, a head that needs another row, anything."""
    listed, sets = channel.lists[2 * bank + queue], channel.queues[queue]
    bit = 1 << bank
    if listed.hit == NONE:
        sets.hit_banks &= ~bit
    else:
        sets.hit_banks |= bit
    if listed.head == listed.hit:
        sets.row_banks &= ~bit
    else:
        sets.row_banks |= bit
    if listed.head == NONE:
        sets.waiting_banks &= ~bit
    else:
        sets.waiting_banks |= bit


@part
def _unlink(channel: Channel, bank: int, queue: int, slot: int) -> None:
    """Take a request out of its bank's list."""
    listed, entries = channel.lists[2 * bank + queue], channel.entries
    after = entries[slot].after
    before = NONE
    at = listed.head
    while at != slot:
        before = at
        at = entries[at].after
    if before == NONE:
        listed.head = after
    else:
        entries[before].after = after
    if after == NONE:
        listed.tail = before
    channel.queues[queue].count -= 1


@part
def _find_hit(channel: Channel, bank: int, queue: int, start: int) -> None:
    """Find the oldest request from ``start`` on that hits the bank's open row."""
    entries = channel.entries
    row = channel.banks[bank].open_row
    at = start
    while at != NONE and entries[at].row != row:
        at = entries[at].after
    channel.lists[2 * bank + queue].hit = at
    _sort_bank(channel, bank, queue)


@part
def issue_column(channel: Channel, slot: int, now: int) -> None:
    """Issue RD or WR for the request in ``slot``, which leaves the channel."""
    state, entry = channel.state[0], channel.entries[slot]
    bank = channel.banks[entry.bank]
    queue = queue_of(entry.kind)
    if bank.opened_for == slot:
        bank.opened_for = NONE
        state.opened_banks &= ~(1 << entry.bank)
    else:
        bank.late_hits += channel.lists[2 * entry.bank + queue].head != slot
        after = entry.after
        _unlink(channel, entry.bank, queue, slot)
        _find_hit(channel, entry.bank, queue, after)
        state.row_hits += 1 - entry.touched
    closable = _move_data(channel, entry.bank, entry.kind, now)
    bank.next_pre = max(bank.next_pre, closable)
    state.row_soonest = min(state.row_soonest, bank.next_pre)
    pseudo = channel.pseudos[bank.pseudo]
    pseudo.next_precharge_all = max(pseudo.next_precharge_all, closable)
    if state.last_queue != queue:
        state.bus_turnarounds += state.last_queue != NONE
        state.last_queue = queue
    entry.after = state.free
    state.free = slot


@part
def _move_data(channel: Channel, number: int, kind: int, now: int) -> int:
    """Keep bus and bank group of bank ``number`` busy for a column command; return when the bank may be closed."""
    timing: Timing = channel.rules[0]
    bank = channel.banks[number]
    state, group, pseudo = channel.state[0], channel.groups[bank.group], channel.pseudos[bank.pseudo]
    if kind == READ:
        state.reads += 1
        pseudo.next_rd = now + timing.rd_to_rd_s
        pseudo.next_wr = max(pseudo.next_wr, now + timing.rd_to_wr)
        group.next_rd = max(group.next_rd, now + timing.rd_to_rd_l)
        closable = now + timing.rd_to_pre
    else:
        pseudo.next_wr = now + timing.wr_to_wr_s
        pseudo.next_rd = max(pseudo.next_rd, now + timing.wr_to_rd_s)
        group.next_rd = max(group.next_rd, now + timing.wr_to_rd_l)
        if kind == UPDATE:
            state.updates += 1
            group.next_wr = now + timing.update_to_wr_l
            closable = now + timing.update_to_pre
        else:
            state.writes += 1
            group.next_wr = now + timing.wr_to_wr_l
            closable = now + timing.wr_to_pre
    _note(channel, bank.pseudo)
    return int(closable)


@part
def _note(channel: Channel, number: int) -> None:
    """Carry what holds in pseudo channel ``number`` to where it is asked for: its bank groups, and the whole channel.

    Where there is one, it is the whole channel.
    """
    state, queues, pseudos = channel.state[0], channel.queues, channel.pseudos
    next_rd, next_wr, next_act = pseudos[number].next_rd, pseudos[number].next_wr, pseudos[number].next_act
    parts: Parts = channel.rules[0]
    count = parts.pseudo_channels
    if count > 1:
        for index in range(number, parts.groups, count):
            group = channel.groups[index]
            group.next_rd = max(group.next_rd, next_rd)
            group.next_wr = max(group.next_wr, next_wr)
            group.next_act = max(group.next_act, next_act)
        for index in range(count):
            other = pseudos[index]
            next_rd, next_wr = min(next_rd, other.next_rd), min(next_wr, other.next_wr)
            next_act = min(next_act, other.next_act)
    queues[READ_QUEUE].next_column = next_rd
    queues[WRITE_QUEUE].next_column = next_wr
    state.next_act = next_act


@part
def issue_activate(channel: Channel, slot: int, now: int) -> None:
    """Open the row of the request in ``slot``, which leaves its queue: its column command comes next in the bank."""
    timing: Timing = channel.rules[0]
    state, entry = channel.state[0], channel.entries[slot]
    bank = channel.banks[entry.bank]
    pseudo, acts = channel.pseudos[bank.pseudo], channel.acts
    state.row_misses += 1 - entry.touched
    entry.touched = 1
    _unlink(channel, entry.bank, queue_of(entry.kind), slot)
    bank.opened_for = slot
    # From now on it competes with opened rows only: by cycle of arrival, then in order of activation.
    entry.age = (entry.arrived << _ORDER_BITS) + min(now - entry.arrived, _LONGEST_WAIT)
    state.opened_banks |= 1 << entry.bank
    state.open_banks |= 1 << entry.bank
    bank.open_row = entry.row
    bank.late_hits = 0
    for queue in range(2):
        _find_hit(channel, entry.bank, queue, channel.lists[2 * entry.bank + queue].head)
    bank.next_rd = now + timing.act_to_rd
    bank.next_wr = now + timing.act_to_wr
    bank.next_pre = max(bank.next_pre, now + timing.act_to_pre)
    bank.next_act = now + timing.act_to_act
    state.column_soonest = min(state.column_soonest, bank.next_rd if entry.kind == READ else bank.next_wr)
    channel.groups[bank.group].next_act = now + timing.act_to_act_l
    acts[_ACTS_IN_WINDOW * bank.pseudo + pseudo.activates % _ACTS_IN_WINDOW] = now
    pseudo.activates += 1
    state.activates += 1
    in_window = acts[_ACTS_IN_WINDOW * bank.pseudo + pseudo.activates % _ACTS_IN_WINDOW] + timing.act_window
    pseudo.next_act = max(pseudo.next_act, now + timing.act_to_act_s, in_window)
    _note(channel, bank.pseudo)
    state.next_row_command = now + timing.act_bus
    pseudo.next_precharge_all = max(pseudo.next_precharge_all, now + timing.act_to_pre)
    pseudo.next_refresh = max(pseudo.next_refresh, now + timing.act_to_ref)


@part
def issue_precharge(channel: Channel, slot: int, now: int) -> None:
    """Close the row that is in the way of the request in ``slot``."""
    timing: Timing = channel.rules[0]
    state, entry = channel.state[0], channel.entries[slot]
    bank = channel.banks[entry.bank]
    state.precharges += 1
    state.row_conflicts += 1 - entry.touched
    entry.touched = 1
    _close(channel, entry.bank)
    bank.next_act = max(bank.next_act, now + timing.pre_to_act)
    state.next_row_command = now + 1
    pseudo = channel.pseudos[bank.pseudo]
    pseudo.next_refresh = max(pseudo.next_refresh, now + timing.pre_to_ref)


@part
def to_refresh(channel: Channel) -> int:
    """Name the pseudo channel whose refresh is the next: they take turns."""
    return int(channel.state[0].refreshes % channel.rules[0].pseudo_channels)


@part
def issue_refresh(channel: Channel, now: int) -> None:
    """Close all banks of the pseudo channel whose turn it is; once they are, refresh them."""
    timing: Timing = channel.rules[0]
    state, number = channel.state[0], to_refresh(channel)
    pseudo = channel.pseudos[number]
    if state.open_banks & pseudo.banks:
        state.precharges_all += 1
        for bank in range(channel.rules[0].banks):
            if channel.banks[bank].pseudo == number:
                _close(channel, bank)
        pseudo.next_act = max(pseudo.next_act, now + timing.pre_to_act)
        pseudo.next_refresh = max(pseudo.next_refresh, now + timing.pre_to_ref)
    else:
        state.refreshes += 1
        state.refreshes_due -= 1
        state.column_soonest = state.row_soonest = now + 1
        pseudo.next_act = max(pseudo.next_act, now + timing.ref_to_act)
        pseudo.next_precharge_all = max(pseudo.next_precharge_all, now + timing.ref_to_pre)
    _note(channel, number)
    state.next_row_command = now + 1


@part
def _close(channel: Channel, number: int) -> None:
    bank = channel.banks[number]
    bank.open_row = NONE
    bank.late_hits = 0
    channel.state[0].open_banks &= ~(1 << number)
    for queue in range(2):
        channel.lists[2 * number + queue].hit = NONE
        _sort_bank(channel, number, queue)
