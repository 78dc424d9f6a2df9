"""A collective run as a kernel on the CUs: one GPU's tasks of a plan, chunk by chunk, slice by slice.

For every slice of a task the CUs read the copies it takes from DRAM (what the GPU holds, and each contribution that is
added), then hand the result to the link, or write it back. Tasks of one lane follow one another, lanes go on side by
side, each on its share of the CUs. All lanes together keep at most ``window`` bytes in flight, so a kernel on few CUs
is limited by the memory's latency (Little's law). Its accesses stream past the LLC. What its protocol adds to a step
comes between the arrival of a chunk and its use.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from simpy.events import Event

from t3sim.collectives.plan import Kind, MoveId, Operation, Plan, Task, part_of, tasks_of
from t3sim.execution.arrivals import Arrivals
from t3sim.execution.exchange import Exchange
from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.values import Numbers, summed
from t3sim.hardware.network.message import Message
from t3sim.hardware.ports import Ports
from t3sim.lowering.layout import Buffers
from t3sim.lowering.protocol import ProtocolSpec


class CollectiveKernel:
    """One collective operation on one GPU."""

    def __init__(self, ports: Ports, exchange: Exchange, protocol: ProtocolSpec, window: int) -> None:
        """``window``: bytes that its CUs keep in flight."""
        self._ports = ports
        self._exchange = exchange
        self._plan = exchange.plan
        self._protocol = protocol
        self._pieces = exchange.chunks.piece_bytes
        self._buffers = Buffers(piece_bytes=self._pieces, addresses=exchange.chunks.addresses)
        operation = self._plan.operation.value
        self._read_cause, self._write_cause = Cause(operation, Direction.READ), Cause(operation, Direction.WRITE)
        self._lanes = lanes_of(self._plan, ports.rank, staged=protocol.staged)
        working = sum(any(task.reads for task in lane) for lane in self._lanes)
        self._window = window
        self._share = window // max(1, working)
        self._sums = _sums_for_others(self._plan, ports.rank)
        self._beside = _sums_beside(self._plan, ports.rank)
        self._arrivals = Arrivals(ports.env, self._plan, ports.rank, exchange.chunks, self._sums, self._beside)
        self._values = None
        if ports.values is not None:
            self._values = ports.values.open(exchange.number, exchange.chunks, self._arrivals.slots)
        exchange.open(self, self._arrivals.parts)

    def run(self) -> Process:
        """Run all tasks; ends when all are done and all that is sent to this GPU has arrived."""
        if self._protocol.staged and self._plan.operation is Operation.ALL_TO_ALL:
            yield from self._copy_own_part()
        lanes = [self._run_lane(lane, _Window(self._ports.env, self._share)) for lane in self._lanes]
        if len(lanes) == 1:
            yield from lanes[0]
        elif lanes:
            yield self._ports.env.all_of([self._ports.env.process(lane) for lane in lanes])
        if self._values is not None:
            # What comes next finds the sums where the operation's result is.
            for move, part in self._beside.items():
                pieces = range(len(self._pieces[part]))
                self._values.put(part, pieces, self._values.read(part, pieces, self._arrivals.slots[move]))

    def arrived(self, move: MoveId, piece: int, message: Message, *, last: bool) -> None:
        """Write a piece that another GPU sent to memory."""
        part = self._arrivals.parts[move]
        place = self._buffers.place(part, piece, self._arrivals.slots.get(move))
        value = None
        if self._values is not None:
            value = self._values.of_piece(message.value, part, self._exchange.pieces(message, part), piece)
        written = partial(self._written, move, piece, message if last else None, value)
        nbytes = self._pieces[part][piece]
        self._ports.memory.submit(Stream.COMMUNICATION, Access.WRITE, nbytes, self._write_cause, place, written)

    def missing(self) -> list[str]:
        """Say which chunks have not arrived in full."""
        return self._arrivals.missing()

    def _run_lane(self, lane: tuple[Task, ...], window: "_Window") -> Process:
        for task in lane:
            if not self._plan.by_slice:
                yield from self._await(task)
            if task.reads:
                yield from self._handle(task, window)
            elif self._plan.by_slice:
                yield from self._await(task)

    def _copy_own_part(self) -> Process:
        """Copy what a rank sends to itself to the output, on all CUs."""
        own = Task(
            move=None,
            chunk=self._ports.rank * self._plan.subs,
            kind=Kind.LOCAL,
            destinations=(),
            waits=(),
            own=(),
            reads=1,
            lane=0,
        )
        yield from self._handle(own, _Window(self._ports.env, self._window))

    def _await(self, task: Task) -> Process:
        """Wait until all that ``task`` waits for is in memory, and for what the protocol adds to that."""
        for move in self._awaited(task):
            yield self._arrivals.complete(move)
        if delay := max(map(self._handshake_fs, task.waits), default=0):
            yield self._ports.env.timeout(delay)

    def _awaited(self, task: Task) -> tuple[MoveId, ...]:
        """List what ``task`` waits for: arrivals, and sums that another lane makes."""
        return (*task.waits, *(move for move in task.own if move in self._sums))

    def _handshake_fs(self, move: MoveId) -> int:
        """Wire and memory are simulated: what they leave of a step's latency."""
        source = self._arrivals.source(move)
        simulated = self._ports.network.latency_fs(source) + self._ports.memory.spec.read_latency
        return max(0, self._protocol.step_latency - simulated)

    def _handle(self, task: Task, window: "_Window") -> Process:
        """Move every slice of one chunk; ends when all have left the CUs."""
        env = self._ports.env
        part = part_of(self._plan, task.chunk)
        sizes = self._pieces[part]
        sources, awaited = self._sources(task), self._awaited(task)
        pieces = range(self._first_held(task, sizes), len(sizes))
        slices = _Slices(window, len(pieces), Event(env))
        for piece in pieces:
            nbytes = sizes[piece]
            if self._plan.by_slice:
                yield from self._arrivals.await_piece(awaited, piece)
            yield from window.enter(task.reads * nbytes)
            self._read(task, part, sources, piece, nbytes, slices)
        if sizes:
            yield slices.all_left

    def _first_held(self, task: Task, sizes: Sequence[int]) -> int:
        """Give the first piece that is left to copy when a chunk is there: what came before was copied meanwhile."""
        held = self._protocol.staging
        if held is None or task.kind is not Kind.LOCAL or not task.waits:
            return 0
        return bisect_left(range(len(sizes)), True, key=lambda first: sum(sizes[first:]) <= held)

    def _read(
        self,
        task: Task,
        part: int,
        sources: list[int | None],
        piece: int,
        nbytes: int,
        slices: "_Slices",
    ) -> None:
        gone = partial(slices.gone, task.reads * nbytes)

        def read(slot: int | None) -> None:
            if values is not None:
                taken.append(values.read(part, range(piece, piece + 1), slot))
            copies[0] -= 1
            if copies[0]:
                return
            if task.kind is Kind.LOCAL:
                written = partial(self._written_back, task.move, part, piece, target, summed(taken), gone)
                place = self._buffers.place(part, piece, target)
                memory.submit(Stream.COMMUNICATION, Access.WRITE, nbytes, self._write_cause, place, written)
            else:
                self._send(task, part, piece, nbytes, summed(taken), gone)

        copies, memory, values = [task.reads], self._ports.memory, self._values
        # Of a chunk that a staged kernel copies, buffer and stage are not told apart.
        target = sources[0] if task.move is None else self._arrivals.slots.get(task.move)
        taken: list[Numbers] = []
        for slot in sources:
            place = self._buffers.place(part, piece, slot)
            memory.submit(Stream.COMMUNICATION, Access.READ, nbytes, self._read_cause, place, partial(read, slot))

    def _sources(self, task: Task) -> list[int | None]:
        """Buffers of the copies that ``task`` takes: of what the GPU holds, then of each contribution that it adds."""
        added = [move for move in task.waits if self._arrivals.is_added(move)]
        held = [*task.own, *(move for move in task.waits if move not in added)]
        slots = self._arrivals.slots
        return [slots.get(held[0]) if held else None, *(slots.get(move) for move in added)]

    def _written_back(
        self, move: MoveId | None, part: int, piece: int, slot: int | None, value: Numbers | None, gone: Action
    ) -> None:
        if self._values is not None and value is not None:
            self._values.put(part, range(piece, piece + 1), value, slot)
        gone()
        if move in self._sums:
            self._arrivals.mark(move, piece)

    def _send(self, task: Task, part: int, piece: int, nbytes: int, value: Numbers | None, gone: Action) -> None:
        assert task.move is not None
        rate = self._ports.network.bytes_per_s(task.destinations[0])
        self._exchange.send(
            task.move,
            part,
            task.destinations,
            piece,
            len(self._pieces[part]),
            nbytes,
            accepted=gone,
            wire_bytes=self._protocol.wire_bytes(nbytes, rate),
            value=value,
        )

    def _written(self, move: MoveId, piece: int, message: Message | None, value: Numbers | None) -> None:
        if self._values is not None and value is not None:
            slot = self._arrivals.slots.get(move)
            self._values.put(self._arrivals.parts[move], range(piece, piece + 1), value, slot)
        if message is not None:
            self._exchange.consumed(message)
        self._arrivals.mark(move, piece)


