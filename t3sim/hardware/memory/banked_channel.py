"""One simulated channel behind arbitration: lanes of requests in, bursts out; compiled.

As in the fluid channel, requests wait in four lanes (stream, read or write) until the policy lets them into the queues
of the channel. A copy of the state runs ahead to the next burst that completes; when nothing arrives before, the copy
becomes the state, so that undisturbed cycles are simulated once.
"""

from typing import NamedTuple

import numpy as np

from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.dram import channel as c
from t3sim.hardware.memory.dram import scheduler as s
from t3sim.hardware.memory.dram import timing as t
from t3sim.hardware.memory.dram.channel import Channel, copy_channel, new_channel
from t3sim.hardware.memory.dram.control import READ_ENTRIES, ControlSpec
from t3sim.hardware.memory.dram.timing import DramSpec, timing_array
from t3sim.hardware.memory.frontend import LANES
from t3sim.hardware.memory.interleave import BANK, BURST, ROW, requests_of
from t3sim.kernels import IntArray, copy_items, kernel
from t3sim.workload.layout import Region

# Columns of Lanes.lanes.
HEAD, TAIL = range(2)
# Entries of Lanes.scalars.
CLOCK, LAST_STREAM, PASSED_OVER = range(3)
_TAG_LANES = 4


class Lanes(NamedTuple):
    """What waits before the channel, and what of each burst is left."""

    lanes: IntArray
    """(4, 2): next request to admit, end of what may be admitted."""
    left: IntArray
    """(4, bursts): requests of each burst not served, a ring buffer a lane."""
    scalars: IntArray
    """Last cycle, last stream admitted, requests passed over."""


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
        self._lanes, self._ahead_lanes = (_new_lanes(256) for _ in range(2))
        self._rings = np.zeros((LANES, 4096, 3), np.int64)
        self._updates = np.zeros((LANES, 256), np.int64)
        self._tails = np.zeros(LANES, np.int64)
        self._bursts = [0] * LANES
        self._completed = np.zeros((LANES * 256, 3), np.int64)
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
        ring, tail = self._rings[lane], int(self._tails[lane])
        empty = ring[:0]
        count = requests_of(region, self._spread, self._mapping, self.number, empty, 0, 0)
        if not count:
            return False
        while tail + count - int(self._lanes.lanes[lane, HEAD]) > self._rings.shape[1]:
            self._grow_rings()
        requests_of(region, self._spread, self._mapping, self.number, self._rings[lane], tail, number)
        self._make_room_for(lane, number)
        slot = number % self._updates.shape[1]
        self._updates[lane, slot] = is_update
        self._lanes.left[lane, slot] = count
        self._tails[lane] = tail + count
        self._planned = 0
        return True

    def advance(self, table: IntArray, cycle: int) -> list[list[int]]:
        """Serve the cycles up to ``cycle``; return the bursts this completed: lane, number, cycle of the last data."""
        if self._planned and self._planned == cycle:
            self._channel, self._ahead_channel = self._ahead_channel, self._channel
            self._lanes, self._ahead_lanes = self._ahead_lanes, self._lanes
            self._planned = 0
            done = self._ahead_done
        else:
            done = self._run(self._channel, self._lanes, table, cycle, only_first=False)
        return self._completed[:done].tolist() if done else []

    def admit(self, table: IntArray, cycle: int) -> int:
        """Let in what was pushed, at ``cycle``; the cycle in which the next burst has its last command, or 0."""
        if self._planned > cycle and table is self._table:
            return self._planned
        self._table = table
        self._lanes.lanes[:, TAIL] = self._tails
        self._lanes.scalars[CLOCK] = max(cycle, int(self._lanes.scalars[CLOCK]))
        copy_channel(self._channel, self._ahead_channel)
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

    def _make_room_for(self, lane: int, number: int) -> None:
        """Let burst ``number`` have a slot of its own: double the rings until its slot is free."""
        while self._lanes.left[lane, number % self._lanes.left.shape[1]]:
            width = self._lanes.left.shape[1]
            lanes = _new_lanes(2 * width)
            copy_items(self._lanes.lanes, lanes.lanes)
            copy_items(self._lanes.scalars, lanes.scalars)
            updates = np.zeros((LANES, 2 * width), np.int64)
            # A number of the last `width` bursts of its lane keeps its remainder in the wider ring.
            for at in range(LANES):
                newest = number if at == lane else self._bursts[at]
                for burst in range(max(0, newest - width), newest + 1):
                    lanes.left[at, burst % (2 * width)] = self._lanes.left[at, burst % width]
                    updates[at, burst % (2 * width)] = self._updates[at, burst % width]
                lanes.left[at, newest % (2 * width)] = 0 if at == lane else lanes.left[at, newest % (2 * width)]
            self._lanes, self._ahead_lanes, self._updates = lanes, _new_lanes(2 * width), updates
            self._completed = np.zeros((LANES * 2 * width, 3), np.int64)
        self._bursts[lane] = number


