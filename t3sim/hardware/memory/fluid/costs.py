"""What the fluid memory's requests cost, derived from the banked memory that it follows.

Two sorts of runs, all with the channel kept busy, by bursts of two shapes: *contiguous* ones, as collective kernels
make them, and *pieces* of ``interleave`` bytes anywhere, as rows of tiles are to one channel. What is neither's is the
mean of both. Nothing here looks at a GEMM, a collective or a speedup. Through the whole controller, without refreshes:

    read, write = cycles / accesses, of bursts of one kind
    turn        = (cycles - reads x read - writes x write) / turns of the bus, of reads and writes at once
    update      = (cycles - reads x read - turns x turn) / updates, of reads and updates at once, in pieces: tiles

One channel alone, fed with requests in order:

    refresh     = (cycles with refreshes - without) / refreshes
    late        = younger requests of its kind that are served before the last one of a burst, the mean, with reads and
                  writes in turn
    read_after  = from the last of a burst of reads, served in order, to the last data, where the channel is idle
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import fmean
from typing import Final

import numpy as np

from t3sim.compiled import IntArray
from t3sim.hardware.clock import Environment
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.arbitration.round_robin import RoundRobin
from t3sim.hardware.memory.banked.dram.stream import StreamReport, run_stream
from t3sim.hardware.memory.banked.dram.timing import timing_of
from t3sim.hardware.memory.banked.spec import BankedSpec
from t3sim.hardware.memory.controller import MemoryController
from t3sim.lowering.layout import Region, linear
from t3sim.units import FS_PER_S

_BURST: Final = 16
"""Accesses of a burst on one channel: a tile of 128 x 128 in fp16 is as many on 32 channels of 64 B."""
_BURSTS: Final = 512
_FAR: Final = 2**34
"""Bytes between what is read and what is written."""
_SPAN: Final = 2**32
"""Bytes in which pieces lie."""
_IDLE: Final = 16
"""Times that a burst takes, from one to the next where a channel is to be idle in between."""
_SEED: Final = 20240117
CONTIGUOUS: Final = "contiguous"
PIECES: Final = "pieces"
_SHAPES: Final = (CONTIGUOUS, PIECES)


@dataclass(frozen=True, slots=True)
class Costs:
    """What requests cost, in cycles of the DRAM's command clock."""

    read: float
    write: float
    update: float
    turn: float
    """Lost where the bus turns."""
    refresh: float
    late_reads: float
    """Younger reads that are served before the last one of a burst."""
    late_writes: float
    read_after: float
    write_after: float


@lru_cache(maxsize=64)
def costs_of(memory: BankedSpec) -> Costs:
    """Derive what requests cost behind a memory's controller: its DRAM, mapping, scheduler and queues."""
    calm = memory.model_copy(update={"refresh": False, "simulated_channels": 1})
    read, write = (
        fmean(_Busy(calm, shape, [kind]).cycles_each for shape in _SHAPES) for kind in (Access.READ, Access.WRITE)
    )
    mixed = [_Busy(calm, shape, [Access.READ, Access.WRITE]) for shape in _SHAPES]
    turn = fmean(busy.beside(read, write) / busy.turns for busy in mixed)
    updated = _Busy(calm, PIECES, [Access.READ, Access.UPDATE])
    update = (updated.beside(read, 0) - updated.turns * turn) / updated.counters["updates"]
    passed = [_passed(calm, shape) for shape in _SHAPES]
    return Costs(
        read=read,
        write=write,
        update=update,
        turn=turn,
        refresh=_refresh(memory, calm),
        late_reads=fmean(late[Access.READ] for late in passed),
        late_writes=fmean(late[Access.WRITE] for late in passed),
        read_after=fmean(_read_after(calm, shape, read) for shape in _SHAPES),
        write_after=timing_of(memory.dram).wr_to_data,
    )


