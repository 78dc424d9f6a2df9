"""One simulated channel behind arbitration: lanes of requests in, bursts out; compiled.

As in the fluid channel, requests wait in four lanes (stream, read or write) until the policy lets them into the queues
of the channel. A copy of the state runs ahead to the next burst that completes; when nothing arrives before, the copy
becomes the state, so that undisturbed cycles are simulated once.
"""

from typing import NamedTuple

import numpy as np

from t3sim.hardware.memory.dram import channel as c
from t3sim.hardware.memory.dram import scheduler as s
from t3sim.hardware.memory.dram import timing as t
from t3sim.hardware.memory.dram.channel import Channel, new_channel
from t3sim.hardware.memory.dram.control import READ_ENTRIES, ControlSpec
from t3sim.hardware.memory.dram.timing import DramSpec, timing_array
from t3sim.hardware.memory.frontend import LANES
from t3sim.hardware.memory.interleave import BANK, BURST, ROW, requests_of
from t3sim.hardware.memory.turns import new_turns, next_stream
from t3sim.kernels import IntArray, copy_items, kernel
from t3sim.lowering.layout import Region

# Columns of Lanes.lanes.
HEAD, TAIL = range(2)
# Entries of Lanes.scalars.
CLOCK = 0
_BURSTS = 256


class Lanes(NamedTuple):
    """What waits before the channel, and what of each burst is left."""

    lanes: IntArray
    """(4, 2): next request to admit, end of what may be admitted."""
    left: IntArray
    """(slots,): requests of each burst not served."""
    scalars: IntArray
    """(1,): last cycle."""
    turns: IntArray
    """See ``turns``."""


class BankedChannel:
    """One channel of a GPU's memory; advanced lazily and exactly by compiled code."""

    def __init__(self, dram: DramSpec, control: ControlSpec, mapping: IntArray, spread: IntArray, number: int) -> None:
        self.number = number
        self._timing = timing_array(dram, refresh=control.refresh)
        self._control = control.array()
        self._mapping, self._spread = mapping, spread
        entries = control.read_entries + control.write_entries
        first_refresh = int(self._timing[t.REFI])
        self._channel, self._ahead_channel = (
            new_channel(dram.bank_groups, dram.banks_per_group, entries, first_refresh) for _ in range(2)
        )
        self._lanes, self._ahead_lanes = (_new_lanes(_BURSTS) for _ in range(2))
        self._rings = np.zeros((LANES, 4096, 3), np.int64)
        self._tails = np.zeros(LANES, np.int64)
        # Every burst that is not served has a slot, whatever overtakes it.
        self._free = list(range(_BURSTS))
        self._bursts = [(0, 0)] * _BURSTS
        """Lane and number there of the burst in each slot."""
        self._updates = np.zeros(_BURSTS, np.int64)
        self._completed = np.zeros((_BURSTS, 2), np.int64)
        self._ahead_done = 0
        self._table = np.zeros(0, np.int64)
        self._planned = 0
        """Cycle that the copy has run to; 0 where it is of no use."""

    @property
    def bus_cycles(self) -> int:
        """Cycles in which data moved."""
        return int(self._channel.scalars[c.BUS_CYCLES])

    @property
    def occupancy(self) -> int:
        """Requests in the read and the write queue."""
        return int(self._channel.scalars[c.READS] + self._channel.scalars[c.WRITES])

    def push(self, lane: int, region: Region, number: int, *, is_update: bool) -> bool:
        """Append a burst; return whether any of it falls to this channel."""
        tail, empty = int(self._tails[lane]), self._rings[lane, :0]
        count = requests_of(region, self._spread, self._mapping, self.number, empty, 0, 0)
        if not count:
            return False
        while tail + count - int(self._lanes.lanes[lane, HEAD]) > self._rings.shape[1]:
            self._grow_rings()
        if not self._free:
            self._add_slots()
        slot = self._free.pop()
        requests_of(region, self._spread, self._mapping, self.number, self._rings[lane], tail, slot)
        self._bursts[slot] = lane, number
        self._updates[slot] = is_update
        self._lanes.left[slot] = count
        self._tails[lane] = tail + count
        self._planned = 0
        return True

    def advance(self, table: IntArray, cycle: int) -> list[tuple[int, int, int]]:
        """Serve the cycles up to ``cycle``; return the bursts this completed: lane, number, cycle of the last data."""
        if self._planned and self._planned == cycle:
            self._channel, self._ahead_channel = self._ahead_channel, self._channel
            self._lanes, self._ahead_lanes = self._ahead_lanes, self._lanes
            self._planned = 0
            done = self._ahead_done
        else:
            done = self._run(self._channel, self._lanes, table, cycle, only_first=False)
        served: list[list[int]] = self._completed[:done].tolist() if done else []
        self._free += [slot for slot, _ in served]
        return [(*self._bursts[slot], end) for slot, end in served]

    def admit(self, table: IntArray, cycle: int) -> int:
        """Let in what was pushed, at ``cycle``; the cycle in which the next burst has its last command, or 0."""
        if self._planned > cycle and table is self._table:
            return self._planned
        self._table = table
        self._lanes.lanes[:, TAIL] = self._tails
        self._lanes.scalars[CLOCK] = max(cycle, int(self._lanes.scalars[CLOCK]))
        _copy_channel(self._channel, self._ahead_channel)
        _copy_lanes(self._lanes, self._ahead_lanes)
        self._ahead_done = self._run(self._ahead_channel, self._ahead_lanes, table, c.NEVER - 1, only_first=True)
        self._planned = int(self._ahead_lanes.scalars[CLOCK]) if self._ahead_done else 0
        return self._planned

    def _run(self, channel: Channel, lanes: Lanes, table: IntArray, until: int, *, only_first: bool) -> int:
        return int(
            _serve(
                channel,
                lanes,
                self._rings,
                self._updates,
                table,
                self._timing,
                self._control,
                until,
                only_first,
                self._completed,
            )
        )

    def _grow_rings(self) -> None:
        old = self._rings
        new = np.zeros((LANES, 2 * old.shape[1], 3), np.int64)
        for lane in range(LANES):
            numbers = np.arange(int(self._lanes.lanes[lane, HEAD]), int(self._tails[lane]))
            new[lane, numbers % new.shape[1]] = old[lane, numbers % old.shape[1]]
        self._rings = new

    def _add_slots(self) -> None:
        """Double the slots of bursts; the copy that runs ahead is made anew."""
        old = len(self._bursts)
        self._free += range(old, 2 * old)
        self._bursts += [(0, 0)] * old
        self._updates = np.append(self._updates, np.zeros(old, np.int64))
        self._completed = np.zeros((2 * old, 2), np.int64)
        self._lanes = self._lanes._replace(left=np.append(self._lanes.left, np.zeros(old, np.int64)))
        self._ahead_lanes = _new_lanes(2 * old)