def _new_lanes(bursts: int) -> Lanes:
    scalars = np.zeros(3, np.int64)
    scalars[LAST_STREAM] = Stream.COMMUNICATION
    return Lanes(np.zeros((LANES, 2), np.int64), np.zeros((LANES, bursts), np.int64), scalars)


@kernel
def _copy_lanes(source: Lanes, target: Lanes) -> None:
    copy_items(source.lanes, target.lanes)
    copy_items(source.left, target.left)
    copy_items(source.scalars, target.scalars)


@kernel
def _lane_of(channel: Channel, lanes: Lanes, control: IntArray, stream: int) -> int:
    """Name the lane whose next request ``stream`` offers: reads first, where their queue has room; or ``NONE``."""
    for is_write in range(2):
        lane = 2 * stream + is_write
        waits = lanes.lanes[lane, HEAD] < lanes.lanes[lane, TAIL]
        if waits and channel.scalars[c.READS + is_write] < control[READ_ENTRIES + is_write]:
            return int(lane)
    return c.NONE


@kernel
def _admit(
    channel: Channel, lanes: Lanes, rings: IntArray, updates: IntArray, table: IntArray, control: IntArray, now: int
) -> None:
    """Fill the queues from the lanes for as long as they have room and the policy picks a stream."""
    scalars = lanes.scalars
    limit = table.shape[4] - 1
    while True:
        compute, communication = _lane_of(channel, lanes, control, 0), _lane_of(channel, lanes, control, 1)
        if compute == c.NONE and communication == c.NONE:
            break
        if communication == c.NONE:
            scalars[PASSED_OVER] = 0
        occupancy = channel.scalars[c.READS] + channel.scalars[c.WRITES]
        waiting = (int(compute != c.NONE), int(communication != c.NONE))
        stream = table[waiting[0], waiting[1], occupancy, scalars[LAST_STREAM], scalars[PASSED_OVER]]
        if stream < 0:
            break
        lane = communication if stream else compute
        at = lanes.lanes[lane, HEAD] % rings.shape[1]
        burst = rings[lane, at, BURST]
        kind = c.READ
        if lane % 2:
            kind = c.UPDATE if updates[lane, burst % updates.shape[1]] else c.WRITE
        bank = rings[lane, at, BANK]
        c.enqueue(channel, bank, rings[lane, at, ROW], kind, now, burst * _TAG_LANES + lane)
        s.arrived(channel, control, bank, kind, now)
        lanes.lanes[lane, HEAD] += 1
        scalars[LAST_STREAM] = stream
        if stream == 0 and communication != c.NONE:
            scalars[PASSED_OVER] = min(scalars[PASSED_OVER] + 1, limit)
        else:
            scalars[PASSED_OVER] = 0


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
    """Serve the cycles up to ``until``; return how many bursts completed. ``only_first``: stop at the first."""
    scalars, entries = lanes.scalars, channel.entries
    count = 0
    while True:
        _admit(channel, lanes, rings, updates, table, control, scalars[CLOCK])
        now = channel.scalars[c.SOONEST]
        # With nothing left to serve there are only refreshes to come, which nobody waits for.
        if now > until or (only_first and not _holds_requests(channel)):
            return count
        slot = s.tick(channel, timing, control, now)
        scalars[CLOCK] = now
        if slot == c.NONE:
            continue
        lane, burst = entries[slot, c.TAG] % _TAG_LANES, entries[slot, c.TAG] // _TAG_LANES
        at = burst % lanes.left.shape[1]
        lanes.left[lane, at] -= 1
        if lanes.left[lane, at]:
            continue
        completed[count, 0] = lane
        completed[count, 1] = burst
        completed[count, 2] = now + (timing[t.WRITE_LATENCY] if lane % 2 else timing[t.READ_LATENCY])
        count += 1
        if only_first:
            return count


@kernel
def _holds_requests(channel: Channel) -> bool:
    scalars = channel.scalars
    return bool(scalars[c.READS] or scalars[c.WRITES] or scalars[c.ACTIVE_BANKS])
