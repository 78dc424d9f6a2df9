"""A collective kernel in plain Python: a process for each lane, an event for each thing that is waited for.

Used as the truth for the compiled lanes, and for what becomes of pieces that arrive. It runs on the memory and the
network of the machine, which have references of their own (``test_memory``, ``link_reference``).
"""

from dataclasses import dataclass

from t3sim.collectives.plan import Kind, MoveId, Operation, arrivals_of, part_of, tasks_of
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.network.message import Message
from t3sim.lowering.layout import linear

PARTS_OF_A_WINDOW = 8


@dataclass(frozen=True, eq=False)
class Job:
    """What a lane does with one chunk."""

    part: int
    copies: int
    """To read: what the GPU has, and each contribution that is added."""
    pieces: range
    chunk_waits: list
    """Moves that have to be in memory in full."""
    delay: int
    """From that on."""
    slice_waits: list
    """Moves of which a slice has to be in memory for that slice to be read."""
    task: object = None
    """``None``: only a copy."""


class Window:
    """Bytes in flight, of lanes that take turns by slices: the first in line reads all of one, then the next."""

    def __init__(self, env, limit):
        self.env, self.limit = env, limit
        self.part = max(1, limit // PARTS_OF_A_WINDOW)
        self.in_flight, self.line = 0, []
        self.changed = env.event()

    def turn(self, lane):
        """Wait for a lane's turn."""
        self.line.append(lane)
        while self.line[0] != lane:
            yield self.changed

    def enter(self, nbytes):
        """Wait for room; more than the whole window passes when it is empty."""
        while self.in_flight and self.in_flight + nbytes > self.limit:
            yield self.changed
        self.in_flight += nbytes

    def change(self, nbytes):
        """Take so many bytes more, or give them back; who waits looks again."""
        self.in_flight += nbytes
        changed, self.changed = self.changed, self.env.event()
        changed.succeed()

    def pass_on(self):
        """End a turn."""
        self.line.pop(0)
        self.change(0)


class ReferenceKernel:
    """One collective operation on one GPU; ``pieces``: bytes of all pieces of each part of the buffer."""

    def __init__(self, ports, network, plan, pieces, protocol, window):
        self.ports, self.network, self.env = ports, network, ports.env
        self.plan, self.pieces, self.protocol, self.window = plan, pieces, protocol, window
        self.tasks = tasks_of(plan, ports.rank)
        self.senders = {arrival.move: arrival.source for arrival in arrivals_of(plan, ports.rank)}
        self.parts = {arrival.move: part_of(plan, arrival.chunk) for arrival in arrivals_of(plan, ports.rank)}
        self.parts |= {task.move: part_of(plan, task.chunk) for task in self.tasks if task.kind is Kind.LOCAL}
        self.complete = {move: self.env.event() for move in self.parts}
        self.usable = {(move, piece): self.env.event() for move in self.parts for piece in self.pieces_of(move)}
        self.left = {move: len(self.pieces_of(move)) for move in self.parts}
        for move, left in self.left.items():
            if not left:
                self.complete[move].succeed()
        network.attach(ports.rank, self.delivered)

    def pieces_of(self, move):
        """Give the numbers of a move's pieces."""
        return range(len(self.pieces[self.parts[move]]))

    def run(self):
        """Run all lanes; a staged all-to-all first copies what the rank sends to itself, with the whole window."""
        if self.protocol.staged and self.plan.operation is Operation.ALL_TO_ALL:
            part = part_of(self.plan, self.ports.rank * self.plan.subs)
            own = Job(part, 1, range(len(self.pieces[part])), [], 0, [])
            yield from self.lane("own", [own], Window(self.env, self.window))
        lanes = self.lanes()
        if len(lanes) == 1:
            yield from self.lane(*lanes[0])
        elif lanes:
            yield self.env.all_of([self.env.process(self.lane(*lane)) for lane in lanes])

    # Which lanes there are.

    def lanes(self):
        """Give (name, jobs, window) of each lane: those of the plan, and those of the last sums beside them.

        Lanes of the plan that read have equal shares of the window; last sums share that of their lane. What is done
        with what shots have brought has the whole window together.
        """
        jobs = {}
        for task in self.tasks:
            beside = self.is_after_a_shot(task) or (self.is_last_sum(task) and not self.plan.by_slice)
            jobs.setdefault((task.lane, beside), []).append(self.job(task))
        working = {lane for (lane, _), of_lane in jobs.items() if any(job.copies for job in of_lane)}
        shares = {lane: Window(self.env, self.window // max(1, len(working))) for lane, _ in jobs}
        shots = Window(self.env, self.window)
        return [
            (name, of_lane, shots if name[1] and self.plan.in_shots else shares[name[0]])
            for name, of_lane in jobs.items()
        ]

    def is_after_a_shot(self, task):
        """Whether a task sums, or copies from a stage, what has come in a shot."""
        sums, is_copy = task.kind is Kind.LOCAL, self.protocol.staged and not task.reads
        return self.plan.in_shots and (sums or is_copy)

    def is_last_sum(self, task):
        """Whether a task makes a sum that is part of no further one."""
        if self.plan.in_shots or task.move is None or task.kind is not Kind.LOCAL:
            return False
        return not any(task.move.number in move.after for move in self.plan.moves if move.kind is not Kind.COPY)

    def job(self, task):
        """Say what is to be done: a staged kernel also copies what is only waited for."""
        part, sizes = part_of(self.plan, task.chunk), self.pieces[part_of(self.plan, task.chunk)]
        is_copy = self.protocol.staged and not task.reads
        copies, awaited = 1 if is_copy else task.reads, [*task.waits, *task.own]
        if copies and (self.plan.by_slice or self.is_last_sum(task)):
            return Job(part, copies, range(len(sizes)), [], 0, awaited, None if is_copy else task)
        held, first = self.protocol.staging, 0
        if held is not None and is_copy:
            while sum(sizes[first:]) > held:  # more than its stage holds was copied as it came
                first += 1
        delay = max(map(self.rest_of_step, task.waits), default=0)
        return Job(part, copies, range(first, len(sizes)), awaited, delay, [], None if is_copy else task)

    def rest_of_step(self, move):
        """Give what a step takes beyond the wires and the memory, which are simulated."""
        if not self.protocol.step_latency:
            return 0
        simulated = self.network.route_latency_fs(self.senders[move], self.ports.rank)
        return max(0, self.protocol.step_latency - simulated - self.ports.memory.spec.read_latency)

    # What they do.

    def lane(self, name, jobs, window):
        """Do one job after the other: each ends when all its slices have left the CUs."""
        for job in jobs:
            for move in job.chunk_waits:
                yield self.complete[move]
            if job.delay:
                yield self.env.timeout(job.delay)
            slices = []
            for piece in job.pieces if job.copies else ():
                for move in job.slice_waits:
                    yield self.usable[move, piece]
                yield from window.turn(name)
                slices.append(Slice(self, job, piece, window))
                yield from slices[-1].ask()
                window.pass_on()
            for each in slices:
                yield each.gone

    def submit(self, access, nbytes, done):
        """Read or write."""
        cause = Cause(self.plan.operation.value, Direction.READ if access is Access.READ else Direction.WRITE)
        self.ports.memory.submit(Stream.COMMUNICATION, access, nbytes, cause, lambda: linear(0, nbytes), done)

    def delivered(self, message):
        """Write what has come to memory; then its buffer is free."""
        move = MoveId(message.home, message.move)

        def written():
            self.network.consumed(message)
            self.made(move, message.piece, 0 if self.plan.by_slice else self.rest_of_step(move))

        self.submit(Access.WRITE, message.nbytes, written)

    def made(self, move, piece, delay):
        """Note that a piece is in memory, which may be used after a while; or whoever waits for all may look."""
        usable = self.usable[move, piece]
        if delay:
            self.env.timeout(delay).callbacks.append(lambda _: usable.succeed())
        else:
            usable.succeed()
        self.left[move] -= 1
        if not self.left[move]:
            self.complete[move].succeed()


class Slice:
    """A slice on its way through the CUs."""

    def __init__(self, kernel, job, piece, window):
        self.kernel, self.job, self.piece, self.window = kernel, job, piece, window
        self.nbytes = kernel.pieces[job.part][piece]
        self.gone = kernel.env.event()
        parts = [min(window.part, self.nbytes - at) for at in range(0, self.nbytes, window.part)]
        self.reads = [part for part in parts for _ in range(job.copies)]
        self.missing = len(self.reads)

    def ask(self):
        """Ask for all its reads, as there is room: part by part, each of all copies."""
        for nbytes in self.reads:
            yield from self.window.enter(nbytes)
            self.kernel.submit(Access.READ, nbytes, lambda nbytes=nbytes: self.came(nbytes))

    def came(self, nbytes):
        """Give the room of a read to the next one. What is complete needs room for itself, until it has left."""
        self.missing -= 1
        if self.missing:
            self.window.change(-nbytes)
            return
        self.window.change(self.nbytes - nbytes)
        task = self.job.task
        if task is None or task.kind is Kind.LOCAL:
            self.kernel.submit(Access.WRITE, self.nbytes, self.written)
        else:
            self.kernel.network.send(self.message(task), self.leave)

    def message(self, task):
        """Make the message that carries it."""
        number = task.move.number
        rate = self.kernel.network.bytes_per_s(self.kernel.ports.rank, task.destinations[0])
        return Message(
            operation=0,
            home=task.move.home,
            move=min(self.kernel.plan.merged.get(number, (number,))),
            piece=self.piece,
            pieces=len(self.kernel.pieces[self.job.part]),
            source=self.kernel.ports.rank,
            destinations=task.destinations,
            nbytes=self.nbytes,
            wire_bytes=self.kernel.protocol.wire_bytes(self.nbytes, rate),
            merges=task.merges,
            key=self.kernel.plan.moves[number].chunk,
            part=self.job.part,
        )

    def written(self):
        """Leave; a sum is there for whoever waits for it."""
        self.leave()
        if self.job.task is not None:
            self.kernel.made(self.job.task.move, self.piece, 0)

    def leave(self):
        """Give the room back."""
        self.window.change(-self.nbytes)
        self.gone.succeed()
