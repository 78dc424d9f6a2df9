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
from t3sim.kernels import IntArray, kernel, lowest_bit

SCHEDULERS = ("frfcfs-row-hit", "frfcfs", "fcfs")
_ROW_HIT, _FRFCFS, _FCFS = range(3)

# Entries of the control array.
SCHEDULER, HIT_CAP, DRAIN_FROM, DRAIN_TO, READ_ENTRIES, WRITE_ENTRIES = range(6)


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
    bus_free = min(scalars[c.CHANNEL_RD], scalars[c.CHANNEL_WR])
    slot, column = _oldest_ready(channel, scalars[c.ACTIVE_BANKS], c.ACTIVE, bus_free, now)
    if slot == c.NONE and scalars[c.REFRESHES] == 0:
        queue = _turn(scalars, control)
        hits = _eligible_hits(channel, control, queue)
        slot, ready = _oldest_ready(channel, hits, c.HIT + queue, scalars[c.CHANNEL_RD + queue], now)
        column = min(column, ready)
    if slot != c.NONE:
        c.issue_column(channel, timing, slot, now)
        column = min(scalars[c.CHANNEL_RD], scalars[c.CHANNEL_WR])
    row = _refresh(channel, timing, now) if scalars[c.REFRESHES] else _row_command(channel, timing, control, now)
    scalars[c.SOONEST] = min(column, row, scalars[c.NEXT_REFRESH])
    return slot


@kernel
def arrived(channel: Channel, control: IntArray, bank: int, kind: int, now: int) -> None:
    """Bring the next cycle of interest forward for a request that was just enqueued."""
    scalars, banks = channel.scalars, channel.banks
    queue = 1 if kind else 0
    soonest = now + 1
    served = scalars[c.WRITE_MODE]
    if queue == served and not _turns(scalars, control):
        if scalars[c.REFRESHES]:
            return  # its end wakes the channel
        if banks[bank, c.HIT + queue] == banks[bank, c.TAIL + queue]:
            soonest = _column_ready(channel, bank, queue == 1)
        elif control[SCHEDULER] != _FRFCFS and banks[bank, c.HEAD + queue] != banks[bank, c.TAIL + queue]:
            return  # older requests of the bank come first
    elif queue != served and not _turns(scalars, control):
        return
    scalars[c.SOONEST] = min(scalars[c.SOONEST], max(soonest, now + 1))


@kernel
def _turns(scalars: IntArray, control: IntArray) -> bool:
    """Whether the other queue's turn has come."""
    if scalars[c.WRITE_MODE]:
        return bool(scalars[c.WRITES] < control[DRAIN_TO] and scalars[c.READS] > 0)
    return bool(scalars[c.WRITES] >= control[DRAIN_FROM] or scalars[c.READS] == 0)


@kernel
def _turn(scalars: IntArray, control: IntArray) -> int:
    """Decide whether reads (0) or writes (1) are served."""
    if _turns(scalars, control):
        scalars[c.WRITE_MODE] = 1 - scalars[c.WRITE_MODE]
    return int(scalars[c.WRITE_MODE])


@kernel
def _column_ready(channel: Channel, bank: int, is_write: bool) -> int:
    group = channel.banks[bank, c.GROUP]
    if is_write:
        bank_ready = max(channel.groups[group, c.GROUP_WR], channel.banks[bank, c.BANK_WR])
        return int(max(channel.scalars[c.CHANNEL_WR], bank_ready))
    bank_ready = max(channel.groups[group, c.GROUP_RD], channel.banks[bank, c.BANK_RD])
    return int(max(channel.scalars[c.CHANNEL_RD], bank_ready))


@kernel
def _oldest_ready(channel: Channel, chosen: int, column: int, bus_free: int, now: int) -> tuple[int, int]:
    """Find the oldest of the requests that banks ``chosen`` name in ``column`` which may have its RD or WR now.

    Returns its slot and ``now``, or ``NONE`` and a cycle before which none may. ``bus_free``: such a cycle by what
    the channel as a whole allows.
    """
    banks, entries = channel.banks, channel.entries
    if not chosen or bus_free > now:
        return c.NONE, bus_free if chosen else c.NEVER
    best, best_age, soonest = c.NONE, c.NEVER, c.NEVER
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        slot = banks[bank, column]
        ready = _column_ready(channel, bank, entries[slot, c.KIND] != c.READ)
        if ready > now:
            soonest = min(soonest, ready)
        elif entries[slot, c.AGE] < best_age:
            best, best_age = slot, entries[slot, c.AGE]
    return best, soonest if best == c.NONE else now


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
    if control[SCHEDULER] == _FCFS and hits:
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
    if control[SCHEDULER] == _FRFCFS:
        while slot != c.NONE and entries[slot, c.ROW] == banks[bank, c.OPEN_ROW]:
            slot = entries[slot, c.NEXT]
        return int(slot)
    if slot == hit:
        return c.NONE
    if control[SCHEDULER] == _FCFS:
        return int(slot)
    # Hits of the same cycle count as older.
    if hit != c.NONE and entries[hit, c.ARRIVED] <= entries[slot, c.ARRIVED]:
        return int(slot) if _capped(channel, bank, queue, control[HIT_CAP]) else c.NONE
    return int(slot)


@kernel
def _row_command(channel: Channel, timing: IntArray, control: IntArray, now: int) -> int:
    """Issue ACT or PRE for the oldest request of the queue at turn that can have it now; say when to look again."""
    scalars, banks, entries = channel.scalars, channel.banks, channel.entries
    queue = _turn(scalars, control)
    chosen = scalars[(c.WAITING_BANKS if control[SCHEDULER] == _FRFCFS else c.ROW_BANKS) + queue]
    only = _oldest(channel, queue) if control[SCHEDULER] == _FCFS and chosen else c.NONE
    best, best_age, soonest = c.NONE, c.NEVER, c.NEVER
    if not chosen or scalars[c.ROW_BUS] > now:
        return int(scalars[c.ROW_BUS]) if chosen else c.NEVER
    if scalars[c.CHANNEL_ACT] > now and chosen & ~scalars[c.OPEN_BANKS]:
        soonest = scalars[c.CHANNEL_ACT]
        chosen &= scalars[c.OPEN_BANKS]
    while chosen:
        bank = lowest_bit(chosen)
        chosen &= chosen - 1
        slot = banks[bank, c.HEAD + queue]
        if banks[bank, c.OPEN_ROW] == c.NONE:
            ready = max(channel.groups[banks[bank, c.GROUP], c.GROUP_ACT], banks[bank, c.BANK_ACT])
        else:
            slot = _closable(channel, bank, queue, control)
            ready = banks[bank, c.BANK_PRE]
        if slot == c.NONE or only not in (c.NONE, slot):
            continue
        if ready > now:
            soonest = min(soonest, ready)
        elif entries[slot, c.AGE] < best_age:
            best, best_age = slot, entries[slot, c.AGE]
    if best == c.NONE:
        return int(soonest)
    if banks[entries[best, c.BANK], c.OPEN_ROW] == c.NONE:
        c.issue_activate(channel, timing, best, now)
    else:
        c.issue_precharge(channel, timing, best, now)
    return now + 1
