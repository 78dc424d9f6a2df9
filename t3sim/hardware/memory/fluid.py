"""The fluid channel: one server with a rate, a read latency, an update cost and a turnaround.

All channels share the load evenly (addresses interleave), so one representative channel stands for all: an entry of
its queue is one access on each channel, ``channels x access`` bytes of traffic. It is served in

    bytes / (bandwidth x efficiency) x (update_cost for an update, else 1)
    + turnaround where the bus changes between reading and writing,
    + stream_switch where the stream changes without that (other rows).

Requests leave the queue in the order they entered. Reads reach the GPU ``read_latency`` after they are served.
"""

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.hardware.clock import HORIZON_FS
from t3sim.hardware.memory.frontend import (
    BUSY,
    BYTES,
    CAUSE,
    CLOCK,
    COUNT,
    FIRST,
    FREE_AT,
    IS_UPDATE,
    LANE,
    LANES,
    LAST_LANE,
    NOTIFY,
    SERVING,
    SERVING_LEFT,
    SIZE,
    TAIL,
    State,
    admit,
    copy_state,
    extend_lanes,
    new_state,
)
from t3sim.hardware.memory.model import KIND
from t3sim.kernels import IntArray, kernel
from t3sim.lowering.layout import Place
from t3sim.registry import register
from t3sim.units import FS_PER_S

FOREVER = np.iinfo(np.int64).max
LEAST_EFFICIENCY = 0.001
MIN_RATE = 10**6  # B/s; far below any hardware, and keeps times within 64 bits


@register(KIND, "fluid")
class FluidSpec(Spec):
    """DRAM of one GPU as one server with latency."""

    model: Literal["fluid"] = "fluid"
    bandwidth: Annotated[PositiveBytesPerSecond, Field(ge=MIN_RATE)]
    """Peak of all channels together."""
    efficiency: Annotated[float, Field(ge=LEAST_EFFICIENCY, le=1)]
    """Share of the peak that long runs of one access type reach (refresh, row changes)."""
    channels: Annotated[int, Field(gt=0)]
    """Channels of the GPU; one stands for all."""
    access: PositiveBytes
    """Bytes of one DRAM access on one channel."""
    queue_entries: Annotated[int, Field(gt=0, le=1024)]
    """Requests in the DRAM queue of a channel."""
    read_latency: Femtoseconds
    """From a read's service in the DRAM to its data at the reader."""
    update_cost: Annotated[float, Field(ge=1, le=64)]
    """Service time of a near-memory update relative to a plain access."""
    turnaround: Femtoseconds
    """Added, per access, when the bus changes between reading and writing."""
    stream_switch: Femtoseconds
    """Added, per access, when the stream changes and the direction does not."""

    @model_validator(mode="after")
    def _times_fit_64_bits(self) -> "FluidSpec":
        slowest = self.granule * FS_PER_S * self.update_cost / (self.bandwidth * self.efficiency)
        if slowest * self.granule > HORIZON_FS:
            raise ValueError(f"channels x access = {self.granule} B is too coarse to be served at {self.bandwidth} B/s")
        return self

    @property
    def granule(self) -> int:
        """Bytes of traffic that one queue entry stands for."""
        return self.channels * self.access

    @property
    def peak_bytes_per_s(self) -> int:
        """Peak bandwidth."""
        return self.bandwidth

    @property
    def uses_places(self) -> bool:
        """Whether it asks where bytes lie."""
        return False

    def channel(self) -> "FluidChannel":
        """Build the channel model."""
        return FluidChannel(self)