class _Busy:
    """What became of bursts of some kinds that all came at once."""

    def __init__(self, memory: BankedSpec, shape: str, kinds: Sequence[Access]) -> None:
        env = Environment()
        controller = MemoryController(env, memory, RoundRobin(), 0)
        self._end_fs = 0
        nbytes = _BURST * memory.granule
        regions = [_regions(shape, nbytes, memory.interleave, number) for number in range(len(kinds))]
        for burst in zip(*regions, strict=True):
            for kind, region in zip(kinds, burst, strict=True):
                # A read's data take their way to the reader.
                after = memory.read_latency if kind is Access.READ else 0
                cause = Cause(kind.name, Direction.READ if kind is Access.READ else Direction.WRITE)
                done = partial(self._note_end, env, after)
                controller.submit(Stream.COMMUNICATION, kind, nbytes, cause, partial(_itself, region), done)
        env.run()
        self._cycles = self._end_fs * memory.dram.clock / FS_PER_S
        self.counters = controller.channel.counters()

    def _note_end(self, env: Environment, after_fs: int) -> None:
        self._end_fs = max(self._end_fs, int(env.now) - after_fs)

    @property
    def turns(self) -> int:
        """Turns of the bus."""
        return self.counters["bus_turnarounds"]

    @property
    def cycles_each(self) -> float:
        """Cycles of an access."""
        return self._cycles / sum(self.counters[name] for name in ("reads", "writes", "updates"))

    def beside(self, read: float, write: float) -> float:
        """Cycles beside those of reads and writes."""
        return self._cycles - self.counters["reads"] * read - self.counters["writes"] * write


def _itself(region: Region) -> Region:
    return region


def _regions(shape: str, nbytes: int, interleave: int, number: int) -> list[Region]:
    """Where the bursts of a kind lie."""
    first = number * _FAR
    if shape == CONTIGUOUS:
        return [linear(first + burst * nbytes, nbytes) for burst in range(_BURSTS)]
    regions = np.zeros((_BURSTS, nbytes // interleave, 4), np.int64)
    chance = np.random.default_rng(_SEED + number)
    regions[..., 0] = first + chance.integers(0, _SPAN // interleave, regions.shape[:2]) * interleave
    regions[..., 1], regions[..., 2] = 1, interleave
    return list(regions)


def _addresses(memory: BankedSpec, shape: str) -> IntArray:
    """Addresses inside a channel of the accesses of bursts."""
    if shape == CONTIGUOUS:
        return np.arange(_BURST * _BURSTS, dtype=np.int64) * memory.dram.access
    inside = np.arange(0, memory.interleave, memory.dram.access, dtype=np.int64)
    pieces = _SPAN // memory.channels // memory.interleave
    count = -(-_BURST * _BURSTS // len(inside))
    first = np.random.default_rng(_SEED).integers(0, pieces, count) * memory.interleave
    return (first[:, None] + inside).reshape(-1)[: _BURST * _BURSTS]


def _in_order(memory: BankedSpec, address: IntArray, kind: IntArray, arrival: IntArray) -> StreamReport:
    return run_stream(memory.dram, memory, memory.address_mapping, address, kind, arrival)


def _refresh(memory: BankedSpec, calm: BankedSpec) -> float:
    """Cycles that a refresh takes from reads; 0 where there are none."""
    if not memory.refresh:
        return 0
    address = _addresses(memory, PIECES)
    nothing = np.zeros_like(address)
    with_them, without = (_in_order(each, address, nothing + Access.READ, nothing) for each in (memory, calm))
    return (int(with_them.done.max()) - int(without.done.max())) / with_them.counters["refreshes"]


def _passed(memory: BankedSpec, shape: str) -> dict[Access, float]:
    """Count by kind the requests that are served before the last one of a burst and came after it: the mean."""
    address = _addresses(memory, shape)
    both = np.stack([address, address + _FAR // memory.channels], axis=1).reshape(-1)
    kinds = Access.READ, Access.WRITE
    report = _in_order(memory, both, np.tile(np.array(kinds, np.int64), len(address)), np.zeros_like(both))
    return {kind: _lateness(report.done[number::2]) for number, kind in enumerate(kinds)}


def _lateness(done: IntArray) -> float:
    """Say by how many requests the last one of a burst is later than in order, the mean."""
    rank = np.empty_like(done)
    rank[np.argsort(done, kind="stable")] = np.arange(len(done))
    in_order = np.arange(_BURST - 1, len(done), _BURST)
    return float((rank.reshape(-1, _BURST).max(axis=1) - in_order).mean())


def _read_after(memory: BankedSpec, shape: str, read: float) -> float:
    """Cycles from the last of a burst, served in order, to its data, where nothing else is to be served."""
    address = _addresses(memory, shape)
    every = round(_IDLE * _BURST * read)
    first = np.arange(_BURSTS, dtype=np.int64)[:, None] * every
    arrival = (first + np.arange(_BURST)).reshape(-1)
    report = _in_order(memory, address, np.full_like(address, Access.READ), arrival)
    last = report.done.reshape(-1, _BURST).max(axis=1)
    return float((last - first[:, 0]).mean()) - _BURST * read
