"""The channels of one GPU's banked memory as Python sees them; the data plane serves them (see ``bursts``)."""

from math import gcd
from typing import Any

import numpy as np

from t3sim.compiled import packed
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.address import address_bits
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.dram.tables import COUNTERS, READ_QUEUE, WRITE, new_channel
from t3sim.hardware.memory.banked.engine import ENGINE
from t3sim.hardware.memory.banked.interleave import REQUEST, Spread
from t3sim.hardware.memory.banked.mappings import AddressMapping
from t3sim.hardware.memory.banked.path import FIFO, LANE, PORT, PathRules
from t3sim.hardware.memory.banked.tables import (
    BLOCK,
    BURST,
    CHANNEL,
    COMPLETED,
    GPU,
    MOST_BURSTS,
    MOST_REQUESTS,
    PATH,
    SLOT,
    Memory,
    Simulated,
)
from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.memory.turns import NO_TURNS
from t3sim.hardware.plane.engine import Engine
from t3sim.hardware.plane.state import NONE
from t3sim.hardware.standing import BusStanding
from t3sim.tables import Directory
from t3sim.units import FS_PER_S

_SHARED = ("rules", "path", "requests")


class BankedMemory:
    """The simulated channels of one GPU."""

    engine: Engine = ENGINE

    def __init__(
        self,
        dram: DramSpec,
        control: ControlSpec,
        mapping: AddressMapping,
        *,
        channels: int,
        simulated_channels: int,
        interleave: int,
        channel_hash: bool,
        path_entries: int,
        least_reads: int,
    ) -> None:
        self._dram = dram
        self._all = channels
        # Spread over the stacks: neighbouring channels see neighbouring blocks.
        numbers = [index * channels // simulated_channels for index in range(simulated_channels)]
        rules = PathRules(entries=path_entries, least_reads=least_reads)
        self._channels = [_Channel(dram, control, rules, number) for number in numbers]
        spread = Spread(channels=channels, interleave=interleave, access=dram.access, hashed=channel_hash)
        common = gcd(dram.clock, FS_PER_S)
        clock = simulated_channels, dram.clock // common, FS_PER_S // common
        row = *clock, 0, MOST_BURSTS, 0, NONE, NONE, NONE, NONE, *spread, *address_bits(mapping, dram)
        self._tables = Memory(
            gpu=np.array([row], GPU),
            slots=_slots(MOST_BURSTS),
            channels=np.array([channel.row() for channel in self._channels], CHANNEL),
            tails=np.zeros(simulated_channels * LANES, np.int64),
            completed=np.zeros(MOST_BURSTS, COMPLETED),
            done=np.zeros(MOST_BURSTS, np.int64),
            served=np.zeros(MOST_CAUSES, np.int64),
            waiting=np.zeros(LANES, np.int64),
        )
        self._directory = Directory(self._tables)
        self._plane: Any = None
        self._number = 0

    # What the data plane asks.

    def join(self, plane: Any, number: int) -> int:
        """Become the memory of a controller of ``plane``; return where its tables lie."""
        self._plane, self._number = plane, number
        return self._directory.number

    def grow(self, margin: int) -> None:
        """Make room for bursts, and for the requests of one that waits for that."""
        gpu = self._tables.gpu
        while gpu["left"][0] <= margin:
            self._add_slots()
        for channel in self._channels:
            channel.lengthen(int(gpu["room"][0]), self._tables)
        self._directory = Directory(self._tables)
        self._plane.rows("memories")[self._number] = self._directory.number

    def _add_slots(self) -> None:
        """Double the slots of bursts; what copies ran ahead to is lost."""
        tables = self._tables
        old, gpu = len(tables.slots), tables.gpu
        more = _slots(old)
        more["next"][:-1] += old
        more["next"][-1] = gpu["free"][0]
        gpu["free"], gpu["left"] = old, gpu["left"] + old
        self._tables = tables._replace(
            slots=np.append(tables.slots, more),
            completed=np.zeros(2 * old, COMPLETED),
            done=np.append(tables.done, np.zeros(old, np.int64)),
        )
        for channel in self._channels:
            channel.add_slots(old, self._tables)

    # What others look at.

    def burst(self, lane: int, number: int) -> Any:
        """Return the row of a burst that was queued just now."""
        del lane
        return self._tables.slots[number]

    def pending(self) -> dict[int, int]:
        """Bursts not yet served, by lane."""
        return dict(enumerate(self._tables.waiting.tolist()))

    def served(self) -> list[int]:
        """Bytes of the bursts served in full, by cause."""
        served: list[int] = self._tables.served.tolist()
        return served

    def occupancy(self) -> int:
        """Count the requests in the queues of the first simulated channel."""
        return int(self._state(0).queues["count"].sum())

    def busy_fs(self) -> int:
        """Time in which data moved, mean of the channels."""
        cycles = sum(_bus_cycles(self._dram, counted) for counted in self.by_channel())
        return cycles * FS_PER_S // (self._dram.clock * len(self._channels))

    def by_channel(self) -> list[dict[str, int]]:
        """Count commands and requests of each simulated channel (see ``dram.channel.COUNTERS``)."""
        states = (self._state(place).state for place in range(len(self._channels)))
        return [{name: int(state[name][0]) for name in COUNTERS} for state in states]

    def counters(self) -> dict[str, int]:
        """Count commands and requests of the simulated channels together (see ``dram.channel.COUNTERS``)."""
        by_channel = self.by_channel()
        return {name: sum(counted[name] for counted in by_channel) for name in COUNTERS}

    def commands(self) -> dict[str, int]:
        """Count as ``counters`` does, but for all channels: those that are not simulated do as those that are."""
        return {name: round(count * self._all / len(self._channels)) for name, count in self.counters().items()}

    def faults(self) -> list[str]:
        """Say on which channels not every request counts once as a hit, a miss or a conflict of its row."""
        found = []
        for channel, counted in zip(self._channels, self.by_channel(), strict=True):
            served = counted["reads"] + counted["writes"] + counted["updates"]
            by_row = counted["row_hits"] + counted["row_misses"] + counted["row_conflicts"]
            if served != by_row:
                found.append(f"channel {channel.number}: {served} requests served, {by_row} by the state of their row")
        return found

    def standing(self, now: int) -> BusStanding | None:
        """Say that it cannot be told: rows are open, and refreshes come at fixed times."""
        del now
        return None

    def resume(self, standing: BusStanding) -> None:
        """Refuse: see ``standing``."""
        raise NotImplementedError(f"banked memory does not go on from {standing}")

    def _state(self, place: int) -> Simulated:
        """Give the tables of a simulated channel as it is."""
        return self._channels[place].side(int(self._tables.channels["now"][place]))


def _bus_cycles(dram: DramSpec, counted: dict[str, int]) -> int:
    """Cycles in which data moved, mean of the data buses of a channel."""
    accesses = counted["reads"] + counted["writes"] + counted["updates"]
    return accesses * dram.nBL // dram.pseudo_channels


def _slots(count: int) -> Any:
    """Make free slots, one after the other."""
    slots = np.zeros(count, SLOT)
    slots["next"] = np.arange(1, count + 1)
    return slots


class _Channel:
    """The tables of one simulated channel: those of two sides, of which either may be what is."""

    def __init__(self, dram: DramSpec, control: ControlSpec, path: PathRules, number: int) -> None:
        self.number = number
        channel = new_channel(dram, control)
        changing = {
            **channel._asdict(),
            "lanes": np.zeros(LANES, LANE),
            "fifos": np.array([(0, 0, WRITE)] * 2, FIFO),
            "kinds": np.zeros(2 * path.entries, np.int64),
            "port": np.array([(READ_QUEUE, 0, 0, *NO_TURNS)], PORT),
            "bursts": np.zeros(MOST_BURSTS, BURST),
        }
        del changing["rules"]
        self._shared = {
            "rules": channel.rules,
            "path": np.array([(*path, MOST_REQUESTS)], PATH),
            "requests": np.zeros(LANES * MOST_REQUESTS, REQUEST),
        }
        self._lay_out(changing)

    def row(self) -> tuple[int, ...]:
        """Make its row in the memory's table."""
        now, ahead = self._sides
        return (self.number, now, ahead, self._blocks, 0, 0, 0, 0, 0)

    def side(self, number: int) -> Simulated:
        """Give the tables that lie at ``number``."""
        tables: Simulated = self._sides[number].tables
        return tables

    def lengthen(self, room: int, memory: Memory) -> None:
        """Double the rings of requests until a lane has room for so many."""
        path, old = self._shared["path"], self._shared["requests"].reshape(LANES, -1)
        if room <= old.shape[1]:
            return
        while path["ring"][0] < room:
            path["ring"] *= 2
        place, now = self._now(memory)
        new = np.zeros((LANES, int(path["ring"][0])), REQUEST)
        for lane in range(LANES):
            numbers = np.arange(int(now.lanes["head"][lane]), int(memory.tails[LANES * place + lane]))
            new[lane, numbers % new.shape[1]] = old[lane, numbers % old.shape[1]]
        self._shared["requests"] = new.reshape(-1)
        self._renew(memory)

    def add_slots(self, more: int, memory: Memory) -> None:
        """Make room for more bursts."""
        _, now = self._now(memory)
        self._renew(memory, bursts=np.append(now.bursts, np.zeros(more, BURST)))

    def _now(self, memory: Memory) -> tuple[int, Simulated]:
        """Find its place among the channels, and its tables as it is."""
        place = int(np.flatnonzero(memory.channels["number"] == self.number)[0])
        return place, self.side(int(memory.channels["now"][place]))

    def _renew(self, memory: Memory, **changes: Any) -> None:
        """Lay out the tables anew; what the copy ran ahead to is lost."""
        place, now = self._now(memory)
        tables = {name: table for name, table in now._asdict().items() if name not in (*_SHARED, "blocks")}
        self._lay_out(tables | changes)
        memory.channels[place] = self.row()

    def _lay_out(self, changing: dict[str, Any]) -> None:
        self._sides: dict[int, Directory] = {}
        for _ in range(2):
            tables, blocks = packed(changing, BLOCK)
            every: dict[str, Any] = {**tables, **self._shared, "blocks": blocks}
            directory = Directory(Simulated(**every))
            self._sides[directory.number] = directory
            self._blocks = len(blocks)
