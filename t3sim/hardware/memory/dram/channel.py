"""State of one channel and the commands that change it; compiled.

Requests wait in a read queue and a write queue (updates are writes that keep their bank group for longer). Each bank
keeps its requests of either queue in a list, oldest first, and knows the oldest that hits its open row: finding the
next command then looks at banks, not at requests, and sets of banks (bits of one integer) name those worth a look.
"""

from typing import NamedTuple

import numpy as np

from t3sim.hardware.memory.dram import timing as t
from t3sim.kernels import IntArray, kernel

NEVER = 2**62
NONE = -1
READ, WRITE, UPDATE = range(3)

# Columns of Channel.banks; the last six: by queue, reads then writes.
GROUP, OPEN_ROW, BANK_ACT, BANK_PRE, BANK_RD, BANK_WR, ACTIVE, HIT_RUN = range(8)
HEAD, TAIL, HIT = 8, 10, 12
_BANK_COLUMNS = 14
# Columns of Channel.groups.
GROUP_ACT, GROUP_RD, GROUP_WR = range(3)
# Columns of Channel.entries.
BANK, ROW, KIND, ARRIVED, AGE, NEXT, TAG, TOUCHED = range(8)
# Entries of Channel.scalars: times first.
(
    CHANNEL_RD,
    CHANNEL_WR,
    CHANNEL_ACT,
    ROW_BUS,
    CHANNEL_PREAB,
    CHANNEL_REF,
    NEXT_REFRESH,
    SOONEST,
    COLUMN_SOONEST,
    ROW_SOONEST,
    READS,
    WRITES,
    ACTIVE_BANKS,
    OPEN_BANKS,
    HIT_BANKS,
    _HIT_BANKS_WR,
    ROW_BANKS,
    _ROW_BANKS_WR,
    WAITING_BANKS,
    _WAITING_BANKS_WR,
    FREE,
    YOUNGEST,
    WRITE_MODE,
    REFRESHES,
    ACTS,
    BUS_CYCLES,
    ROW_HITS,
    ROW_MISSES,
    ROW_CONFLICTS,
) = range(29)
_SCALARS = 29
_FAW_ACTS = 4
_ORDER_BITS = 20
_LONGEST_WAIT = 2**_ORDER_BITS - 1


class Channel(NamedTuple):
    """All that changes in a channel; times in cycles of the command clock."""

    banks: IntArray
    """(banks, 14): its group, open row, earliest ACT, PRE, RD and WR, request whose row was opened for it, hits served
    past an older request; by queue: head, tail and oldest hit of the bank's requests in the read and write queue."""
    groups: IntArray
    """(bank groups, 3): earliest ACT, RD and WR."""
    entries: IntArray
    """(queue entries and one a bank, 8): bank, row, kind, arrival, age, next in its list, tag, any command issued."""
    acts: IntArray
    """(4,): the last four ACTs."""
    scalars: IntArray
    """(29,): earliest commands of the channel; cycles before which no tick, column or row command does anything; sizes
    of its queues; sets of its banks by what they need; counts."""


def new_channel(bank_groups: int, banks_per_group: int, queue_entries: int, first_refresh: int) -> Channel:
    """Make an idle channel with all banks closed; ``first_refresh``: cycle of the first, 0 for none."""
    banks = np.zeros((bank_groups * banks_per_group, _BANK_COLUMNS), np.int64)
    banks[:, GROUP] = np.arange(len(banks)) // banks_per_group
    banks[:, OPEN_ROW] = NONE
    banks[:, ACTIVE] = NONE
    banks[:, HEAD:] = NONE
    slots = queue_entries + len(banks)
    entries = np.zeros((slots, 8), np.int64)
    entries[:, NEXT] = np.arange(1, slots + 1)
    entries[-1, NEXT] = NONE
    scalars = np.zeros(_SCALARS, np.int64)
    scalars[NEXT_REFRESH] = first_refresh or NEVER
    scalars[SOONEST] = 1  # as in any cycle without reads, it turns to writes
    return Channel(
        banks,
        np.zeros((bank_groups, 3), np.int64),
        entries,
        np.full(_FAW_ACTS, -NEVER, np.int64),
        scalars,
    )