def _new_lanes(bursts: int) -> Lanes:
    return Lanes(np.zeros((LANES, 2), np.int64), np.zeros(bursts, np.int64), np.zeros(1, np.int64), new_turns())


@kernel
def _copy_channel(source: Channel, target: Channel) -> None:
    """Copy ``source`` into ``target``."""
    copy_items(source.banks, target.banks)
    copy_items(source.groups, target.groups)
    copy_items(source.entries, target.entries)
    copy_items(source.acts, target.acts)
    copy_items(source.scalars, target.scalars)


@kernel
def _copy_lanes(source: Lanes, target: Lanes) -> None:
    copy_items(source.lanes, target.lanes)
    copy_items(source.left, target.left)
    copy_items(source.scalars, target.scalars)
    copy_items(source.turns, target.turns)


@kernel
def _waits(lanes: Lanes, lane: int) -> bool:
    return bool(lanes.lanes[lane, HEAD] < lanes.lanes[lane, TAIL])


@kernel
def _lane_of(channel: Channel, lanes: Lanes, control: IntArray, stream: int) -> int:
    """Name the lane whose next request ``stream`` offers: reads first, where their queue has room; or ``NONE``."""
    for is_write in range(2):
        lane = 2 * stream + is_write
        if _waits(lanes, lane) and channel.scalars[c.READS + is_write] < control[READ_ENTRIES + is_write]:
            return int(lane)
    return c.NONE


@kernel
def _admit(
    channel: Channel, lanes: Lanes, rings: IntArray, updates: IntArray, table: IntArray, control: IntArray, now: int
) -> None:
    """Fill the queues from the lanes for as long as they have room and the policy picks a stream."""
    while True:
        compute, communication = _lane_of(channel, lanes, control, 0), _lane_of(channel, lanes, control, 1)
        if compute == c.NONE and communication == c.NONE:
            break
        occupancy = channel.scalars[c.READS] + channel.scalars[c.WRITES]
        waits = _waits(lanes, 2) or _waits(lanes, 3)
        offered = (compute != c.NONE, communication != c.NONE)
        stream = next_stream(table, lanes.turns, occupancy, offered[0], offered[1], waits)
        if stream < 0:
            break
        lane = communication if stream else compute
        at = lanes.lanes[lane, HEAD] % rings.shape[1]
        burst = rings[lane, at, BURST]
        kind = c.READ
        if lane % 2:
            kind = c.UPDATE if updates[burst] else c.WRITE
        bank = rings[lane, at, BANK]
        c.enqueue(channel, bank, rings[lane, at, ROW], kind, now, burst)
        s.arrived(channel, control, bank, kind, now)
        lanes.lanes[lane, HEAD] += 1


@kernel
def _serve(
    channel: Channel,
    lanes: Lanes,
    rings: IntArray,
    updates: IntArray,
    table: IntArray,
    timing: IntArray,
    control: IntArray,
    until: int,
    only_first: bool,
    completed: IntArray,
) -> int:
    """Serve the cycles up to ``until``; return how many bursts completed. ``only_first``: stop at the first.

    Room that the last cycle makes is left for what arrives in it.
    """
    scalars, entries = lanes.scalars, channel.entries
    count = 0
    while scalars[CLOCK] < until:
        _admit(channel, lanes, rings, updates, table, control, scalars[CLOCK])
        now = channel.scalars[c.SOONEST]
        # With nothing left to serve there are only refreshes to come, which nobody waits for.
        if now > until or (only_first and not _holds_requests(channel)):
            break
        slot = s.tick(channel, timing, control, now)
        scalars[CLOCK] = now
        if slot == c.NONE:
            continue
        burst, is_read = entries[slot, c.TAG], entries[slot, c.KIND] == c.READ
        lanes.left[burst] -= 1
        if lanes.left[burst]:
            continue
        completed[count, 0] = burst
        completed[count, 1] = now + (timing[t.READ_LATENCY] if is_read else timing[t.WRITE_LATENCY])
        count += 1
        if only_first:
            break
    return count


@kernel
def _holds_requests(channel: Channel) -> bool:
    scalars = channel.scalars
    return bool(scalars[c.READS] or scalars[c.WRITES] or scalars[c.ACTIVE_BANKS])
