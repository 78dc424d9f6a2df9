"""Which command a channel issues next; compiled. One column and one row command a cycle, on their own buses.

Requests whose row was opened for them go first, then, unless a refresh waits, the queue whose turn it is: reads, or
writes while the channel drains them. Writes drain from the high watermark, or when no reads wait, down to the low one.

- ``frfcfs``: first ready, first come: the oldest request whose next command the timings allow now.
- ``frfcfs-row-hit``: the same, but a row stays open while an older request still hits it.
- ``fcfs``: only the oldest request of the queue may issue commands.

``hit_cap`` bounds how many younger requests may hit the open row of a bank while an older one waits for another row.
"""

from t3sim.hardware.memory.dram import channel as c
from t3sim.hardware.memory.dram import timing as t
from t3sim.hardware.memory.dram.channel import Channel
from t3sim.hardware.memory.dram.control import DRAIN_FROM, DRAIN_TO, FCFS, FRFCFS, HIT_CAP, SCHEDULER
from t3sim.kernels import IntArray, kernel, lowest_bit


@kernel
def tick(channel: Channel, timing: IntArray, control: IntArray, now: int) -> int:
    """Issue this cycle's commands; return the slot of the request whose column command was issued, or ``NONE``.

    What the slot holds stays readable until something is enqueued. ``scalars[SOONEST]`` is the next cycle in which
    anything can happen if nothing arrives.
    """
    scalars = channel.scalars
    if now >= scalars[c.NEXT_REFRESH]:
        scalars[c.REFRESHES] += 1
        scalars[c.NEXT_REFRESH] += timing[t.REFI]
    refreshing = scalars[c.REFRESHES] > 0
    if not refreshing:
        _turn(scalars, control)
    slot = c.NONE
    if now >= scalars[c.COLUMN_SOONEST]:
        slot = _column_command(channel, timing, control, now)
    if refreshing:
        row = _refresh(channel, timing, now)
    else:
        _turn(scalars, control)
        if now >= scalars[c.ROW_SOONEST]:
            _row_command(channel, timing, control, now)
        row = now + 1 if _turns(scalars, control) else scalars[c.ROW_SOONEST]
    scalars[c.SOONEST] = max(now + 1, min(scalars[c.COLUMN_SOONEST], row, scalars[c.NEXT_REFRESH]))
    return slot


@kernel
def arrived(channel: Channel, control: IntArray, bank: int, kind: int, now: int) -> None:
    """Bring the next cycles of interest forward for a request that was just enqueued."""
    scalars, banks = channel.scalars, channel.banks
    queue = 1 if kind else 0
    if _turns(scalars, control):
        scalars[c.SOONEST] = min(scalars[c.SOONEST], now + 1)
    if queue != scalars[c.WRITE_MODE]:
        return  # a turn looks at all
    slot = banks[bank, c.TAIL + queue]
    if banks[bank, c.HIT + queue] == slot:
        soonest = max(_column_ready(channel, bank, queue == 1), now + 1)
        scalars[c.COLUMN_SOONEST] = min(scalars[c.COLUMN_SOONEST], soonest)
    elif control[SCHEDULER] != FRFCFS and banks[bank, c.HEAD + queue] != slot:
        return  # older requests of the bank come first
    elif banks[bank, c.ACTIVE] == c.NONE:
        soonest = max(_row_ready(channel, bank), now + 1)
        scalars[c.ROW_SOONEST] = min(scalars[c.ROW_SOONEST], soonest)
    else:
        return  # the end of the bank's column command looks at it
    if not scalars[c.REFRESHES]:
        scalars[c.SOONEST] = min(scalars[c.SOONEST], soonest)


@kernel
def _turns(scalars: IntArray, control: IntArray) -> bool:
    """Whether the other queue's turn has come."""
    if scalars[c.WRITE_MODE]:
        return bool(scalars[c.WRITES] < control[DRAIN_TO] and scalars[c.READS] > 0)
    return bool(scalars[c.WRITES] >= control[DRAIN_FROM] or scalars[c.READS] == 0)


@kernel
def _turn(scalars: IntArray, control: IntArray) -> None:
    """Decide whether reads (0) or writes (1) are served."""
    if _turns(scalars, control):
        scalars[c.WRITE_MODE] = 1 - scalars[c.WRITE_MODE]
        scalars[c.COLUMN_SOONEST] = scalars[c.ROW_SOONEST] = 0


