"""Which command a channel issues next; compiled. One column and one row command a cycle, on their own buses.

Requests whose row was opened for them go first, then, unless a refresh waits, the queue whose turn it is: reads, or
writes while the channel drains them. Writes drain from the high watermark, or when no reads wait, down to the low one.
Which requests of that queue take part is the scheduler's (see ``schedulers``): the oldest alone or all of them, with
or without rows kept open for older hits. ``hit_cap`` bounds how many younger requests may hit the open row of a bank
while an older one waits for another row.
"""

from t3sim.bits import lowest_bit
from t3sim.compiled import part
from t3sim.hardware.memory.banked.control import Control
from t3sim.hardware.memory.banked.dram.channel import (
    issue_activate,
    issue_column,
    issue_precharge,
    issue_refresh,
    queue_of,
    to_refresh,
)
from t3sim.hardware.memory.banked.dram.tables import NEVER, NONE, READ_QUEUE, WRITE_QUEUE, Channel
from t3sim.hardware.memory.banked.dram.timing import Timing


@part
def tick(channel: Channel, now: int) -> int:
    """Issue this cycle's commands; return the slot of the request whose column command was issued, or ``NONE``.

    What the slot holds stays readable until something is enqueued. ``state[0].soonest`` is the next cycle in which
    anything can happen if nothing arrives.
    """
    timing: Timing = channel.rules[0]
    state = channel.state[0]
    state.cycle = now
    if now >= state.refresh_due:
        state.refreshes_due += channel.rules[0].pseudo_channels
        state.refresh_due += timing.ref_to_ref
    refreshing = state.refreshes_due > 0
    if not refreshing:
        _turn(channel)
    slot = NONE
    if now >= state.column_soonest:
        slot = _column_command(channel, now)
    if refreshing:
        row = _refresh(channel, now)
    else:
        _turn(channel)
        if now >= state.row_soonest:
            _row_command(channel, now)
        row = now + 1 if _turns(channel) else state.row_soonest
    state.soonest = max(now + 1, min(state.column_soonest, row, state.refresh_due))
    return slot


@part
def arrived(channel: Channel, bank: int, kind: int, now: int) -> None:
    """Bring the next cycles of interest forward for a request that was just enqueued."""
    control: Control = channel.rules[0]
    state, queue = channel.state[0], queue_of(kind)
    listed = channel.lists[2 * bank + queue]
    if _turns(channel):
        state.soonest = min(state.soonest, now + 1)
    if queue != state.queue_at_turn:
        return  # a turn looks at all
    if listed.hit == listed.tail:
        soonest = max(_column_ready(channel, bank, queue), now + 1)
        state.column_soonest = min(state.column_soonest, soonest)
    elif control.keeps_rows and listed.head != listed.tail:
        return  # older requests of the bank come first
    elif channel.banks[bank].opened_for == NONE:
        soonest = max(_row_ready(channel, bank), now + 1)
        state.row_soonest = min(state.row_soonest, soonest)
    else:
        return  # the end of the bank's column command looks at it
    if not state.refreshes_due:
        state.soonest = min(state.soonest, soonest)


@part
def has_room(channel: Channel, queue: int) -> bool:
    """Whether one more request fits into a queue."""
    control: Control = channel.rules[0]
    entries = control.write_entries if queue else control.read_entries
    return bool(channel.queues[queue].count < entries)


@part
def _turns(channel: Channel) -> bool:
    """Whether the other queue's turn has come."""
    control: Control = channel.rules[0]
    reads, writes = channel.queues[READ_QUEUE].count, channel.queues[WRITE_QUEUE].count
    if channel.state[0].queue_at_turn == WRITE_QUEUE:
        return bool(writes < control.drain_to and reads > 0)
    return bool(writes >= control.drain_from or reads == 0)


@part
def _turn(channel: Channel) -> None:
    """Decide whether reads or writes are served."""
    if _turns(channel):
        state = channel.state[0]
        state.queue_at_turn = 1 - state.queue_at_turn
        state.column_soonest = state.row_soonest = 0


