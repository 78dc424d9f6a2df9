"""The data plane as Python sees it: one for each SimPy environment, whose parts put their rows in and call it.

SimPy's events and those of the plane happen in one order, by time, order and number, as if there were one queue: the
plane has an event in SimPy's queue where its own next one is, runs from there up to SimPy's next one, and both count
their events with the same numbers. Where something of Python's is to be done, the plane stops, Python does it, and the
plane goes on; what Python asks of it meanwhile is done at once.
"""

import importlib
from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, cast

import numpy as np

from t3sim.compiled import Direct, IntArray
from t3sim.errors import SimulationError
from t3sim.hardware.clock import Action, Environment, event_of
from t3sim.hardware.memory.fluid.tables import BURST, COMPLETED, NOW, FrontEnd, Queues, ServiceTimes, new_front_end
from t3sim.hardware.memory.model import LANES, MOST_CAUSES, ServedMemory
from t3sim.hardware.plane import state as tables
from t3sim.hardware.plane.engine import DONE, FULL, PUSH, RUN, Engine
from t3sim.hardware.plane.kinds import TELL
from t3sim.hardware.plane.queue import ORDER_BITS
from t3sim.hardware.plane.state import POOLS, ROWS, State
from t3sim.tables import Directory

Handler = Callable[[int, int, int], None]

_GROWING = (
    "controllers",
    "links",
    "channels",
    "legs",
    "onward",
    "ways",
    "templates",
    "adders",
    "receivers",
    "ends",
    "reducers",
    "troubles",
    "outages",
    "tries",
    "kernels",
    "windows",
    "lanes",
    "tasks",
    "waits",
    "arrivals",
    "marks",
    "pieces",
    "wires",
    "pipelines",
    "slabs",
    "buffers",
    "units",
    "stations",
    "tiles",
    "places",
    "groups",
    "fires",
    "begun",
    "engines",
    "trackers",
    "sets",
    "memories",
    "regions",
    "addresses",
    "bases",
    "spots",
)
"""Tables that parts add rows to."""
_LEAST = 16
_MARGIN = 64
_FIELDS = tables.CLOCK.names or ()
_NOW, _SEQUENCE, _EVENTS, _FRAMES, _NEED, _MARGIN_AT, _PROBING, _VALUES, _KIND, _A, _B, _C, _SERIALS, *_ = range(20)
_LOW = (1 << ORDER_BITS) - 1

_PLANE = "t3sim_plane"
"""Attribute of an environment: so its plane goes when it goes."""


def plane_of(env: Environment) -> "Plane":
    """Return the data plane of an environment."""
    plane: Plane | None = getattr(env, _PLANE, None)
    if plane is None:
        plane = Plane(env)
        setattr(env, _PLANE, plane)
    return plane