class _Window:
    """Bytes that the CUs of one lane keep in flight."""

    def __init__(self, env: Environment, size: int) -> None:
        self._env = env
        self._size = size
        self._in_flight = 0
        self._room: Event | None = None

    def enter(self, nbytes: int) -> Process:
        """Wait for room and take it; more than the whole window passes when it is empty."""
        while self._in_flight and self._in_flight + nbytes > self._size:
            self._room = Event(self._env)
            yield self._room
        self._in_flight += nbytes

    def leave(self, nbytes: int) -> None:
        """Give room back."""
        self._in_flight -= nbytes
        if self._room is not None:
            room, self._room = self._room, None
            room.succeed()


@dataclass(slots=True)
class _Slices:
    """The slices of one task that have not left the CUs."""

    window: _Window
    left: int
    all_left: Event

    def gone(self, nbytes: int) -> None:
        """Count a slice that has left, and the ``nbytes`` that it kept in flight."""
        self.window.leave(nbytes)
        self.left -= 1
        if not self.left:
            self.all_left.succeed()


def _sums_for_others(plan: Plan, rank: int) -> dict[MoveId, int]:
    """Find the sums of a rank that another lane than their own waits for, each with its part of the buffer."""
    tasks = tasks_of(plan, rank)
    lanes = {task.move: task.lane for task in tasks}
    return {move: part_of(plan, task.chunk) for task in tasks for move in task.own if lanes[move] != task.lane}


def _sums_beside(plan: Plan, rank: int) -> dict[MoveId, int]:
    """Find the sums of a rank during which another of its lanes may still send what they add; each with its part."""
    tasks = tasks_of(plan, rank)
    return {
        task.move: part_of(plan, task.chunk)
        for task in tasks
        if task.kind is Kind.LOCAL and task.move is not None
        for other in tasks
        if other.reads and other.chunk == task.chunk and other.lane != task.lane and task.move not in other.own
    }


def lanes_of(plan: Plan, rank: int, *, staged: bool) -> tuple[tuple[Task, ...], ...]:
    """Group a rank's tasks by lane.

    ``staged``: data arrive in a buffer of the kernel's, so that a chunk which is only waited for has to be copied by
    the kernel itself. Copies of other chunks overlap with sending them on, and a sum is written anyway.
    """
    lanes: dict[int, list[Task]] = {}
    for task in tasks_of(plan, rank):
        copied = staged and not task.reads and task.waits
        lanes.setdefault(task.lane, []).append(replace(task, kind=Kind.LOCAL, reads=1) if copied else task)
    return tuple(tuple(lane) for lane in lanes.values())
