"""One simulated DRAM channel behind arbitration: lanes of requests in, bursts out; compiled.

As in the fluid channel, requests wait in four lanes (stream, read or write) until the policy lets them into the queues
of the channel. A copy of the state runs ahead to the next burst that completes; when nothing arrives before, the copy
becomes the state, so that undisturbed cycles are simulated once.
"""

from typing import NamedTuple

import numpy as np

from t3sim.compiled import Direct, IntArray, Packed, Records, compiled, record_of, record_type
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.address import AddressBits
from t3sim.hardware.memory.banked.dram.channel import (
    NEVER,
    NONE,
    READ,
    READ_QUEUE,
    UPDATE,
    WRITE,
    WRITE_QUEUE,
    Channel,
    counters_of,
    enqueue,
    new_channel,
)
from t3sim.hardware.memory.banked.dram.next_command import arrived, tick
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.dram.timing import Timing
from t3sim.hardware.memory.banked.interleave import REQUEST, Spread, requests_of
from t3sim.hardware.memory.banked.path import (
    FIFO,
    LANE,
    PORT,
    PathRules,
    closed_queue,
    fill,
    look,
    offers,
    take,
)
from t3sim.hardware.memory.model import LANES
from t3sim.hardware.memory.turns import NO_TURNS, next_stream
from t3sim.lowering.layout import Region

_BURST = record_type(
    "left",  # its requests that are not served
    "is_update",
)
_COMPLETED = record_type("slot", "end")
_BURSTS = 256
_REQUESTS = 4096


class State(NamedTuple):
    """All that changes as the channel serves requests."""

    channel: Channel
    lanes: Records
    """(4,): what waits before the channel."""
    fifos: Records
    """(2,): by stream, what is on its way to it."""
    kinds: IntArray
    """(2, entries): by stream, whether a request in the FIFO is a write; a ring."""
    port: Records
    """(1,)"""
    bursts: Records
    """(slots,): those that are not served in full."""


class BankedChannel:
    """One channel of a GPU's memory; advanced lazily and exactly by compiled code."""

    def __init__(
        self, dram: DramSpec, control: ControlSpec, bits: AddressBits, spread: Spread, path: PathRules, number: int
    ) -> None:
        self.number = number
        self._dram = dram
        self._places = record_of(spread, bits)
        self._path = record_of(path)
        self._now, self._ahead = (Packed(_new_state(dram, control, path)) for _ in range(2))
        self._requests = np.zeros((LANES, _REQUESTS), REQUEST)
        """By lane, request n at n modulo the ring's length."""
        self._tails = np.zeros(LANES, np.int64)
        # Every burst that is not served has a slot, whatever overtakes it; one at least is free.
        self._free = list(range(_BURSTS))
        self._bursts = [(0, 0)] * _BURSTS
        """Lane and number there of the burst in each slot."""
        self._completed = np.zeros(_BURSTS, _COMPLETED)
        self._ahead_done = 0
        self._table = np.zeros(0, np.int64)
        self._planned = 0
        """Cycle that the copy has run to; 0 where it is of no use."""

    @property
    def bus_cycles(self) -> int:
        """Cycles in which data moved, mean of the data buses."""
        counted = self.counters()
        accesses = counted["reads"] + counted["writes"] + counted["updates"]
        return accesses * self._dram.nBL // self._dram.pseudo_channels

    @property
    def occupancy(self) -> int:
        """Requests in the read and the write queue."""
        return int(self._now.arrays.channel.queues["count"].sum())

    def counters(self) -> dict[str, int]:
        """Count commands and requests so far, by the names of ``dram.channel.COUNTERS``."""
        return counters_of(self._now.arrays.channel)

    def push(self, lane: int, region: Region, number: int, *, is_update: bool) -> bool:
        """Append a burst; return whether any of it falls to this channel."""
        slot, tail = self._free[-1], int(self._tails[lane])
        waiting = tail - int(self._now.arrays.lanes["head"][lane])
        while True:
            ring = self._requests[lane]
            room = len(ring) - waiting
            count = requests_of(region, self._places, self.number, ring, tail, room, slot)
            if count <= room:
                break
            self._grow_rings()
        if not count:
            return False
        self._free.pop()
        self._bursts[slot] = lane, number
        self._now.arrays.bursts[slot] = count, is_update
        self._tails[lane] = tail + count
        if not self._free:
            self._add_slots()
        self._planned = 0
        return True

    def advance(self, table: IntArray, cycle: int) -> list[tuple[int, int, int]]:
        """Serve the cycles up to ``cycle``; return the bursts this completed: lane, number, cycle of the last data."""
        if self._planned and self._planned == cycle:
            self._now, self._ahead = self._ahead, self._now
            self._planned = 0
            done = self._ahead_done
        else:
            done = self._run(self._now.arrays, table, cycle, only_first=False)
        served: list[tuple[int, int]] = self._completed[:done].tolist() if done else []
        self._free += [slot for slot, _ in served]
        return [(*self._bursts[slot], end) for slot, end in served]

    def admit(self, table: IntArray, cycle: int) -> int:
        """Let in what was pushed, at ``cycle``; the cycle in which the next burst has its last command, or 0."""
        if self._planned > cycle and table is self._table:
            return self._planned
        self._table = table
        at = self._now.arrays.channel.state["cycle"]
        at[0] = max(cycle, int(at[0]))
        self._now.arrays.lanes["tail"] = self._tails
        self._ahead.copy_from(self._now)
        self._ahead_done = self._run(self._ahead.arrays, table, NEVER - 1, only_first=True)
        self._planned = int(self._ahead.arrays.channel.state["cycle"][0]) if self._ahead_done else 0
        return self._planned

    def _run(self, state: State, table: IntArray, until: int, *, only_first: bool) -> int:
        return _SERVE.call(state, self._requests, self._path, table, until, only_first, self._completed)

    def _grow_rings(self) -> None:
        old = self._requests
        new = np.zeros((LANES, 2 * old.shape[1]), REQUEST)
        for lane in range(LANES):
            numbers = np.arange(int(self._now.arrays.lanes["head"][lane]), int(self._tails[lane]))
            new[lane, numbers % new.shape[1]] = old[lane, numbers % old.shape[1]]
        self._requests = new

    def _add_slots(self) -> None:
        """Double the slots of bursts; what the copy ran ahead to is lost."""
        old = len(self._bursts)
        self._free += range(old, 2 * old)
        self._bursts += [(0, 0)] * old
        self._completed = np.zeros(2 * old, _COMPLETED)
        state = self._now.arrays
        grown = state._replace(bursts=np.append(state.bursts, np.zeros(old, _BURST)))
        self._now, self._ahead = Packed(grown), Packed(grown)