@kernel
def enqueue(channel: Channel, bank: int, row: int, kind: int, arrived: int, tag: int) -> None:
    """Put a request into the queue of its kind; the caller has seen that there is room."""
    banks, entries, scalars = channel.banks, channel.entries, channel.scalars
    slot = scalars[FREE]
    scalars[FREE] = entries[slot, NEXT]
    queue = 1 if kind else 0
    scalars[READS + queue] += 1
    scalars[YOUNGEST] += 1
    entries[slot, BANK] = bank
    entries[slot, ROW] = row
    entries[slot, KIND] = kind
    entries[slot, ARRIVED] = arrived
    entries[slot, AGE] = scalars[YOUNGEST]
    entries[slot, NEXT] = NONE
    entries[slot, TAG] = tag
    entries[slot, TOUCHED] = 0
    if banks[bank, HEAD + queue] == NONE:
        banks[bank, HEAD + queue] = slot
    else:
        entries[banks[bank, TAIL + queue], NEXT] = slot
    banks[bank, TAIL + queue] = slot
    if banks[bank, OPEN_ROW] == row and banks[bank, HIT + queue] == NONE:
        banks[bank, HIT + queue] = slot
    _sort_bank(channel, bank, queue)


@kernel
def _sort_bank(channel: Channel, bank: int, queue: int) -> None:
    """Note what the bank has in this queue: a hit, a head that needs another row, anything."""
    banks, scalars = channel.banks, channel.scalars
    bit = 1 << bank
    if banks[bank, HIT + queue] == NONE:
        scalars[HIT_BANKS + queue] &= ~bit
    else:
        scalars[HIT_BANKS + queue] |= bit
    if banks[bank, HEAD + queue] == banks[bank, HIT + queue]:
        scalars[ROW_BANKS + queue] &= ~bit
    else:
        scalars[ROW_BANKS + queue] |= bit
    if banks[bank, HEAD + queue] == NONE:
        scalars[WAITING_BANKS + queue] &= ~bit
    else:
        scalars[WAITING_BANKS + queue] |= bit


@kernel
def _unlink(channel: Channel, bank: int, queue: int, slot: int) -> None:
    """Take a request out of its bank's list."""
    banks, entries = channel.banks, channel.entries
    after = entries[slot, NEXT]
    before = NONE
    at = banks[bank, HEAD + queue]
    while at != slot:
        before = at
        at = entries[at, NEXT]
    if before == NONE:
        banks[bank, HEAD + queue] = after
    else:
        entries[before, NEXT] = after
    if after == NONE:
        banks[bank, TAIL + queue] = before
    channel.scalars[READS + queue] -= 1


@kernel
def _find_hit(channel: Channel, bank: int, queue: int, start: int) -> None:
    """Find the oldest request from ``start`` on that hits the bank's open row."""
    entries = channel.entries
    row = channel.banks[bank, OPEN_ROW]
    at = start
    while at != NONE and entries[at, ROW] != row:
        at = entries[at, NEXT]
    channel.banks[bank, HIT + queue] = at
    _sort_bank(channel, bank, queue)


@kernel
def issue_column(channel: Channel, timing: IntArray, slot: int, now: int) -> None:
    """Issue RD or WR for the request in ``slot``, which leaves the channel."""
    banks, groups, entries, scalars = channel.banks, channel.groups, channel.entries, channel.scalars
    bank, kind = entries[slot, BANK], entries[slot, KIND]
    group = banks[bank, GROUP]
    queue = 1 if kind else 0
    if banks[bank, ACTIVE] == slot:
        banks[bank, ACTIVE] = NONE
        scalars[ACTIVE_BANKS] &= ~(1 << bank)
    else:
        banks[bank, HIT_RUN] += banks[bank, HEAD + queue] != slot
        after = entries[slot, NEXT]
        _unlink(channel, bank, queue, slot)
        _find_hit(channel, bank, queue, after)
        scalars[ROW_HITS] += 1 - entries[slot, TOUCHED]
    if kind == READ:
        scalars[CHANNEL_RD] = now + timing[t.RD_TO_RD_S]
        scalars[CHANNEL_WR] = max(scalars[CHANNEL_WR], now + timing[t.RD_TO_WR])
        groups[group, GROUP_RD] = max(groups[group, GROUP_RD], now + timing[t.RD_TO_RD_L])
        closed = now + timing[t.RD_TO_PRE]
    else:
        update = kind == UPDATE
        scalars[CHANNEL_WR] = now + timing[t.WR_TO_WR_S]
        scalars[CHANNEL_RD] = max(scalars[CHANNEL_RD], now + timing[t.WR_TO_RD_S])
        groups[group, GROUP_WR] = now + (timing[t.UPDATE_TO_WR_L] if update else timing[t.WR_TO_WR_L])
        groups[group, GROUP_RD] = max(groups[group, GROUP_RD], now + timing[t.WR_TO_RD_L])
        closed = now + (timing[t.UPDATE_TO_PRE] if update else timing[t.WR_TO_PRE])
    banks[bank, BANK_PRE] = max(banks[bank, BANK_PRE], closed)
    scalars[ROW_SOONEST] = min(scalars[ROW_SOONEST], banks[bank, BANK_PRE])
    scalars[CHANNEL_PREAB] = max(scalars[CHANNEL_PREAB], closed)
    scalars[BUS_CYCLES] += timing[t.BL]
    entries[slot, NEXT] = scalars[FREE]
    scalars[FREE] = slot


