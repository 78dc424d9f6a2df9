"""The fluid channel: one server behind the front end for all DRAM channels, compiled; its settings are in ``spec``."""

import numpy as np

from t3sim.compiled import Direct, IntArray, compiled
from t3sim.hardware.memory.fluid.frontend import (
    AHEAD,
    BURST,
    COMPLETED,
    COUNTERS,
    NOW,
    ServiceTimes,
    State,
    admit,
    extend_lanes,
    look_ahead,
    new_state,
)
from t3sim.hardware.memory.model import LANES, MOST_CAUSES
from t3sim.hardware.memory.turns import NO_TURNS, TURNS
from t3sim.hardware.standing import BusStanding
from t3sim.lowering.layout import Place

_FOREVER = np.iinfo(np.int64).max


class FluidChannel:
    """Queue and channel of one GPU's memory, all DRAM channels as one; advanced lazily and exactly by compiled code."""

    def __init__(self, queue_entries: int, times: ServiceTimes) -> None:
        self._state = new_state(queue_entries, times)
        self._tails = np.zeros(LANES, np.int64)
        self._serving: IntArray = self._state.lanes["serving"][NOW]
        """First burst of each lane that is not served in full."""

    def push(self, lane: int, nbytes: int, cause: int, place: Place, *, is_update: bool, notify: bool) -> int:
        """Append a burst to ``lane``; it takes part in arbitration from the next ``admit`` on."""
        del place  # one server: all addresses are alike
        assert 0 <= cause < MOST_CAUSES, f"cause {cause} of {MOST_CAUSES}"
        tail = int(self._tails[lane])
        if tail - int(self._serving[lane]) >= self._state.bursts.shape[1]:
            self._grow()
        bursts = self._state.bursts
        bursts[lane, tail % bursts.shape[1]] = (nbytes, cause, is_update, notify)
        self._tails[lane] = tail + 1
        return tail

    def advance(self, table: IntArray, now: int) -> list[tuple[int, int, int]]:
        """Serve all that starts before ``now``; nothing that arrives later can change it.

        Returns the awaited bursts this completed: lane, number, end in fs; an end may lie after ``now``.
        """
        done = _SERVE.call(self._state, NOW, table, now, False)
        completed: list[tuple[int, int, int]] = self._state.completed[:done].tolist() if done else []
        return completed

    def admit(self, table: IntArray, now: int) -> int:
        """Let in what was pushed, at ``now``; the end of the next awaited burst if nothing more comes, or 0."""
        return _ADMIT.call(self._state, self._tails, table, now)

    def pending(self) -> dict[int, int]:
        """Bursts not yet served, by lane."""
        return {lane: int(self._tails[lane] - self._serving[lane]) for lane in range(LANES)}

    def served(self) -> list[int]:
        """Bytes served, by cause."""
        served: list[int] = self._state.served[NOW].tolist()
        return served

    def occupancy(self) -> int:
        """Count the requests in the DRAM queue."""
        return int(self._state.server["count"][NOW])

    def busy_fs(self) -> int:
        """Time spent serving."""
        return int(self._state.server["busy"][NOW])

    def counters(self) -> dict[str, int]:
        """Count changes of direction and of stream so far, by the names of ``frontend.COUNTERS``."""
        return {name: int(self._state.server[name][NOW]) for name in COUNTERS}

    def commands(self) -> dict[str, int]:
        """Count nothing: there are no rows to open."""
        return {}

    def faults(self) -> list[str]:
        """Find nothing: what is served is what came."""
        return []

    def standing(self, now: int) -> BusStanding:
        """Say how it stands, with nothing left to serve."""
        server, longest = self._state.server, self._longest_switch_fs()
        turns = tuple(int(server[name][NOW]) for name in TURNS)
        last = BusStanding(int(server["last_lane"][NOW]), longest, () if turns == NO_TURNS else turns)
        return last.later(now - int(server["free_at"][NOW]))

    def resume(self, standing: BusStanding) -> None:
        """Go on from there, at time 0."""
        server = self._state.server
        server["last_lane"][NOW] = standing.last_lane
        server["free_at"][NOW] = standing.turning_fs - self._longest_switch_fs()
        for name, value in zip(TURNS, standing.turns or NO_TURNS, strict=True):
            server[name][NOW] = value

    def _longest_switch_fs(self) -> int:
        times = self._state.times
        return int(max(times["turnaround"][0], times["stream_switch"][0]))

    def _grow(self) -> None:
        old = self._state.bursts
        new = np.zeros((LANES, 2 * old.shape[1]), BURST)
        for lane in range(LANES):
            numbers = np.arange(int(self._serving[lane]), int(self._tails[lane]))
            new[lane, numbers % new.shape[1]] = old[lane, numbers % old.shape[1]]
        completed = np.zeros(2 * len(self._state.completed), COMPLETED)
        self._state = self._state._replace(bursts=new, completed=completed)


@compiled
def _service_fs(state: State, side: int, lane: int, nbytes: int, is_update: int, start: int) -> int:
    times: ServiceTimes = state.times[0]
    server, last = state.server[side], state.server[side].last_lane
    full = times.update if is_update else times.access
    cost = -(-full * nbytes // times.granule)
    if last >= 0 and last != lane:
        turns = (last & 1) != (lane & 1)
        server.bus_turnarounds += turns
        server.stream_switches += not turns
        switch = times.turnaround if turns else times.stream_switch
        cost += max(switch - (start - server.free_at), 0)  # the bus turns while the channel idles
    return int(cost)


@compiled
def _serve_one(state: State, side: int, start: int) -> int:
    """Serve the oldest request at ``start``; return the lane of the burst this completes, or -1."""
    server, request = state.server[side], state.queue[side, state.server[side].first]
    number, nbytes = request.lane, request.nbytes
    lane, ring = state.lanes[side, number], state.bursts.shape[1]
    burst = state.bursts[number, lane.serving % ring]
    server.first = (server.first + 1) % state.queue.shape[1]
    server.count -= 1
    cost = _service_fs(state, side, number, nbytes, burst.is_update, start)
    server.free_at = start + cost
    server.busy += cost
    server.last_lane = number
    state.served[side, burst.cause] += nbytes
    lane.serving_left -= nbytes
    if lane.serving_left > 0:
        return -1
    lane.serving += 1
    if lane.serving < lane.tail:
        lane.serving_left = state.bursts[number, lane.serving % ring].nbytes
    return int(number)


@compiled
def _advance(state: State, side: int, table: IntArray, until: int, only_first: bool) -> int:
    """Serve the requests that start before ``until``; return how many awaited bursts completed.

    ``only_first``: stop at the first of them.
    """
    server, bursts = state.server[side], state.bursts
    count = 0
    while server.count > 0:
        start = max(server.free_at, server.clock)
        if start >= until:
            break
        lane = _serve_one(state, side, start)
        admit(state, side, table)
        if lane >= 0:
            number = state.lanes[side, lane].serving - 1
            if bursts[lane, number % bursts.shape[1]].notify:
                burst = state.completed[count]
                burst.lane = lane
                burst.number = number
                burst.end = server.free_at
                count += 1
                if only_first:
                    break
    return count


@compiled
def _admit_and_predict(state: State, tails: IntArray, table: IntArray, now: int) -> int:
    extend_lanes(state, tails, now)
    admit(state, NOW, table)
    look_ahead(state)
    if _advance(state, AHEAD, table, _FOREVER, True) > 0:
        return int(state.completed[0].end)
    return 0


_SERVE, _ADMIT = Direct(_advance), Direct(_admit_and_predict)
