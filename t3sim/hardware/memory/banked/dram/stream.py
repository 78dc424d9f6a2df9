"""One channel fed with a stream of requests in order: what a controller without arbitration sees.

The head of the stream enters the queue of its kind as soon as that has room, from its arrival on; a full write queue
therefore holds later reads back. Used to validate the channel against other models.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from t3sim.compiled import IntArray, Records, compiled, record_of
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.address import AddressBits, address_bits, bank_of, row_of
from t3sim.hardware.memory.banked.dram.channel import counters_of, enqueue, queue_of
from t3sim.hardware.memory.banked.dram.next_command import arrived, has_room, tick
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.dram.tables import NEVER, NONE, READ, Channel, new_channel
from t3sim.hardware.memory.banked.dram.timing import Timing
from t3sim.hardware.memory.banked.mappings import AddressMapping
from t3sim.units import FS_PER_S


class _Requests(NamedTuple):
    """What is sent, in program order, and what came of it; arrays of shape (requests,), times in cycles."""

    address: IntArray
    kind: IntArray
    arrival: IntArray
    entered: IntArray
    done: IntArray


@dataclass(frozen=True, kw_only=True)
class StreamReport:
    """What a stream of requests saw; cycles of the command clock."""

    done: IntArray
    """When the last data of each request moved, shape (requests,)."""
    entered: IntArray
    """When each entered its queue, shape (requests,)."""
    is_read: IntArray
    nbytes: int
    clock: int
    counters: dict[str, int]
    """Commands and requests counted by the channel, up to the last data."""

    @property
    def bytes_per_s(self) -> float:
        """Bytes of the stream / time of its last data."""
        return self.nbytes * self.clock / int(self.done.max())

    @property
    def read_latency_ns(self) -> float | None:
        """Mean time from entering the read queue to the last data; ``None`` without reads."""
        reads = self.is_read.astype(bool)
        if not reads.any():
            return None
        return float((self.done - self.entered)[reads].mean() * FS_PER_S / self.clock / 1e6)


def run_stream(
    dram: DramSpec, control: ControlSpec, mapping: AddressMapping, address: IntArray, kind: IntArray, arrival: IntArray
) -> StreamReport:
    """Send a stream through one idle channel.

    ``address``: inside the channel, one access each; ``kind``: READ, WRITE or UPDATE; ``arrival``: earliest cycle, not
    falling; all of shape (requests,).
    """
    channel = new_channel(dram, control)
    entered, done = np.zeros((2, len(address)), np.int64)
    requests = _Requests(address=address, kind=kind, arrival=arrival, entered=entered, done=done)
    _run(channel, record_of(address_bits(mapping, dram)), requests)
    return StreamReport(
        done=done,
        entered=entered,
        is_read=kind == READ,
        nbytes=len(address) * dram.access,
        clock=dram.clock,
        counters=counters_of(channel),
    )


@compiled
def _run(channel: Channel, mapping: Records, requests: _Requests) -> None:
    """Serve ``requests`` and note when each entered and was done."""
    bits: AddressBits = mapping[0]
    timing: Timing = channel.rules[0]
    address, kind, arrival = requests.address, requests.kind, requests.arrival
    state, total = channel.state[0], address.shape[0]
    head, left, now = 0, total, 0
    while left:
        while head < total and arrival[head] <= now and has_room(channel, queue_of(kind[head])):
            bank = bank_of(bits, address[head])
            enqueue(channel, bank, row_of(bits, address[head]), kind[head], now, head)
            arrived(channel, bank, kind[head], now)
            requests.entered[head] = now
            head += 1
        if head < total and arrival[head] < state.soonest and has_room(channel, queue_of(kind[head])):
            now = arrival[head]  # nothing can be issued until then
            continue
        assert state.soonest < NEVER, "requests wait and nothing can happen"
        now = state.soonest
        slot = tick(channel, now)
        if slot != NONE:
            served = channel.entries[slot]
            requests.done[served.tag] = now + (timing.rd_to_data if served.kind == READ else timing.wr_to_data)
            left -= 1