def _new_state(dram: DramSpec, control: ControlSpec, path: PathRules) -> State:
    return State(
        channel=new_channel(dram, control),
        lanes=np.zeros(LANES, LANE),
        fifos=np.array([(0, 0, WRITE)] * 2, FIFO),
        kinds=np.zeros((2, path.entries), np.int64),
        port=np.array([(READ_QUEUE, 0, 0, *NO_TURNS)], PORT),
        bursts=np.zeros(_BURSTS, _BURST),
    )


@compiled
def _admit(state: State, requests: Records, path: Records, table: IntArray, now: int) -> bool:
    """Let this cycle's request into its queue, if the policy picks a stream; return whether one did.

    Then the next may follow in the next cycle, else only what the channel does, or what arrives, changes that.
    """
    channel, port, fifos, kinds = state.channel, state.port[0], state.fifos, state.kinds
    fill(state.lanes, fifos, kinds)
    look(port, channel)
    communicates = fifos[1].count > 0
    closed = closed_queue(port, path[0], channel)
    compute = offers(fifos, kinds, 0, closed, channel)
    communication = offers(fifos, kinds, 1, closed, channel)
    if not (compute or communication):
        return False
    occupancy = channel.queues[READ_QUEUE].count + channel.queues[WRITE_QUEUE].count
    stream = next_stream(table, port, occupancy, compute, communication, communicates)
    if stream < 0:
        return False
    lane = take(state.lanes, fifos, kinds, stream)
    request = requests[lane, (state.lanes[lane].head - 1) % requests.shape[1]]
    kind = READ
    if lane % 2:
        kind = UPDATE if state.bursts[request.burst].is_update else WRITE
    enqueue(channel, request.bank, request.row, kind, now, request.burst)
    arrived(channel, request.bank, kind, now)
    port.reads += kind == READ
    return True


@compiled
def _serve(
    state: State, requests: Records, path: Records, table: IntArray, until: int, only_first: bool, completed: Records
) -> int:
    """Serve the cycles up to ``until``; return how many bursts completed. ``only_first``: stop at the first.

    ``path``, shape (1,), has the fields of ``PathRules``. ``completed`` takes slot and cycle of the last data of each.
    Room that the last cycle makes is left for what arrives in it.
    """
    timing: Timing = state.channel.rules[0]
    channel = state.channel
    server, entries = channel.state[0], channel.entries
    count = 0
    while server.cycle < until:
        entered = _admit(state, requests, path, table, server.cycle)
        now = min(server.soonest, server.cycle + 1) if entered else server.soonest
        # With nothing left to serve there are only refreshes to come, which nobody waits for.
        if now > until or (only_first and not _holds_requests(channel)):
            break
        slot = tick(channel, now)
        if slot == NONE:
            continue
        burst = state.bursts[entries[slot].tag]
        burst.left -= 1
        if burst.left:
            continue
        served = completed[count]
        served.slot = entries[slot].tag
        served.end = now + (timing.rd_to_data if entries[slot].kind == READ else timing.wr_to_data)
        count += 1
        if only_first:
            break
    return count


@compiled
def _holds_requests(channel: Channel) -> bool:
    queues = channel.queues
    return bool(queues[READ_QUEUE].count or queues[WRITE_QUEUE].count or channel.state[0].opened_banks)


_SERVE = Direct(_serve)
