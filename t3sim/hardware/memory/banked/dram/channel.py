"""One DRAM channel and the commands that change it; compiled.

Requests wait in a read queue and a write queue (updates are writes that keep their bank group for longer). Each bank
keeps its requests of either queue in a list, oldest first, and knows the oldest that hits its open row: finding the
next command then looks at banks, not at requests, and sets of banks (bits of one integer) name those worth a look.

``next_X`` is the earliest cycle for a command X by the timings to those before it; a command has to be past the one of
its bank, of its bank group and of its pseudo channel, of which most channels have one. Pseudo channels share the queues
and the command buses, and are refreshed one after the other.
"""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.memory.banked.dram.tables import (
    ACTS_IN_WINDOW,
    COUNTERS,
    NONE,
    READ,
    READ_QUEUE,
    UPDATE,
    WRITE_QUEUE,
    Channel,
    Parts,
)
from t3sim.hardware.memory.banked.dram.timing import Timing

_ORDER_BITS: Final = 20
_LONGEST_WAIT: Final = 2**_ORDER_BITS - 1


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
    others, head, hit = ~(1 << bank), listed.head, listed.hit
    # Without branches, which nobody could predict.
    sets.hit_banks = (sets.hit_banks & others) | (int(hit != NONE) << bank)
    sets.row_banks = (sets.row_banks & others) | (int(head != hit) << bank)
    sets.waiting_banks = (sets.waiting_banks & others) | (int(head != NONE) << bank)


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
    acts[ACTS_IN_WINDOW * bank.pseudo + pseudo.activates % ACTS_IN_WINDOW] = now
    pseudo.activates += 1
    state.activates += 1
    in_window = acts[ACTS_IN_WINDOW * bank.pseudo + pseudo.activates % ACTS_IN_WINDOW] + timing.act_window
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
