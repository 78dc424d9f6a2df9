"""A collective run as a kernel on the CUs: executes a step graph chunk by chunk, slice by slice.

Per slice the CUs read the chunk from DRAM (twice where they reduce it with what arrived), then hand it to the link,
or write it back. They keep at most ``collective_cus x collective_outstanding_per_cu`` bytes in flight, so a
kernel on few CUs is limited by the memory's latency (Little's law). Its accesses stream past the LLC. What its
protocol adds to a step comes between the arrival of a chunk and its use.
"""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from simpy.events import Event

from t3sim.collectives.steps import Step
from t3sim.hardware.compute.cus import Process
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message, pieces_completed
from t3sim.lowering.layout import RECEIVED, Place, linear
from t3sim.lowering.protocol import ProtocolSpec

if TYPE_CHECKING:
    from t3sim.hardware.gpu import Gpu


def with_last_copy(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Let the kernel itself read and write the chunk that a last step without work leaves in its buffer.

    Copies of other chunks overlap with sending them on, and a reduction writes its result anyway.
    """
    last = steps[-1]
    return steps if last.reads else (*steps[:-1], replace(last, reads=1, writes=True))


class CollectiveKernel:
    """One collective operation on one GPU."""

    def __init__(
        self,
        gpu: "Gpu",
        steps: tuple[Step, ...],
        slices: tuple[tuple[int, ...], ...],
        addresses: tuple[tuple[int, ...], ...],
        causes: tuple[Cause, Cause],
        phase: int,
        protocol: ProtocolSpec,
    ) -> None:
        """``slices``, ``addresses``: bytes and place in the buffer of each slice of each position.

        ``causes``: of its reads and of its writes.
        """
        self.gpu = gpu
        self.steps = steps
        self.slices = slices
        self.addresses = addresses
        self.read_cause, self.write_cause = causes
        self.phase = phase
        self.protocol = protocol
        # Wire and memory are simulated: of a step's latency this is what they leave.
        hardware_fs = gpu.out.spec.latency + gpu.memory.spec.read_latency
        self._handshake_fs = max(0, protocol.step_latency - hardware_fs)
        self._chunk_bytes = [sum(pieces) for pieces in slices]
        self._largest_chunk = max(self._chunk_bytes)
        self._arrivals = {step.position: len(slices[step.position]) for step in steps if step.after_arrival}
        self._arrived = {position: Event(gpu.env) for position in self._arrivals}
        self._window = gpu.compute.spec.collective_window
        self._in_flight = 0
        self._room: Event | None = None

    def run(self) -> Process:
        """Run all steps in order."""
        for step in self.steps:
            if step.after_arrival:
                yield self._arrived[step.position]
                if self._handshake_fs:
                    yield self.gpu.env.timeout(self._handshake_fs)
            if step.reads:
                yield from self._handle(step)

    def receive(self, message: Message) -> None:
        """Write the predecessor's slices to memory."""
        position = (message.position + 1) % len(self.slices)
        own = self.slices[position]
        completed = pieces_completed(message.piece, message.pieces, len(own))
        if not completed:
            self.gpu.consumed(message)
        for piece in completed:
            done = partial(self._written, position, message if piece == completed[-1] else None)
            place = self._place(position, piece, received=True)
            self.gpu.memory.submit(Stream.COMMUNICATION, Access.WRITE, own[piece], self.write_cause, place, done)

    def missing(self) -> list[str]:
        """Say which chunks have not arrived in full."""
        return [f"position {position}: {left} slices" for position, left in self._arrivals.items() if left]

    def _handle(self, step: Step) -> Process:
        """Move every slice of one chunk; ends when all have left the CUs."""
        sizes = self.slices[step.position]
        left = [len(sizes)]
        all_left = Event(self.gpu.env)
        for piece, nbytes in enumerate(sizes):
            while self._in_flight and self._in_flight + step.reads * nbytes > self._window:
                self._room = Event(self.gpu.env)
                yield self._room
            self._in_flight += step.reads * nbytes
            self._read(step, piece, nbytes, left, all_left)
        yield all_left

    def _read(self, step: Step, piece: int, nbytes: int, left: list[int], all_left: Event) -> None:
        def gone() -> None:
            self._in_flight -= step.reads * nbytes
            left[0] -= 1
            if self._room is not None:
                room, self._room = self._room, None
                room.succeed()
            if not left[0]:
                all_left.succeed()

        def read() -> None:
            copies[0] -= 1
            if copies[0]:
                return
            if step.sends:
                message = Message(
                    phase=self.phase,
                    position=step.position,
                    piece=piece,
                    pieces=len(self.slices[step.position]),
                    nbytes=nbytes,
                    wire_bytes=self.protocol.wire_bytes(nbytes, self.gpu.out.spec.bytes_per_s),
                    chunk_bytes=self._chunk_bytes[step.position],
                    largest_chunk_bytes=self._largest_chunk,
                )
                self.gpu.send(message, gone)
            elif step.writes:
                place = self._place(step.position, piece, received=False)
                self.gpu.memory.submit(Stream.COMMUNICATION, Access.WRITE, nbytes, self.write_cause, place, gone)

        copies = [step.reads]
        for copy in range(step.reads):
            place = self._place(step.position, piece, received=copy > 0)
            self.gpu.memory.submit(Stream.COMMUNICATION, Access.READ, nbytes, self.read_cause, place, read)

    def _place(self, position: int, piece: int, *, received: bool) -> Place:
        """Where a slice lies: in the operation's buffer, or in the one for received chunks."""
        address = self.addresses[position][piece] + (RECEIVED if received else 0)
        return partial(linear, address, self.slices[position][piece])

    def _written(self, position: int, message: Message | None) -> None:
        if message is not None:
            self.gpu.consumed(message)
        self._arrivals[position] -= 1
        if not self._arrivals[position]:
            self._arrived[position].succeed()