class FluidChannel:
    """Queue and channel of one GPU's memory; advanced lazily and exactly by compiled code."""

    def __init__(self, spec: FluidSpec) -> None:
        self.spec = spec
        self.state = new_state(spec.queue_entries)
        self._ahead = new_state(spec.queue_entries)
        self._bursts = np.zeros((LANES, 256, 4), np.int64)
        self._tails = np.zeros(LANES, np.int64)
        self._completed = np.zeros((LANES * 256, 3), np.int64)
        full = math.ceil(spec.granule * FS_PER_S / (spec.bandwidth * spec.efficiency))
        self._timing = np.array(
            [spec.granule, full, math.ceil(full * spec.update_cost), spec.turnaround, spec.stream_switch],
            np.int64,
        )

    def push(self, lane: int, nbytes: int, cause: int, place: Place, *, is_update: bool, notify: bool) -> int:
        """Append a burst to ``lane``; it takes part in arbitration from the next ``admit`` on."""
        del place  # one server: all addresses are alike
        tail = int(self._tails[lane])
        if tail - int(self.state.lanes[lane, SERVING]) >= self._bursts.shape[1]:
            self._grow()
        self._bursts[lane, tail % self._bursts.shape[1]] = (nbytes, cause, is_update, notify)
        self._tails[lane] = tail + 1
        return tail

    def advance(self, table: IntArray, now: int) -> list[tuple[int, int, int]]:
        """Serve all that starts before ``now``; nothing that arrives later can change it.

        Returns the awaited bursts this completed: lane, number, end in fs; an end may lie after ``now``.
        """
        done = _advance(self.state, self._bursts, table, self._timing, now, False, self._completed)
        completed: list[tuple[int, int, int]] = self._completed[:done].tolist() if done else []
        return completed

    def admit(self, table: IntArray, now: int) -> int:
        """Let in what was pushed, at ``now``; the end of the next awaited burst if nothing more comes, or 0."""
        return int(
            _admit_and_predict(
                self.state, self._ahead, self._bursts, self._tails, table, self._timing, now, self._completed
            )
        )

    def pending(self) -> dict[int, int]:
        """Bursts not yet served, by lane."""
        return {lane: int(self._tails[lane] - self.state.lanes[lane, SERVING]) for lane in range(LANES)}

    def served(self) -> list[int]:
        """Bytes served, by cause."""
        served: list[int] = self.state.served.tolist()
        return served

    def occupancy(self) -> int:
        """Count the requests in the DRAM queue."""
        return int(self.state.scalars[COUNT])

    def busy_fs(self) -> int:
        """Time spent serving."""
        return int(self.state.scalars[BUSY])

    def _grow(self) -> None:
        old = self._bursts
        new = np.zeros((LANES, 2 * old.shape[1], 4), np.int64)
        for lane in range(LANES):
            numbers = np.arange(int(self.state.lanes[lane, SERVING]), int(self._tails[lane]))
            new[lane, numbers % new.shape[1]] = old[lane, numbers % old.shape[1]]
        self._bursts = new
        self._completed = np.zeros((2 * len(self._completed), 3), np.int64)


# Entries of the timing array.
_GRANULE, _FULL, _FULL_UPDATE, _TURNAROUND, _STREAM_SWITCH = range(5)


@kernel
def _service_fs(state: State, lane: int, nbytes: int, is_update: int, timing: IntArray, start: int) -> int:
    full = timing[_FULL_UPDATE] if is_update else timing[_FULL]
    cost = -(-full * nbytes // timing[_GRANULE])
    last = state.scalars[LAST_LANE]
    if last >= 0 and last != lane:
        switch = timing[_TURNAROUND] if (last & 1) != (lane & 1) else timing[_STREAM_SWITCH]
        cost += max(switch - (start - state.scalars[FREE_AT]), 0)  # the bus turns while the channel idles
    return int(cost)


@kernel
def _serve_one(state: State, bursts: IntArray, timing: IntArray, start: int) -> int:
    """Serve the oldest request at ``start``; return the lane of the burst this completes, or -1."""
    lanes, scalars = state.lanes, state.scalars
    entries, ring = state.queue.shape[0], bursts.shape[1]
    slot = scalars[FIRST]
    lane, nbytes = state.queue[slot, LANE], state.queue[slot, BYTES]
    scalars[FIRST] = (slot + 1) % entries
    scalars[COUNT] -= 1
    at = lanes[lane, SERVING] % ring
    cost = _service_fs(state, lane, nbytes, bursts[lane, at, IS_UPDATE], timing, start)
    scalars[FREE_AT] = start + cost
    scalars[BUSY] += cost
    scalars[LAST_LANE] = lane
    state.served[bursts[lane, at, CAUSE]] += nbytes
    lanes[lane, SERVING_LEFT] -= nbytes
    if lanes[lane, SERVING_LEFT] > 0:
        return -1
    lanes[lane, SERVING] += 1
    if lanes[lane, SERVING] < lanes[lane, TAIL]:
        lanes[lane, SERVING_LEFT] = bursts[lane, lanes[lane, SERVING] % ring, SIZE]
    return int(lane)


@kernel
def _advance(
    state: State,
    bursts: IntArray,
    table: IntArray,
    timing: IntArray,
    until: int,
    only_first: bool,
    completed: IntArray,
) -> int:
    """Serve the requests that start before ``until``; return how many awaited bursts completed.

    ``only_first``: stop at the first of them.
    """
    scalars, ring = state.scalars, bursts.shape[1]
    count = 0
    while scalars[COUNT] > 0:
        start = max(scalars[FREE_AT], scalars[CLOCK])
        if start >= until:
            break
        lane = _serve_one(state, bursts, timing, start)
        admit(state, bursts, table, timing[_GRANULE])
        if lane >= 0:
            number = state.lanes[lane, SERVING] - 1
            if bursts[lane, number % ring, NOTIFY]:
                completed[count, 0] = lane
                completed[count, 1] = number
                completed[count, 2] = scalars[FREE_AT]
                count += 1
                if only_first:
                    break
    return count


@kernel
def _admit_and_predict(
    state: State,
    ahead: State,
    bursts: IntArray,
    tails: IntArray,
    table: IntArray,
    timing: IntArray,
    now: int,
    completed: IntArray,
) -> int:
    extend_lanes(state, bursts, tails, now)
    admit(state, bursts, table, timing[_GRANULE])
    copy_state(state, ahead)
    if _advance(ahead, bursts, table, timing, FOREVER, True, completed) > 0:
        return int(completed[0, 2])
    return 0
