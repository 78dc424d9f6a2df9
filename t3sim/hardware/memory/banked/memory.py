"""The channels of one GPU's banked memory: bursts spread over them, and are done when the last one is."""

from t3sim.compiled import IntArray
from t3sim.hardware.memory.banked.channel import BankedChannel
from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.address import address_bits
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.interleave import Spread
from t3sim.hardware.memory.banked.mappings import AddressMapping
from t3sim.hardware.memory.banked.path import PathRules
from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.standing import BusStanding
from t3sim.lowering.layout import Place
from t3sim.units import FS_PER_S


class _Burst:
    """A burst that is not served in full: channels left, latest end so far, what it counts for."""

    __slots__ = ("cause", "end", "left", "nbytes", "notify")

    def __init__(self, left: int, nbytes: int, cause: int, *, notify: bool) -> None:
        self.left = left
        self.end = 0
        self.nbytes = nbytes
        self.cause = cause
        self.notify = notify


class BankedMemory:
    """The simulated channels of one GPU."""

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
        self._clock = dram.clock
        self._all = channels
        bits = address_bits(mapping, dram)
        spread = Spread(channels=channels, interleave=interleave, access=dram.access, hashed=channel_hash)
        path = PathRules(entries=path_entries, least_reads=least_reads)
        # Spread over the stacks: neighbouring channels see neighbouring blocks.
        numbers = [index * channels // simulated_channels for index in range(simulated_channels)]
        self._channels = [BankedChannel(dram, control, bits, spread, path, number) for number in numbers]
        self._open: dict[tuple[int, int], _Burst] = {}
        self._pushed = [0] * LANES
        self._untouched: list[tuple[int, int]] = []
        self._due: list[tuple[int, int, int]] = []
        """Bursts without an access on a simulated channel: as they come, and with the end they were given."""
        self._served = [0] * MOST_CAUSES

    def push(self, lane: int, nbytes: int, cause: int, place: Place, *, is_update: bool, notify: bool) -> int:
        """Append a burst to ``lane``; return its number there."""
        assert 0 <= cause < MOST_CAUSES, f"cause {cause} of {MOST_CAUSES}"
        number = self._pushed[lane]
        self._pushed[lane] += 1
        region = place()
        touched = sum(channel.push(lane, region, number, is_update=is_update) for channel in self._channels)
        burst = _Burst(touched, nbytes, cause, notify=notify)
        self._open[lane, number] = burst
        if not touched:
            self._untouched.append((lane, number))
        return number

    def advance(self, table: IntArray, now: int) -> list[tuple[int, int, int]]:
        """Serve all cycles up to ``now`` fs; return the awaited bursts this completed: lane, number, end in fs."""
        cycle = self._cycle(now)
        ended = [burst for burst in self._due if burst[2] <= now]
        self._due = [burst for burst in self._due if burst[2] > now]
        for channel in self._channels:
            ended += [(lane, number, self._fs(end)) for lane, number, end in channel.advance(table, cycle)]
        done = []
        for lane, number, end in ended:
            burst = self._open[lane, number]
            burst.left -= 1
            burst.end = max(burst.end, end)
            if burst.left <= 0:
                del self._open[lane, number]
                self._served[burst.cause] += burst.nbytes
                if burst.notify:
                    done.append((lane, number, burst.end))
        return done

    def admit(self, table: IntArray, now: int) -> int:
        """Let in what was pushed; when the next burst will have its last command on a channel, 0 if none."""
        # This instant's completions are handed out already.
        self._due += [(*burst, now + 1) for burst in self._untouched]
        self._untouched = []
        cycle = self._cycle(now)
        ends = [self._fs(end) for channel in self._channels if (end := channel.admit(table, cycle))]
        return min([*ends, *(end for _, _, end in self._due)], default=0)

    def pending(self) -> dict[int, int]:
        """Bursts not yet served, by lane."""
        return {lane: sum(key[0] == lane for key in self._open) for lane in range(LANES)}

    def served(self) -> list[int]:
        """Bytes of the bursts served in full, by cause."""
        return self._served

    def occupancy(self) -> int:
        """Count the requests in the queues of the first simulated channel."""
        return self._channels[0].occupancy

    def busy_fs(self) -> int:
        """Time in which data moved, mean of the channels."""
        cycles = sum(channel.bus_cycles for channel in self._channels)
        return cycles * FS_PER_S // (self._clock * len(self._channels))

    def counters(self) -> dict[str, int]:
        """Count commands and requests of the simulated channels together (see ``dram.channel.COUNTERS``)."""
        by_channel = [channel.counters() for channel in self._channels]
        return {name: sum(counted[name] for counted in by_channel) for name in by_channel[0]}

    def commands(self) -> dict[str, int]:
        """Count as ``counters`` does, but for all channels: those that are not simulated do as those that are."""
        return {name: round(count * self._all / len(self._channels)) for name, count in self.counters().items()}

    def faults(self) -> list[str]:
        """Say on which channels not every request counts once as a hit, a miss or a conflict of its row."""
        found = []
        for channel in self._channels:
            counted = channel.counters()
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

    def _cycle(self, now: int) -> int:
        """Last cycle whose edge is not after ``now``."""
        return ((now + 1) * self._clock - 1) // FS_PER_S

    def _fs(self, cycle: int) -> int:
        return cycle * FS_PER_S // self._clock