@part
def _column_command(channel: Channel, now: int) -> int:
    """Issue RD or WR if one may be now; return the slot of its request, or ``NONE``."""
    control: Control = channel.rules[0]
    state, queues = channel.state[0], channel.queues
    queue = state.queue_at_turn
    hits = _eligible_hits(channel, queue) if state.refreshes_due == 0 else 0
    bus_free = min(queues[READ_QUEUE].next_column, queues[WRITE_QUEUE].next_column)
    slot, soonest = _oldest_ready(channel, state.opened_banks, NONE, bus_free, now)
    if slot == NONE:
        slot, ready = _oldest_ready(channel, hits, queue, queues[queue].next_column, now)
        soonest = min(soonest, ready)
    elif hits:
        soonest = now
    if slot != NONE:
        issue_column(channel, slot, now)
        bank = channel.entries[slot].bank
        if channel.lists[2 * bank + queue].hit != NONE:
            soonest = min(soonest, _column_ready(channel, bank, queue))
        if control.in_order:
            soonest = state.row_soonest = now  # another request is the oldest
        soonest = max(soonest, min(queues[READ_QUEUE].next_column, queues[WRITE_QUEUE].next_column))
    state.column_soonest = soonest
    return slot


@part
def _column_ready(channel: Channel, number: int, queue: int) -> int:
    """Cycle from which the timings allow a RD, or for the write queue a WR, of bank ``number``."""
    bank = channel.banks[number]
    group, anywhere = channel.groups[bank.group], channel.queues[queue].next_column
    if queue == WRITE_QUEUE:
        return int(max(anywhere, group.next_wr, bank.next_wr))
    return int(max(anywhere, group.next_rd, bank.next_rd))


@part
def _row_ready(channel: Channel, number: int) -> int:
    """Cycle from which the timings allow the bank's PRE if it is open, else its ACT."""
    state, bank = channel.state[0], channel.banks[number]
    if bank.open_row != NONE:
        return int(max(state.next_row_command, bank.next_pre))
    return int(max(state.next_act, state.next_row_command, channel.groups[bank.group].next_act, bank.next_act))


@part
def _oldest_ready(channel: Channel, chosen: int, hits_of: int, bus_free: int, now: int) -> tuple[int, int]:
    """Find the oldest request of the banks ``chosen`` that may have its RD or WR now.

    Of each bank its hit in queue ``hits_of`` is looked at, or with ``NONE`` the request whose row was opened for it.
    Returns its slot, or ``NONE``, and a cycle before which no other one may. ``bus_free``: such a cycle by what the
    channel as a whole allows.
    """
    banks, entries = channel.banks, channel.entries
    if not chosen or bus_free > now:
        return NONE, bus_free if chosen else NEVER
    best, best_age, soonest, count = NONE, NEVER, NEVER, 0
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        slot = banks[bank].opened_for if hits_of == NONE else channel.lists[2 * bank + hits_of].hit
        ready = _column_ready(channel, bank, queue_of(entries[slot].kind) if hits_of == NONE else hits_of)
        # Written so that it takes no branches, which nobody could predict.
        age = entries[slot].age
        may = ready <= now
        age = age if may else NEVER
        soonest = min(soonest, NEVER if may else ready)
        count += may
        best = slot if age < best_age else best
        best_age = min(age, best_age)
    return best, now if count > 1 else soonest


@part
def _oldest(channel: Channel, queue: int) -> int:
    """Find the oldest request of a queue."""
    best, best_age = NONE, NEVER
    for bank in range(channel.rules[0].banks):
        slot = channel.lists[2 * bank + queue].head
        if slot != NONE and channel.entries[slot].age < best_age:
            best, best_age = slot, channel.entries[slot].age
    return best


@part
def _eligible_hits(channel: Channel, queue: int) -> int:
    """Choose the banks whose oldest row hit may be served."""
    control: Control = channel.rules[0]
    hits = channel.queues[queue].hit_banks
    if control.in_order and hits:
        oldest = _oldest(channel, queue)
        bank = channel.entries[oldest].bank
        return int(1 << bank if channel.lists[2 * bank + queue].hit == oldest else 0)
    if control.hit_cap:
        for bank in range(channel.rules[0].banks):
            if _capped(channel, bank, queue):
                hits &= ~(1 << bank)
    return int(hits)


@part
def _capped(channel: Channel, bank: int, queue: int) -> bool:
    """Whether the bank has served so many younger hits that an older request's row is due."""
    control: Control = channel.rules[0]
    listed = channel.lists[2 * bank + queue]
    is_late = channel.banks[bank].late_hits >= control.hit_cap > 0
    return bool(is_late and listed.head != listed.hit)