@kernel
def issue_activate(channel: Channel, timing: IntArray, slot: int, now: int) -> None:
    """Open the row of the request in ``slot``, which leaves its queue: its column command comes next in the bank."""
    banks, groups, entries, scalars = channel.banks, channel.groups, channel.entries, channel.scalars
    bank = entries[slot, BANK]
    group = banks[bank, GROUP]
    scalars[ROW_MISSES] += 1 - entries[slot, TOUCHED]
    entries[slot, TOUCHED] = 1
    _unlink(channel, bank, 1 if entries[slot, KIND] else 0, slot)
    banks[bank, ACTIVE] = slot
    # From now on it competes with opened rows only: by cycle of arrival, then in order of activation.
    entries[slot, AGE] = (entries[slot, ARRIVED] << _ORDER_BITS) + min(now - entries[slot, ARRIVED], _LONGEST_WAIT)
    scalars[ACTIVE_BANKS] |= 1 << bank
    scalars[OPEN_BANKS] |= 1 << bank
    banks[bank, OPEN_ROW] = entries[slot, ROW]
    banks[bank, HIT_RUN] = 0
    for queue in range(2):
        _find_hit(channel, bank, queue, banks[bank, HEAD + queue])
    banks[bank, BANK_RD] = now + timing[t.ACT_TO_RD]
    banks[bank, BANK_WR] = now + timing[t.ACT_TO_WR]
    banks[bank, BANK_PRE] = max(banks[bank, BANK_PRE], now + timing[t.ACT_TO_PRE])
    banks[bank, BANK_ACT] = now + timing[t.ACT_TO_ACT]
    scalars[COLUMN_SOONEST] = min(scalars[COLUMN_SOONEST], banks[bank, BANK_WR if entries[slot, KIND] else BANK_RD])
    groups[group, GROUP_ACT] = now + timing[t.ACT_TO_ACT_L]
    channel.acts[scalars[ACTS] % _FAW_ACTS] = now
    scalars[ACTS] += 1
    in_window = channel.acts[scalars[ACTS] % _FAW_ACTS] + timing[t.FAW]
    scalars[CHANNEL_ACT] = max(scalars[CHANNEL_ACT], now + timing[t.ACT_TO_ACT_S], in_window)
    scalars[ROW_BUS] = now + timing[t.ACT_BUS]
    scalars[CHANNEL_PREAB] = max(scalars[CHANNEL_PREAB], now + timing[t.ACT_TO_PRE])
    scalars[CHANNEL_REF] = max(scalars[CHANNEL_REF], now + timing[t.ACT_TO_REF])


@kernel
def issue_precharge(channel: Channel, timing: IntArray, slot: int, now: int) -> None:
    """Close the row that is in the way of the request in ``slot``."""
    scalars = channel.scalars
    bank = channel.entries[slot, BANK]
    scalars[ROW_CONFLICTS] += 1 - channel.entries[slot, TOUCHED]
    channel.entries[slot, TOUCHED] = 1
    _close(channel, bank)
    channel.banks[bank, BANK_ACT] = max(channel.banks[bank, BANK_ACT], now + timing[t.PRE_TO_ACT])
    scalars[ROW_BUS] = now + 1
    scalars[CHANNEL_REF] = max(scalars[CHANNEL_REF], now + timing[t.PRE_TO_REF])


@kernel
def issue_refresh(channel: Channel, timing: IntArray, now: int) -> None:
    """Close all banks for a refresh; once they are, refresh them."""
    scalars = channel.scalars
    if scalars[OPEN_BANKS]:
        for bank in range(channel.banks.shape[0]):
            _close(channel, bank)
        scalars[CHANNEL_ACT] = max(scalars[CHANNEL_ACT], now + timing[t.PRE_TO_ACT])
        scalars[CHANNEL_REF] = max(scalars[CHANNEL_REF], now + timing[t.PRE_TO_REF])
    else:
        scalars[REFRESHES] -= 1
        scalars[COLUMN_SOONEST] = scalars[ROW_SOONEST] = now + 1
        scalars[CHANNEL_ACT] = max(scalars[CHANNEL_ACT], now + timing[t.REF_TO_ACT])
        scalars[CHANNEL_PREAB] = max(scalars[CHANNEL_PREAB], now + timing[t.REF_TO_PRE])
    scalars[ROW_BUS] = now + 1


@kernel
def _close(channel: Channel, bank: int) -> None:
    banks = channel.banks
    banks[bank, OPEN_ROW] = NONE
    banks[bank, HIT_RUN] = 0
    channel.scalars[OPEN_BANKS] &= ~(1 << bank)
    for queue in range(2):
        banks[bank, HIT + queue] = NONE
        _sort_bank(channel, bank, queue)
