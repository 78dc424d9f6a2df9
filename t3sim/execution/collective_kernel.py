"""A collective run as a kernel on the CUs: one GPU's tasks of a plan, chunk by chunk, slice by slice.

For every slice of a task the CUs read the copies it takes from DRAM (what the GPU holds, and each contribution that is
added), then hand the result to the link, or write it back. Tasks of one lane follow one another, lanes go on side by
side. All lanes together keep at most ``window`` bytes in flight, so a kernel on few CUs is limited by the memory's
latency (Little's law). Its accesses stream past the LLC. What its protocol adds to a step comes between the arrival of
a chunk and its use.
"""

from dataclasses import replace
from functools import partial

from simpy.events import Event

from t3sim.collectives.plan import Kind, MoveId, Plan, Task, part_of, tasks_of
from t3sim.execution.arrivals import Arrivals
from t3sim.execution.exchange import Exchange
from t3sim.hardware.clock import Action
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
        self._window = window
        self._in_flight = 0
        self._room: list[Event] = []
        self._arrivals = Arrivals(ports.env, self._plan, ports.rank, exchange.chunks)
        self._values = None
        if ports.values is not None:
            self._values = ports.values.open(exchange.number, exchange.chunks, self._arrivals.slots)
        exchange.open(self, self._arrivals.parts)

    def run(self) -> Process:
        """Run all tasks; ends when all are done and all that is sent to this GPU has arrived."""
        if len(self._lanes) == 1:
            yield from self._run_lane(self._lanes[0])
        elif self._lanes:
            yield self._ports.env.all_of([self._ports.env.process(self._run_lane(lane)) for lane in self._lanes])

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

    def _run_lane(self, lane: tuple[Task, ...]) -> Process:
        for task in lane:
            if not self._plan.by_slice:
                yield from self._await(task)
            if task.reads:
                yield from self._handle(task)
            elif self._plan.by_slice:
                yield from self._await(task)

    def _await(self, task: Task) -> Process:
        """Wait until all that ``task`` waits for is in memory, and for what the protocol adds to that."""
        for move in task.waits:
            yield self._arrivals.complete(move)
        if delay := max(map(self._handshake_fs, task.waits), default=0):
            yield self._ports.env.timeout(delay)

    def _handshake_fs(self, move: MoveId) -> int:
        """Wire and memory are simulated: what they leave of a step's latency."""
        source = self._arrivals.source(move)
        simulated = self._ports.network.latency_fs(source) + self._ports.memory.spec.read_latency
        return max(0, self._protocol.step_latency - simulated)

    def _handle(self, task: Task) -> Process:
        """Move every slice of one chunk; ends when all have left the CUs."""
        env = self._ports.env
        sizes = self._pieces[part_of(self._plan, task.chunk)]
        left = [len(sizes)]
        all_left = Event(env)
        for piece, nbytes in enumerate(sizes):
            if self._plan.by_slice:
                yield from self._arrivals.await_piece(task.waits, piece)
            while self._in_flight and self._in_flight + task.reads * nbytes > self._window:
                room = Event(env)
                self._room.append(room)
                yield room
            self._in_flight += task.reads * nbytes
            self._read(task, piece, nbytes, left, all_left)
        if sizes:
            yield all_left

    def _read(self, task: Task, piece: int, nbytes: int, left: list[int], all_left: Event) -> None:
        def gone() -> None:
            self._in_flight -= task.reads * nbytes
            left[0] -= 1
            waiting, self._room = self._room, []
            for room in waiting:
                room.succeed()
            if not left[0]:
                all_left.succeed()

        def read(slot: int | None) -> None:
            if values is not None:
                taken.append(values.read(part, range(piece, piece + 1), slot))
            copies[0] -= 1
            if copies[0]:
                return
            value = summed(taken)
            if task.kind is Kind.LOCAL:
                self._write_back(part, piece, nbytes, value, gone)
            else:
                self._send(task, piece, nbytes, value, gone)

        values, part = self._values, part_of(self._plan, task.chunk)
        taken: list[Numbers] = []
        copies, memory = [task.reads], self._ports.memory
        for slot in self._slots(task):
            place = self._buffers.place(part, piece, slot)
            memory.submit(Stream.COMMUNICATION, Access.READ, nbytes, self._read_cause, place, partial(read, slot))

    def _slots(self, task: Task) -> list[int | None]:
        """Buffers that ``task`` takes copies from: what the GPU holds, then each contribution that it adds."""
        added = [move for move in task.waits if self._arrivals.is_added(move)]
        held = [move for move in task.waits if move not in added]
        slots = self._arrivals.slots
        return [slots.get(held[0]) if held else None, *(slots.get(move) for move in added)]

    def _write_back(self, part: int, piece: int, nbytes: int, value: Numbers | None, gone: Action) -> None:
        def written() -> None:
            if self._values is not None and value is not None:
                self._values.put(part, range(piece, piece + 1), value)
            gone()

        place = self._buffers.place(part, piece)
        self._ports.memory.submit(Stream.COMMUNICATION, Access.WRITE, nbytes, self._write_cause, place, written)

    def _send(self, task: Task, piece: int, nbytes: int, value: Numbers | None, gone: Action) -> None:
        assert task.move is not None
        part = part_of(self._plan, task.chunk)
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