@part
def _refresh(channel: Channel, now: int) -> int:
    """Close all banks, then refresh them, once none of their rows is waited for; return when to look again."""
    state, pseudo = channel.state[0], channel.pseudos[to_refresh(channel)]
    if state.opened_banks & pseudo.banks:
        return NEVER
    allowed = pseudo.next_precharge_all if state.open_banks & pseudo.banks else pseudo.next_refresh
    ready = max(allowed, state.next_row_command)
    if ready > now:
        return int(ready)
    issue_refresh(channel, now)
    return now + 1


@part
def _closable(channel: Channel, number: int, queue: int) -> int:
    """Find the request for which the bank's open row may be closed, or ``NONE``."""
    control: Control = channel.rules[0]
    entries, bank, listed = channel.entries, channel.banks[number], channel.lists[2 * number + queue]
    slot, hit = listed.head, listed.hit
    if bank.opened_for != NONE or slot == NONE:
        return NONE
    if not control.keeps_rows:
        while slot != NONE and entries[slot].row == bank.open_row:
            slot = entries[slot].after
        return int(slot)
    if slot == hit:
        return NONE
    if control.in_order:
        return int(slot)
    # Hits of the same cycle count as older.
    if hit != NONE and entries[hit].arrived <= entries[slot].arrived:
        return int(slot) if _capped(channel, number, queue) else NONE
    return int(slot)


@part
def _oldest_closable(channel: Channel, chosen: int, only: int, now: int) -> tuple[int, int, int]:
    """Find the oldest request for which one of the open banks ``chosen`` may have its PRE now.

    Returns its slot, or ``NONE``; how many may; and a cycle before which no other one may.
    """
    entries, queue = channel.entries, channel.state[0].queue_at_turn
    best, best_age, count, soonest = NONE, NEVER, 0, NEVER
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        ready = channel.banks[bank].next_pre
        if ready > now:
            soonest = min(soonest, ready)
            continue
        slot = _closable(channel, bank, queue)
        if slot == NONE or only not in (NONE, slot):
            continue
        count += 1
        if entries[slot].age < best_age:
            best, best_age = slot, entries[slot].age
    return best, count, soonest


@part
def _oldest_openable(channel: Channel, chosen: int, only: int, now: int) -> tuple[int, int, int]:
    """Find the oldest request for which one of the closed banks ``chosen`` may have its ACT now; as for PRE."""
    state, entries = channel.state[0], channel.entries
    best, best_age, count, soonest = NONE, NEVER, 0, NEVER
    if chosen and state.next_act > now:
        return NONE, 0, int(state.next_act)
    while chosen:
        number = lowest_bit(chosen)
        chosen &= chosen - 1
        slot, bank = channel.lists[2 * number + state.queue_at_turn].head, channel.banks[number]
        ready = max(channel.groups[bank.group].next_act, bank.next_act)
        if ready > now:
            soonest = min(soonest, ready)
        elif only in (NONE, slot):
            count += 1
            if entries[slot].age < best_age:
                best, best_age = slot, entries[slot].age
    return best, count, soonest


@part
def _row_command(channel: Channel, now: int) -> None:
    """Issue ACT or PRE for the oldest request of the queue at turn that can have it now."""
    control: Control = channel.rules[0]
    state, entries = channel.state[0], channel.entries
    queue = channel.queues[state.queue_at_turn]
    chosen = queue.row_banks if control.keeps_rows else queue.waiting_banks
    if not chosen or state.next_row_command > now:
        state.row_soonest = state.next_row_command if chosen else NEVER
        return
    only = _oldest(channel, state.queue_at_turn) if control.in_order else NONE
    opened = state.open_banks
    close, closable, next_pre = _oldest_closable(channel, chosen & opened, only, now)
    activate, openable, next_act = _oldest_openable(channel, chosen & ~opened, only, now)
    if close == NONE and activate == NONE:
        state.row_soonest = min(next_act, next_pre)
        return
    if close == NONE or (activate != NONE and entries[activate].age < entries[close].age):
        issue_activate(channel, activate, now)
        openable -= 1
    else:
        issue_precharge(channel, close, now)
        closable -= 1
        next_act = min(next_act, _row_ready(channel, entries[close].bank))
    # Those that may now may so next: ACTs when the channel's spacing allows.
    soonest = min(max(now if openable else next_act, state.next_act), now if closable else next_pre)
    if control.in_order:
        soonest = state.column_soonest = now + 1  # another request is the oldest
    state.row_soonest = max(soonest, state.next_row_command)
