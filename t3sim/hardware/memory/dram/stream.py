"""One channel fed with a stream of requests in order: what a controller without arbitration sees.

The head of the stream enters the queue of its kind as soon as that has room, from its arrival on; a full write queue
therefore holds later reads back. Used to validate the channel against other models.
"""

from dataclasses import dataclass

import numpy as np

from t3sim.hardware.memory.dram import channel as c
from t3sim.hardware.memory.dram import scheduler as s
from t3sim.hardware.memory.dram import timing as t
from t3sim.hardware.memory.dram.address import bank_of, row_of
from t3sim.hardware.memory.dram.channel import Channel, new_channel
from t3sim.hardware.memory.dram.control import READ_ENTRIES, ControlSpec
from t3sim.hardware.memory.dram.mapping import AddressMapping, mapping_array
from t3sim.hardware.memory.dram.timing import DramSpec, timing_array
from t3sim.kernels import IntArray, kernel
from t3sim.units import FS_PER_S


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
    row_hits: int
    row_misses: int
    row_conflicts: int

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
    timing = timing_array(dram, refresh=control.refresh)
    entries = control.read_entries + control.write_entries
    channel = new_channel(dram.bank_groups, dram.banks_per_group, entries, int(timing[t.REFI]))
    done, entered = np.zeros((2, len(address)), np.int64)
    _run(channel, timing, control.array(), mapping_array(mapping, dram), address, kind, arrival, entered, done)
    return StreamReport(
        done=done,
        entered=entered,
        is_read=kind == c.READ,
        nbytes=len(address) * dram.access,
        clock=dram.clock,
        row_hits=int(channel.scalars[c.ROW_HITS]),
        row_misses=int(channel.scalars[c.ROW_MISSES]),
        row_conflicts=int(channel.scalars[c.ROW_CONFLICTS]),
    )


@kernel
def _run(
    channel: Channel,
    timing: IntArray,
    control: IntArray,
    mapping: IntArray,
    address: IntArray,
    kind: IntArray,
    arrival: IntArray,
    entered: IntArray,
    done: IntArray,
) -> None:
    scalars, entries = channel.scalars, channel.entries
    total = address.shape[0]
    head, left, now = 0, total, 0
    while left:
        while head < total and arrival[head] <= now and _has_room(scalars, control, kind[head]):
            bank, row = bank_of(mapping, address[head]), row_of(mapping, address[head])
            c.enqueue(channel, bank, row, kind[head], now, head)
            s.arrived(channel, control, bank, kind[head], now)
            entered[head] = now
            head += 1
        if head < total and arrival[head] < scalars[c.SOONEST] and _has_room(scalars, control, kind[head]):
            now = arrival[head]  # nothing can be issued until then
            continue
        assert scalars[c.SOONEST] < c.NEVER, "requests wait and nothing can happen"
        now = scalars[c.SOONEST]
        slot = s.tick(channel, timing, control, now)
        if slot != c.NONE:
            latency = timing[t.READ_LATENCY] if entries[slot, c.KIND] == c.READ else timing[t.WRITE_LATENCY]
            done[entries[slot, c.TAG]] = now + latency
            left -= 1


@kernel
def _has_room(scalars: IntArray, control: IntArray, kind: int) -> bool:
    queue = 1 if kind else 0
    return bool(scalars[c.READS + queue] < control[READ_ENTRIES + queue])