@kernel
def _column_command(channel: Channel, timing: IntArray, control: IntArray, now: int) -> int:
    """Issue RD or WR if one may be now; return the slot of its request, or ``NONE``."""
    scalars = channel.scalars
    queue = scalars[c.WRITE_MODE]
    hits = _eligible_hits(channel, control, queue) if scalars[c.REFRESHES] == 0 else 0
    bus_free = min(scalars[c.CHANNEL_RD], scalars[c.CHANNEL_WR])
    slot, soonest = _oldest_ready(channel, scalars[c.ACTIVE_BANKS], c.ACTIVE, bus_free, now)
    if slot == c.NONE:
        slot, ready = _oldest_ready(channel, hits, c.HIT + queue, scalars[c.CHANNEL_RD + queue], now)
        soonest = min(soonest, ready)
    elif hits:
        soonest = now
    if slot != c.NONE:
        c.issue_column(channel, timing, slot, now)
        bank = channel.entries[slot, c.BANK]
        if channel.banks[bank, c.HIT + queue] != c.NONE:
            soonest = min(soonest, _column_ready(channel, bank, queue == 1))
        if control[SCHEDULER] == FCFS:
            soonest = scalars[c.ROW_SOONEST] = now  # another request is the oldest
        soonest = max(soonest, min(scalars[c.CHANNEL_RD], scalars[c.CHANNEL_WR]))
    scalars[c.COLUMN_SOONEST] = soonest
    return slot


@kernel
def _column_ready(channel: Channel, bank: int, is_write: bool) -> int:
    group = channel.banks[bank, c.GROUP]
    if is_write:
        bank_ready = max(channel.groups[group, c.GROUP_WR], channel.banks[bank, c.BANK_WR])
        return int(max(channel.scalars[c.CHANNEL_WR], bank_ready))
    bank_ready = max(channel.groups[group, c.GROUP_RD], channel.banks[bank, c.BANK_RD])
    return int(max(channel.scalars[c.CHANNEL_RD], bank_ready))


@kernel
def _row_ready(channel: Channel, bank: int) -> int:
    """Cycle from which the timings allow the bank's PRE if it is open, else its ACT."""
    scalars, banks = channel.scalars, channel.banks
    if banks[bank, c.OPEN_ROW] != c.NONE:
        return int(max(scalars[c.ROW_BUS], banks[bank, c.BANK_PRE]))
    bank_ready = max(channel.groups[banks[bank, c.GROUP], c.GROUP_ACT], banks[bank, c.BANK_ACT])
    return int(max(scalars[c.CHANNEL_ACT], scalars[c.ROW_BUS], bank_ready))


@kernel
def _oldest_ready(channel: Channel, chosen: int, column: int, bus_free: int, now: int) -> tuple[int, int]:
    """Find the oldest of the requests that banks ``chosen`` name in ``column`` which may have its RD or WR now.

    Returns its slot, or ``NONE``, and a cycle before which no other one may. ``bus_free``: such a cycle by what the
    channel as a whole allows.
    """
    banks, entries = channel.banks, channel.entries
    if not chosen or bus_free > now:
        return c.NONE, bus_free if chosen else c.NEVER
    best, best_age, soonest = c.NONE, c.NEVER, c.NEVER
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        slot = banks[bank, column]
        is_write = entries[slot, c.KIND] != c.READ if column == c.ACTIVE else column == c.HIT + 1
        ready = _column_ready(channel, bank, is_write)
        if ready > now:
            soonest = min(soonest, ready)
            continue
        if best != c.NONE:
            soonest = now
        if entries[slot, c.AGE] < best_age:
            best, best_age = slot, entries[slot, c.AGE]
    return best, soonest


@kernel
def _oldest(channel: Channel, queue: int) -> int:
    """Find the oldest request of a queue."""
    best, best_age = c.NONE, c.NEVER
    for bank in range(channel.banks.shape[0]):
        slot = channel.banks[bank, c.HEAD + queue]
        if slot != c.NONE and channel.entries[slot, c.AGE] < best_age:
            best, best_age = slot, channel.entries[slot, c.AGE]
    return best


@kernel
def _eligible_hits(channel: Channel, control: IntArray, queue: int) -> int:
    """Choose the banks whose oldest row hit may be served."""
    hits = channel.scalars[c.HIT_BANKS + queue]
    if control[SCHEDULER] == FCFS and hits:
        oldest = _oldest(channel, queue)
        bank = channel.entries[oldest, c.BANK]
        return int(1 << bank if channel.banks[bank, c.HIT + queue] == oldest else 0)
    if control[HIT_CAP]:
        for bank in range(channel.banks.shape[0]):
            if _capped(channel, bank, queue, control[HIT_CAP]):
                hits &= ~(1 << bank)
    return int(hits)


@kernel
def _capped(channel: Channel, bank: int, queue: int, hit_cap: int) -> bool:
    """Whether the bank has served so many younger hits that an older request's row is due."""
    banks = channel.banks
    is_late = banks[bank, c.HIT_RUN] >= hit_cap > 0
    return bool(is_late and banks[bank, c.HEAD + queue] != banks[bank, c.HIT + queue])


@kernel
def _refresh(channel: Channel, timing: IntArray, now: int) -> int:
    """Close all banks, then refresh them, once no opened row is waited for; return when to look again."""
    scalars = channel.scalars
    if scalars[c.ACTIVE_BANKS]:
        return c.NEVER
    ready = max(scalars[c.CHANNEL_PREAB if scalars[c.OPEN_BANKS] else c.CHANNEL_REF], scalars[c.ROW_BUS])
    if ready > now:
        return int(ready)
    c.issue_refresh(channel, timing, now)
    return now + 1


