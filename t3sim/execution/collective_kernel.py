"""A collective run as a kernel on the CUs: one GPU's tasks of a plan, chunk by chunk, slice by slice.

For every slice of a task the CUs read the copies it takes from DRAM (what the GPU holds, and each contribution that is
added), then hand the result to the link, or write it back. Tasks of one lane follow one another, lanes go on side by
side, each on its share of the CUs. All lanes together keep at most ``window`` bytes in flight, so a kernel on few CUs
is limited by the memory's latency (Little's law). Its accesses stream past the LLC. What its protocol adds to a step
comes between the arrival of a chunk and its use.

Here its tasks become rows of the data plane, which carries them out (``hardware.plane.lanes``).
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simpy.events import Event

from t3sim.collectives.plan import Kind, MoveId, Operation, Task, part_of, tasks_of
from t3sim.execution.arrivals import Arrivals
from t3sim.execution.carriers import Carriers, staged
from t3sim.execution.exchange import Exchange, first_pieces
from t3sim.execution.task_rows import TaskRows
from t3sim.hardware.clock import fire_now
from t3sim.hardware.compute.cus import READS_IN_WINDOW, Process
from t3sim.hardware.memory.access import Cause, Direction
from t3sim.hardware.memory.values import Numbers, summed
from t3sim.hardware.network.message import Template
from t3sim.hardware.plane import kinds, lanes
from t3sim.hardware.plane.plane import Plane, plane_of
from t3sim.hardware.plane.state import NONE
from t3sim.hardware.ports import Ports
from t3sim.lowering.layout import Buffers
from t3sim.lowering.protocol import ProtocolSpec


class CollectiveKernel:
    """One collective operation on one GPU."""

    def __init__(
        self, ports: Ports, exchange: Exchange, protocol: ProtocolSpec, carriers: Carriers, *, gated: bool = False
    ) -> None:
        """``gated``: whether each lane waits for its gate to be opened."""
        self._ports = ports
        self._exchange = exchange
        self._plan = exchange.plan
        self._protocol = protocol
        self._pieces = exchange.chunks.piece_bytes
        self._buffers = Buffers(piece_bytes=self._pieces)
        self._has_places = ports.memory.spec.uses_places
        self._plane = plane_of(ports.env)
        tasks = tasks_of(self._plan, ports.rank)
        self._carriers = carriers
        self._sums = carriers.sums_for_others(self._plan, tasks)
        self._beside = carriers.sums_beside(self._plan, tasks)
        self._arrivals = Arrivals(self._plan, ports.rank, exchange.chunks, self._sums, self._beside)
        self._row = self._new_kernel()
        self._first_piece = first_pieces(self._plane, exchange.chunks, with_addresses=self._has_places)
        parts, bases = self._arrivals.parts | self._sums, self._buffers.base
        self._arrivals.count(self._plane, self._row, self._first_piece, parts, bases)
        self._moves = {row: move for move, row in self._arrivals.rows.items()}
        self._tasks: dict[int, _Placed] = {}
        """In data mode: where they lie."""
        self._gates: dict[tuple[int, bool], int] = {}
        """By lane of the plan, and whether it is of its sums: the arrival that its first task waits for, too."""
        self._gated = gated
        self._complete: dict[int, Event] = {}
        """By arrival that somebody waits for."""
        self._legs: dict[tuple[tuple[int, ...], bool], list[int]] = {}
        self._own: int | None = None
        if protocol.staged and self._plan.operation is Operation.ALL_TO_ALL:
            self._own = self._add_lanes([([self._own_part()], self._new_window(carriers.window))])[0]
        self._lanes = self._new_lanes(tasks)
        self._ended = Event(ports.env)
        self._values = None
        if ports.values is not None:
            self._values = ports.values.open(exchange.number, exchange.chunks, self._arrivals.slots)
            self._plane.keep_values()
        self._taken: dict[int, list[Numbers]] = {}
        self._came: dict[int, Numbers | None] = {}
        ports.network.expect(exchange.number, self._arrivals.rows)

    def run(self) -> Process:
        """Run all tasks; ends when all are done and all that is sent to this GPU has arrived."""
        if self._own is not None:
            # What a rank sends to itself is copied to the output first, on all CUs.
            yield self._started(self._own, 1)
        if self._lanes:
            yield self._started(self._lanes[0], len(self._lanes))
        if self._values is not None:
            # What comes next finds the sums where the operation's result is.
            for move, part in self._beside.items():
                pieces = range(len(self._pieces[part]))
                self._values.put(part, pieces, self._values.read(part, pieces, self._arrivals.slots[move]))

    def arrived(self, part: int) -> Event:
        """Return the event of a part of the buffer being in memory that another GPU sends."""
        row = next(self._arrivals.rows[move] for move, own in self._arrivals.parts.items() if own == part)
        self._plane.rows("arrivals")["told"][row] = 1
        return self._complete.setdefault(row, Event(self._ports.env))

    def tell_complete(self, arrival: int) -> None:
        """Let who waits for a part go on."""
        self._complete[arrival].succeed()

    def missing(self) -> list[str]:
        """Say which chunks have not arrived in full."""
        return self._arrivals.missing()

    def _started(self, first: int, count: int) -> Event:
        """Start lanes; return the event of all being done."""
        ended = self._ended = Event(self._ports.env)
        self._plane.perform(kinds.START, first, count)
        return ended

    # Rows of the data plane.

    def _new_kernel(self) -> int:
        memory, operation = self._ports.memory, self._plan.operation.value
        causes = (memory.number_of(Cause(operation, direction)) for direction in Direction)
        row = memory.number, *causes, 0, 0, NONE, NONE
        kernels = self._plane.parts.setdefault("kernels", [])
        kernels.append(self)
        _listen(self._plane, kernels)
        return self._plane.add("kernels", [row])

    def _new_lanes(self, tasks: Sequence[Task]) -> list[int]:
        """Make lanes of tasks, each with a window, or its share of one."""
        found: dict[tuple[int, bool], list[Task]] = {}
        for task in staged(tasks) if self._protocol.staged else tasks:
            found.setdefault(self._carriers.lane(self._plan, task), []).append(task)
        windows = self._windows(found)
        return self._add_lanes([(lane, windows[place]) for place, lane in found.items()])

    def _windows(self, lanes_of: Mapping[tuple[int, bool], Sequence[Task]]) -> dict[tuple[int, bool], int]:
        """Give each lane its window: copy engines to those that copy, in turn; CUs are shared by the plan's lanes."""
        carriers = self._carriers
        working = {number for (number, _), lane in lanes_of.items() if any(task.reads for task in lane)}
        # All CUs sum what has come in a shot, or by copy engines.
        joint = self._new_window(carriers.window) if self._plan.in_shots or carriers.engines else None
        if carriers.engines:
            engines = [self._new_window(outstanding) for outstanding in carriers.engines]
            shared = {number: engines[number % len(engines)] for number, _ in lanes_of}
        else:
            share = carriers.window // max(1, len(working))
            shared = {number: self._new_window(share) for number, _ in lanes_of}
        return {(number, apart): joint if apart and joint is not None else shared[number] for number, apart in lanes_of}

    def _gate(self, task: Task) -> list[int]:
        """List the arrival that opens the gate of a lane of the plan, or of its sums, if ``task`` is its first."""
        place = task.lane, self._carriers.sums(self._plan, task)
        if not self._gated or place in self._gates:
            return []
        mark = self._plane.add("marks", [0])
        row = self._row, NONE, 0, 1, 0, NONE, NONE, mark, 0, 0, 0, 0, 0, 0
        self._gates[place] = self._plane.add("arrivals", [row])
        return [self._gates[place]]

    def open_gate(self, lane: int, *, sums: bool = False) -> None:
        """Let a lane of the plan begin, or the sums beside it."""
        self._plane.perform(kinds.MARK, self._gates[lane, sums], 0)

    def open_sums(self) -> None:
        """Let all sums begin that wait for nothing else."""
        for lane, sums in self._gates:
            if sums:
                self.open_gate(lane, sums=True)

    def _new_window(self, limit: int) -> int:
        return self._plane.add("windows", [(limit, max(1, limit // READS_IN_WINDOW), 0, NONE, NONE, 0, NONE)])

    def _add_lanes(self, lanes_of: Sequence[tuple[Sequence[Task], int]]) -> list[int]:
        """Add lanes, each of tasks and a window."""
        rows, starts = TaskRows(), [0]
        for tasks, _ in lanes_of:
            for task in tasks:
                rows.add(self._task_row(task, rows))
            starts.append(len(rows))
        self._plane.margin(max((task.reads for tasks, _ in lanes_of for task in tasks), default=0))
        first = rows.into(self._plane)
        if self._ports.values is not None:
            every = (task for tasks, _ in lanes_of for task in tasks)
            self._tasks |= {first + place: self._placed(task) for place, task in enumerate(every)}
        lane_rows = [
            (self._row, first + start, first + end, lanes.NEXT, 0, 0, NONE, 0, window, 0, 0, 0, NONE)
            for (_, window), start, end in zip(lanes_of, starts, starts[1:], strict=False)
        ]
        first_lane = self._plane.add("lanes", lane_rows)
        return list(range(first_lane, first_lane + len(lane_rows)))

    def _own_part(self) -> Task:
        """Make the task that copies what a rank sends to itself."""
        return Task(
            move=None,
            chunk=self._ports.rank * self._plan.subs,
            kind=Kind.LOCAL,
            destinations=(),
            waits=(),
            own=(),
            reads=1,
            lane=0,
        )

    def _task_row(self, task: Task, rows: TaskRows) -> tuple[int, ...]:
        """Make the row of a task; what it refers to is added to ``rows``."""
        part = part_of(self._plan, task.chunk)
        # All that it waits for: arrivals, and sums that another lane makes.
        awaited = (*task.waits, *(move for move in task.own if move in self._sums))
        by_slice = self._carriers.by_slice(self._plan, task)
        opened = self._gate(task)
        if by_slice:
            self._await_slices(task)
        template, ways, wires = NONE, [NONE], NONE
        if task.reads and task.kind is not Kind.LOCAL:
            assert task.move is not None
            made = self._exchange.template(task.move, part, task.destinations)
            template, ways = self._ports.network.template(made), self._first_legs(made)
            wires = self._wires(part, self._ports.network.bytes_per_s(task.destinations[0]))
        buffers: tuple[int | None, ...] = ()
        if self._has_places:
            placed = self._placed(task)
            buffers = placed.target, *placed.sources
        return (
            self._first_piece[part],
            self._first_held(task, self._pieces[part]),
            len(self._pieces[part]),
            int(task.kind is Kind.LOCAL),
            int(by_slice),
            task.reads,
            rows.put("first_wait", [*opened, *(self._arrivals.rows[move] for move in awaited)]),
            len(opened) + len(awaited),
            0 if by_slice else self._delay_fs(task),
            template,
            rows.put("first_way", ways),
            len(ways),
            wires,
            self._arrivals.rows[task.move] if task.move in self._sums else NONE,
            rows.put("first_base", [self._buffers.base(buffer) for buffer in buffers]),
        )

    def _first_legs(self, template: Template) -> list[int]:
        """Give the rows of the first legs of a move's ways: moves to the same GPUs have the same."""
        key = template.destinations, template.merges > 0
        if key not in self._legs:
            self._legs[key] = self._ports.network.first_legs(template)
        return self._legs[key]

    def _wires(self, part: int, rate: int) -> int:
        """Give the first row of the bytes whose time the pieces of a part hold a wire of this rate."""
        known, key = (
            self._plane.shared.setdefault("wires", {}),
            (id(self._exchange.chunks), id(self._protocol), part, rate),
        )
        if key not in known:
            sizes = self._pieces[part]
            on_wire = {
                nbytes: self._exchange.on_wire(self._protocol.wire_bytes(nbytes, rate), part) for nbytes in set(sizes)
            }
            # What is known by its place in memory has to stay there.
            first = self._plane.add("wires", [on_wire[nbytes] for nbytes in sizes])
            known[key] = first, self._exchange.chunks, self._protocol
        return int(known[key][0])

    def _await_slices(self, task: Task) -> None:
        """Let what a task waits for tell of each piece; what a protocol adds to a step comes before its use."""
        arrivals = self._plane.rows("arrivals")
        for move in (*task.waits, *(move for move in task.own if move in self._sums)):
            arrivals["by_slice"][self._arrivals.rows[move]] = 1
        if not self._plan.by_slice:
            for move in task.waits:
                arrivals["delay"][self._arrivals.rows[move]] = self._handshake_fs(move)

    def _delay_fs(self, task: Task) -> int:
        """From the moment at which all is there that a task waits for to its beginning."""
        handshake = max(map(self._handshake_fs, task.waits), default=0)
        return handshake + self._carriers.start_fs(self._plan, task)

    def _handshake_fs(self, move: MoveId) -> int:
        """Wire and memory are simulated: what they leave of a step's latency."""
        if not self._protocol.step_latency:
            return 0
        source = self._arrivals.source(move)
        simulated = self._ports.network.latency_fs(source) + self._ports.memory.spec.load_latency
        return max(0, self._protocol.step_latency - simulated)

    def _first_held(self, task: Task, sizes: Sequence[int]) -> int:
        """Give the first piece that is left to copy when a chunk is there: what came before was copied meanwhile.

        Sums, which have a move, are made of all of it.
        """
        held = self._protocol.staging
        if held is None or task.move is not None or not task.waits or self._carriers.by_slice(self._plan, task):
            return 0
        return bisect_left(range(len(sizes)), True, key=lambda first: sum(sizes[first:]) <= held)

    def _placed(self, task: Task) -> "_Placed":
        sources = self._sources(task)
        # Of a chunk that a staged kernel copies, buffer and stage are not told apart.
        target = sources[0] if task.move is None else self._arrivals.slots.get(task.move)
        return _Placed(part_of(self._plan, task.chunk), tuple(sources), target)

    def _sources(self, task: Task) -> list[int | None]:
        """Buffers of the copies that ``task`` takes: of what the GPU holds, then of each contribution that it adds."""
        added = [move for move in task.waits if self._arrivals.is_added(move)]
        held = [*task.own, *(move for move in task.waits if move not in added)]
        slots = self._arrivals.slots
        return [slots.get(held[0]) if held else None, *(slots.get(move) for move in added)]

    # What the plane tells.

    def tell_ended(self) -> None:
        """Let the program go on, at this very moment."""
        fire_now(self._ended)

    def tell_taken(self, slice_row: int, task: int, piece: int, copy: int) -> None:
        """Look at a copy of a slice."""
        assert self._values is not None
        placed = self._tasks[task]
        numbers = self._values.read(placed.part, range(piece, piece + 1), placed.sources[copy])
        self._taken.setdefault(slice_row, []).append(numbers)

    def tell_valued(self, slice_row: int, message: int) -> None:
        """Send the sum of what was read."""
        self._ports.network.values[message] = summed(self._taken.pop(slice_row))

    def tell_stored(self, slice_row: int, task: int, piece: int) -> None:
        """Keep the sum of what was read."""
        assert self._values is not None
        placed, value = self._tasks[task], summed(self._taken.pop(slice_row))
        if value is not None:
            self._values.put(placed.part, range(piece, piece + 1), value, placed.target)

    def tell_came(self, incoming: int, arrival: int, piece: int, message_row: int, leg: int) -> None:
        """Look at a piece of a message that has arrived."""
        assert self._values is not None
        message = self._ports.network.message(message_row, leg)
        part = self._arrivals.parts[self._moves[arrival]]
        pieces = self._exchange.pieces(message, part)
        self._came[incoming] = self._values.of_piece(message.value, part, pieces, piece)

    def tell_put(self, incoming: int, arrival: int, piece: int) -> None:
        """Keep it where it is written."""
        assert self._values is not None
        value, move = self._came.pop(incoming), self._moves[arrival]
        if value is not None:
            part = self._arrivals.parts[move]
            self._values.put(part, range(piece, piece + 1), value, self._arrivals.slots.get(move))


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where the slices of a task lie: part of the buffer, and which buffers for copies; ``None``: the GPU's own."""

    part: int
    sources: tuple[int | None, ...]
    target: int | None


def _listen(plane: Plane, kernels: list[CollectiveKernel]) -> None:
    """Let the plane tell kernels what they have to know."""

    def of(row: int) -> tuple[CollectiveKernel, int, int]:
        found = plane.rows("slices")[row]
        kernel = kernels[int(plane.rows("lanes")["kernel"][found["lane"]])]
        return kernel, int(found["task"]), int(found["piece"])

    def taken(row: int, copy: int, _c: int) -> None:
        kernel, task, piece = of(row)
        kernel.tell_taken(row, task, piece, copy)

    def stored(row: int, _b: int, _c: int) -> None:
        kernel, task, piece = of(row)
        kernel.tell_stored(row, task, piece)

    def came(row: int, _b: int, _c: int) -> None:
        found = plane.rows("incoming")[row]
        arrival = int(found["arrival"])
        kernel = kernels[int(plane.rows("arrivals")["kernel"][arrival])]
        kernel.tell_came(row, arrival, int(found["piece"]), int(found["message"]), int(found["leg"]))

    def complete(arrival: int, _b: int, _c: int) -> None:
        kernels[int(plane.rows("arrivals")["kernel"][arrival])].tell_complete(arrival)

    def put(row: int, arrival: int, piece: int) -> None:
        kernels[int(plane.rows("arrivals")["kernel"][arrival])].tell_put(row, arrival, piece)

    plane.handlers |= {
        kinds.TELL_ENDED: lambda kernel, _b, _c: kernels[kernel].tell_ended(),
        kinds.TELL_COMPLETE: complete,
        kinds.TELL_TAKEN: taken,
        kinds.TELL_VALUED: lambda row, message, _c: of(row)[0].tell_valued(row, message),
        kinds.TELL_STORED: stored,
        kinds.TELL_CAME: came,
        kinds.TELL_PUT: put,
    }