class Plane:
    """All that moves bytes in one environment."""

    def __init__(self, env: Environment) -> None:
        self.env = env
        self.clock: IntArray = np.zeros(len(_FIELDS), np.int64)
        self._now: Any = memoryview(cast("Any", self.clock))
        self._now[_MARGIN_AT] = _MARGIN
        self._used = dict.fromkeys(_GROWING, 0)
        self._arrays: dict[str, Any] = {
            name: np.zeros(_LEAST, ROWS.get(name, np.int64)) for name in State._fields if name not in POOLS
        }
        self._arrays |= {
            "clock": self.clock.view(tables.CLOCK),
            "frames": np.zeros(8 * _MARGIN, tables.FRAME),
            "events": np.zeros(8 * _MARGIN, tables.EVENT),
            "pools": np.zeros(len(POOLS), tables.POOL),
        }
        for pool, name in enumerate(POOLS):
            self._arrays[name] = np.zeros(0, ROWS[name])
            self._widen(pool, 4 * _MARGIN)
        self._used["regions"] = 1  # for what is worked out as it is asked for
        self._memory = _stacked([_NO_MEMORY])
        self._front_ends: list[FrontEnd] = []
        """Of controllers, as long as nobody has asked for them all."""
        self.tails: IntArray = np.zeros((1, LANES), np.int64)
        """By controller and lane: its end."""
        self.asked: Any = np.zeros((1, MOST_CAUSES), tables.ASKED)
        """By controller and cause."""
        self._engine: Engine | None = None
        self._memories: list[ServedMemory] = []
        self._tables: dict[int, int] = {}
        self._kept: list[IntArray] = []
        self._directory: Directory | None = None
        self._heap: Any = memoryview(self._arrays["events"].view(np.int64))
        self._running = False
        self._wakes: list[tuple[int, int]] = []
        self._actions: dict[int, Action] = {}
        self._numbers = count(1)
        self.handlers: dict[int, Handler] = {}
        """By kind: what Python does when it is told."""
        self.parts: dict[str, list[Any]] = {}
        """By the name of a table: the parts of Python that its rows belong to."""
        self.shared: dict[str, dict[Any, Any]] = {}
        """What parts have added that others may use as well."""
        self.refill: Callable[[], None] | None = None
        """Draws more random numbers where they run out."""

    # What parts put in.

    def add(self, table: str, rows: Any) -> int:
        """Add rows (tuples in the order of the fields, or numbers) to a table; return the place of the first."""
        first, array = self._used[table], self._arrays[table]
        end = first + len(rows)
        if end > len(array):
            grown = np.zeros(max(end, 2 * len(array)), array.dtype)
            grown[:first] = array[:first]
            array = self._arrays[table] = grown
            self._directory = None
        if len(rows):
            array[first:end] = rows
        self._used[table] = end
        return first

    def rows(self, table: str) -> Any:
        """Return a table; it is replaced by another array when it grows."""
        return self._arrays[table]

    def add_controller(self, memory: ServedMemory | tuple[Any, ...], read_latency: int) -> int:
        """Add a memory controller, before its memory. Raises ``SimulationError`` for memories of two models."""
        number = self._used["controllers"]
        front_end, directory = _NO_MEMORY, 0
        if isinstance(memory, tuple):
            front_end = FrontEnd(*memory)
            engine = _of_fluid(in_order=bool(front_end.service["in_order"][0]))
        else:
            engine, directory = memory.engine, memory.join(self, number)
            self._memories.append(memory)
        if number and engine is not self._engine:
            raise SimulationError("what moves bytes in one environment has memories of one model")
        self._engine = engine
        assert not self.tails.any(), "controllers are added before any of them has had a burst"
        self._front_ends.append(front_end)
        if number:
            self.tails = np.append(self.tails, np.zeros((1, LANES), np.int64), axis=0)
            self.asked = np.append(self.asked, np.zeros((1, MOST_CAUSES), tables.ASKED), axis=0)
        self._directory = None
        self.add("memories", [directory])
        return self.add("controllers", [(0, 0, -1, read_latency, 0, 0, 0, 0)])

    @property
    def memory(self) -> FrontEnd:
        """The fluid memories: by controller, then as one of them has it."""
        if self._front_ends:
            known = len(self.tails) - len(self._front_ends)
            old = [FrontEnd(*(part[each] for part in self._memory)) for each in range(known)]
            self._memory = _stacked([*old, *self._front_ends])
            self._front_ends = []
        return self._memory

    def table(self, table: IntArray) -> int:
        """Add a decision table of arbitration, if it is not there yet; return its number."""
        number = self._tables.get(id(table))
        if number is None:
            number = self._tables[id(table)] = len(self._kept)
            self._kept.append(table)
            entries, counted = (max(one.shape[axis] for one in self._kept) for axis in (2, 4))
            padding = [
                [(0, 0), (0, 0), (0, entries - one.shape[2]), (0, 0), (0, counted - one.shape[4])] for one in self._kept
            ]
            # What passes a policy's limit counts as at its limit.
            padded = [np.pad(one, pads, "edge") for one, pads in zip(self._kept, padding, strict=True)]
            self._arrays["tables"] = np.stack(padded).reshape(-1)
            clock = self._arrays["clock"][0]
            clock["table_entries"], clock["table_counts"] = entries, counted
            self._directory = None
        return number

    def margin(self, rows: int) -> None:
        """Keep so many rows of each pool free: as many as what happens at once may take."""
        if rows + _MARGIN > self._now[_MARGIN_AT]:
            self._now[_MARGIN_AT] = rows + _MARGIN
            self._now[_NEED] = 1

    def observe(self) -> None:
        """Tell Python what a probe wants to see."""
        self._now[_PROBING] = 1

    def keep_values(self) -> None:
        """Tell Python of all that moves, for data mode."""
        self._now[_VALUES] = 1

    def take(self, pool: int, values: tuple[int, ...]) -> int:
        """Take a free row of a pool, with these values but for its ``next``, which is the last."""
        if self._now[_NEED]:
            self._grow()
        free, rows = self._arrays["pools"][pool], self._arrays[POOLS[pool]]
        row = int(free["free"])
        after = int(rows["next"][row])
        rows[row] = (*values, after)
        free["free"] = after
        free["left"] -= 1
        if free["left"] < self._now[_MARGIN_AT]:
            self._now[_NEED] = 1
        return row

    def next_serial(self) -> int:
        """Return a number that no other message has."""
        self._now[_SERIALS] += 1
        return int(self._now[_SERIALS])

    # What they call.

    def action(self, action: Action) -> int:
        """Keep something of Python's that the plane is to do once: with this number, by a frame ``TELL``."""
        number = next(self._numbers)
        self._actions[number] = action
        return number

    def do(self, entry: int, *arguments: int) -> int:
        """Call the plane now (see ``engine.RUN`` and its like), and let it do all that this leads to at once."""
        now, env = self._now, self.env
        floor = now[_FRAMES]
        now[_NOW] = env._now  # noqa: SLF001
        now[_SEQUENCE] = next(env._eid)  # noqa: SLF001
        if now[_NEED]:
            self._grow()
        result = cast("int", self._entry(entry).call(self.address, *arguments))
        if now[_FRAMES] > floor or now[_NEED]:
            while self._step(floor, -1, 0):
                pass
        env._eid = count(now[_SEQUENCE])  # noqa: SLF001
        if not self._running:
            self._plan()
        return result

    def _entry(self, entry: int) -> Direct[..., int | None]:
        """Say what does it; where there are no memories, the engine of fluid ones."""
        if self._engine is None:
            self._engine = _of_fluid(in_order=True)
        return self._engine[entry]

    def perform(self, kind: int, a: int = 0, b: int = 0, c: int = 0) -> None:
        """Do a frame now."""
        self.do(PUSH, kind, a, b, c)

    @property
    def address(self) -> Any:
        """What compiled code is handed: all tables as they are now."""
        if self._directory is None:
            arrays, clock = self._arrays, self._arrays["clock"][0]
            arrays |= {name: table.reshape(-1) for name, table in self.memory._asdict().items()}
            arrays |= {"tails": self.tails.reshape(-1), "asked": self.asked.reshape(-1)}
            self._heap = memoryview(arrays["events"].view(np.int64))
            clock["event_room"], clock["frame_room"] = len(arrays["events"]), len(arrays["frames"])
            clock["ring"], clock["entries"] = self.memory.bursts.shape[2], self.memory.queue.shape[2]
            clock["late_room"] = self.memory.late.shape[2]
            self._directory = Directory(State(**{name: arrays[name] for name in State._fields}))
        return self._directory.address

    # How it runs.

    def _step(self, floor: int, time: int, key: int) -> bool:
        """Run until something is to be told, and tell it; whether there may be more to do."""
        now, env = self._now, self.env
        why = self._entry(RUN).call(self.address, floor, time, key)
        if why == DONE:
            return False
        if why == FULL:
            self._grow()
            return True
        env._now = now[_NOW]  # noqa: SLF001
        env._eid = count(now[_SEQUENCE])  # noqa: SLF001
        kind = now[_KIND]
        if kind == TELL:
            self._actions.pop(now[_A])()
        else:
            self.handlers[kind](now[_A], now[_B], now[_C])
        now[_SEQUENCE] = next(env._eid)  # noqa: SLF001
        return True

    def _fire(self) -> None:
        """Do what comes before SimPy's next event."""
        heappop(self._wakes)
        now, env = self._now, self.env
        now[_SEQUENCE] = next(env._eid)  # noqa: SLF001
        self._running = True
        try:
            going = True
            while going:
                time, key = _FOREVER, 0
                if env._queue:  # noqa: SLF001
                    first: Any = env._queue[0]  # noqa: SLF001
                    time, key = first[0], (first[1] << ORDER_BITS) | first[2]
                going = self._step(0, time, key)
        finally:
            self._running = False
        now[_NOW] = max(now[_NOW], env._now)  # noqa: SLF001
        env._now = now[_NOW]  # noqa: SLF001
        env._eid = count(now[_SEQUENCE])  # noqa: SLF001
        self._plan()

    def _plan(self) -> None:
        """Have SimPy come to the plane's next event."""
        if not self._now[_EVENTS]:
            return
        place = self._heap[0], self._heap[1]
        if not self._wakes or place < self._wakes[0]:
            heappush(self._wakes, place)
            entry = (place[0], cast("Any", place[1] >> ORDER_BITS), place[1] & _LOW, event_of(self._fire))
            heappush(self.env._queue, entry)  # noqa: SLF001

    # How it grows.

    def _grow(self) -> None:
        now, arrays = self._now, self._arrays
        margin = now[_MARGIN_AT]
        for name, used in (("events", now[_EVENTS]), ("frames", now[_FRAMES])):
            while used + margin >= len(arrays[name]):
                arrays[name] = np.append(arrays[name], np.zeros(len(arrays[name]), arrays[name].dtype))
        for pool, name in enumerate(POOLS):
            while arrays["pools"]["left"][pool] <= margin:
                self._widen(pool, max(len(arrays[name]), 4 * _MARGIN))
        self._lengthen(margin)
        for memory in self._memories:
            memory.grow(margin)
        if self.refill is not None:
            self.refill()
        self._directory = None
        now[_NEED] = 0

    def _widen(self, pool: int, more: int) -> None:
        """Add rows to a pool."""
        name = POOLS[pool]
        old = self._arrays[name]
        new = np.zeros(more, old.dtype)
        new["next"] = np.arange(len(old) + 1, len(old) + more + 1)
        new["next"][-1] = self._arrays["pools"]["free"][pool] if self._arrays["pools"]["left"][pool] else tables.NONE
        self._arrays[name] = np.append(old, new)
        self._arrays["pools"]["free"][pool] = len(old)
        self._arrays["pools"]["left"][pool] += more

    def _lengthen(self, margin: int) -> None:
        """Double the rings of bursts until all lanes have room."""
        memory, tails = self.memory, self.tails
        serving = memory.queue_lanes["serving"][:, NOW]
        while int((tails - serving).max()) + margin > memory.bursts.shape[2]:
            old = memory.bursts
            new = np.zeros((*old.shape[:2], 2 * old.shape[2]), BURST)
            for place in np.ndindex(tails.shape):
                numbers = np.arange(int(serving[place]), int(tails[place]))[-old.shape[2] :]
                new[(*place, numbers % new.shape[2])] = old[(*place, numbers % old.shape[2])]
            completed = np.zeros((len(tails), LANES * new.shape[2]), COMPLETED)
            completed[:, : memory.completed.shape[1]] = memory.completed
            memory = memory._replace(bursts=new, completed=completed)
        self._memory = memory


def _of_fluid(*, in_order: bool) -> Engine:
    """Import the engine where it is needed: what is imported is said to be compiled by the first run."""
    if in_order:
        found = importlib.import_module("t3sim.hardware.memory.fluid.in_order_engine")
    else:
        found = importlib.import_module("t3sim.hardware.memory.fluid.engine")
    engine: Engine = found.ENGINE
    return engine


_FOREVER = np.iinfo(np.int64).max
_NO_MEMORY = new_front_end(Queues(in_order=1, read_entries=1), ServiceTimes(1, 1, 1, 1, 0, 0))


def _stacked(memories: list[FrontEnd]) -> FrontEnd:
    """Put the tables of several memories into one, each as large as the largest."""
    return FrontEnd(*(_stack(parts) for parts in zip(*memories, strict=True)))


def _stack(parts: tuple[Any, ...]) -> Any:
    shape = np.max([part.shape for part in parts], axis=0)
    stacked = np.zeros((len(parts), *shape), parts[0].dtype)
    for number, part in enumerate(parts):
        stacked[number][tuple(map(slice, part.shape))] = part
    return stacked