@kernel
def _closable(channel: Channel, bank: int, queue: int, control: IntArray) -> int:
    """Find the request for which the bank's open row may be closed, or ``NONE``."""
    banks, entries = channel.banks, channel.entries
    slot, hit = banks[bank, c.HEAD + queue], banks[bank, c.HIT + queue]
    if banks[bank, c.ACTIVE] != c.NONE or slot == c.NONE:
        return c.NONE
    if control[SCHEDULER] == FRFCFS:
        while slot != c.NONE and entries[slot, c.ROW] == banks[bank, c.OPEN_ROW]:
            slot = entries[slot, c.NEXT]
        return int(slot)
    if slot == hit:
        return c.NONE
    if control[SCHEDULER] == FCFS:
        return int(slot)
    # Hits of the same cycle count as older.
    if hit != c.NONE and entries[hit, c.ARRIVED] <= entries[slot, c.ARRIVED]:
        return int(slot) if _capped(channel, bank, queue, control[HIT_CAP]) else c.NONE
    return int(slot)


@kernel
def _oldest_closable(channel: Channel, control: IntArray, chosen: int, only: int, now: int) -> tuple[int, int, int]:
    """Find the oldest request for which one of the open banks ``chosen`` may have its PRE now.

    Returns its slot, or ``NONE``; how many may; and a cycle before which no other one may.
    """
    banks, entries = channel.banks, channel.entries
    queue = channel.scalars[c.WRITE_MODE]
    best, best_age, count, soonest = c.NONE, c.NEVER, 0, c.NEVER
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        ready = banks[bank, c.BANK_PRE]
        if ready > now:
            soonest = min(soonest, ready)
            continue
        slot = _closable(channel, bank, queue, control)
        if slot == c.NONE or only not in (c.NONE, slot):
            continue
        count += 1
        if entries[slot, c.AGE] < best_age:
            best, best_age = slot, entries[slot, c.AGE]
    return best, count, soonest


@kernel
def _oldest_openable(channel: Channel, chosen: int, only: int, now: int) -> tuple[int, int, int]:
    """Find the oldest request for which one of the closed banks ``chosen`` may have its ACT now; as for PRE."""
    banks, groups, entries = channel.banks, channel.groups, channel.entries
    queue = channel.scalars[c.WRITE_MODE]
    best, best_age, count, soonest = c.NONE, c.NEVER, 0, c.NEVER
    if chosen and channel.scalars[c.CHANNEL_ACT] > now:
        return c.NONE, 0, int(channel.scalars[c.CHANNEL_ACT])
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        slot = banks[bank, c.HEAD + queue]
        ready = max(groups[banks[bank, c.GROUP], c.GROUP_ACT], banks[bank, c.BANK_ACT])
        if ready > now:
            soonest = min(soonest, ready)
        elif only in (c.NONE, slot):
            count += 1
            if entries[slot, c.AGE] < best_age:
                best, best_age = slot, entries[slot, c.AGE]
    return best, count, soonest


@kernel
def _row_command(channel: Channel, timing: IntArray, control: IntArray, now: int) -> None:
    """Issue ACT or PRE for the oldest request of the queue at turn that can have it now."""
    scalars, entries = channel.scalars, channel.entries
    queue = scalars[c.WRITE_MODE]
    chosen = scalars[(c.WAITING_BANKS if control[SCHEDULER] == FRFCFS else c.ROW_BANKS) + queue]
    if not chosen or scalars[c.ROW_BUS] > now:
        scalars[c.ROW_SOONEST] = scalars[c.ROW_BUS] if chosen else c.NEVER
        return
    only = _oldest(channel, queue) if control[SCHEDULER] == FCFS else c.NONE
    opened = scalars[c.OPEN_BANKS]
    close, closable, next_pre = _oldest_closable(channel, control, chosen & opened, only, now)
    activate, openable, next_act = _oldest_openable(channel, chosen & ~opened, only, now)
    if close == c.NONE and activate == c.NONE:
        scalars[c.ROW_SOONEST] = min(next_act, next_pre)
        return
    if close == c.NONE or (activate != c.NONE and entries[activate, c.AGE] < entries[close, c.AGE]):
        c.issue_activate(channel, timing, activate, now)
        openable -= 1
    else:
        c.issue_precharge(channel, timing, close, now)
        closable -= 1
        next_act = min(next_act, _row_ready(channel, entries[close, c.BANK]))
    # Those that may now may so next: ACTs when the channel's spacing allows.
    soonest = min(max(now if openable else next_act, scalars[c.CHANNEL_ACT]), now if closable else next_pre)
    if control[SCHEDULER] == FCFS:
        soonest = scalars[c.COLUMN_SOONEST] = now + 1  # another request is the oldest
    scalars[c.ROW_SOONEST] = max(soonest, scalars[c.ROW_BUS])
