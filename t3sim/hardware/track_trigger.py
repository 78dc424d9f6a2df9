"""The track-and-trigger unit: T3's address-space configuration at work on one GPU.

It routes each tile the GEMM stores by its chunk's mapping, counts local and incoming updates in the tracker, and on
the last one triggers the tile's DMA or, for the chunk this GPU keeps, counts the tile as done. Updates are done by
near-memory ALUs: they bypass the caches and use no CUs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from simpy.events import Event

from t3sim.collectives.steps import ChunkMapping
from t3sim.hardware.dma import Command
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.message import Message, pieces_completed
from t3sim.workload.layout import Place, Region

if TYPE_CHECKING:
    from t3sim.hardware.gpu import Gpu


@dataclass(frozen=True, kw_only=True)
class AddressSpace:
    """Configuration of the producer's output buffer, by chunk position on this GPU."""

    mappings: tuple[ChunkMapping, ...]
    piece_bytes: tuple[tuple[int, ...], ...]
    """Bytes of each tile of each position, in the order they are produced."""
    regions: Region
    """Where the tiles lie, in the order they are produced, one block each."""
    wavefronts: int
    """Updates by which a workgroup's store of one tile is counted."""
    stored_locally: bool
    """Whether a GEMM's stores make the local contribution; if not, it is in memory from the start."""


class TrackTrigger:
    """One fused (or near-memory) reduce-scatter on one GPU; also the store path of the GEMM it is fused with."""

    def __init__(self, gpu: "Gpu", space: AddressSpace, phase: int) -> None:
        self.gpu = gpu
        self.space = space
        self.phase = phase
        self.finished = Event(gpu.env)
        self.started_fs = -1
        self._first = [0]
        for pieces in space.piece_bytes:
            self._first.append(self._first[-1] + len(pieces))
        self._tracked_from = gpu.tracker.reserve(self._first[-1])
        self._position_of = [position for position, pieces in enumerate(space.piece_bytes) for _ in pieces]
        self._chunk_bytes = [sum(pieces) for pieces in space.piece_bytes]
        self._largest_chunk = max(self._chunk_bytes)
        self._kept_open = len(space.piece_bytes[-1])

    def send_first_chunk(self) -> None:
        """Trigger the DMAs of position 0, whose local contribution is already in memory."""
        for workgroup in range(self._first[1]):
            self._forward(workgroup)

    def store_stage(self, first: int, last: int) -> None:
        """Issue the output tiles of workgroups ``first`` to ``last - 1`` by their chunks' mappings."""
        for workgroup in range(first, last):
            nbytes = self._bytes_of(workgroup)
            buffer = self.gpu.compute.store_buffer
            buffer.take(nbytes)
            if self.space.mappings[self._position_of[workgroup]] is ChunkMapping.REMOTE:
                self._send(self._message(workgroup), accepted=partial(buffer.give, nbytes))
            else:
                stored = partial(self._stored, workgroup, nbytes)
                self.gpu.memory.submit(
                    Stream.COMPUTE, Access.UPDATE, nbytes, Cause.GEMM_WRITE, self._place(workgroup), stored
                )

    def receive(self, message: Message) -> None:
        """Update memory with the predecessor's tiles; a piece gives back its link buffer when the last is in memory."""
        position = message.position + 1
        own_pieces = len(self.space.piece_bytes[position])
        completed = pieces_completed(message.piece, message.pieces, own_pieces)
        if not completed:
            self.gpu.consumed(message)
        for piece in completed:
            workgroup = self._first[position] + piece
            is_last = piece == completed[-1]
            arrived = partial(self._arrived, workgroup, message if is_last else None)
            nbytes = self._bytes_of(workgroup)
            place = self._place(workgroup)
            self.gpu.memory.submit(Stream.COMMUNICATION, Access.UPDATE, nbytes, Cause.RS_WRITE, place, arrived)

    def missing(self) -> list[str]:
        """Say how much of the chunk this GPU keeps is not complete."""
        return [f"{self._kept_open} tiles of the kept chunk"] if self._kept_open else []

    def _stored(self, workgroup: int, nbytes: int) -> None:
        self.gpu.compute.store_buffer.give(nbytes)
        self._count(workgroup)

    def _arrived(self, workgroup: int, message: Message | None) -> None:
        if message is not None:
            self.gpu.consumed(message)
        self._count(workgroup)

    def _count(self, workgroup: int) -> None:
        updates = self.space.wavefronts
        expected = updates * (2 if self.space.stored_locally else 1)
        self.gpu.tracker.count(self._tracked_from + workgroup, updates, expected, partial(self._complete, workgroup))

    def _complete(self, workgroup: int) -> None:
        """Act on a tile whose last update is in memory."""
        if self.space.mappings[self._position_of[workgroup]] is ChunkMapping.FORWARD:
            self._forward(workgroup)
            return
        self._kept_open -= 1
        if not self._kept_open:
            self.finished.succeed()

    def _forward(self, workgroup: int) -> None:
        message = self._message(workgroup)
        self._mark_started()
        self.gpu.dma.trigger(Command(message.nbytes, self._place(workgroup), partial(self.gpu.send, message)))

    def _send(self, message: Message, accepted: Callable[[], None]) -> None:
        self._mark_started()
        self.gpu.send(message, accepted)

    def _mark_started(self) -> None:
        if self.started_fs < 0:
            self.started_fs = int(self.gpu.env.now)

    def _message(self, workgroup: int) -> Message:
        position, nbytes = self._position_of[workgroup], self._bytes_of(workgroup)
        return Message(
            phase=self.phase,
            position=position,
            piece=workgroup - self._first[position],
            pieces=len(self.space.piece_bytes[position]),
            nbytes=nbytes,
            wire_bytes=nbytes,
            chunk_bytes=self._chunk_bytes[position],
            largest_chunk_bytes=self._largest_chunk,
        )

    def _place(self, workgroup: int) -> Place:
        return lambda: self.space.regions[workgroup : workgroup + 1]

    def _bytes_of(self, workgroup: int) -> int:
        position = self._position_of[workgroup]
        return self.space.piece_bytes[position][workgroup - self._first[position]]


class NoCommunication(TrackTrigger):
    """The stores of a fused GEMM with nobody to talk to: local updates go to memory, remote ones vanish at once.

    It shows how fast the same kernel is when nothing contends with it.
    """

    def _stored(self, workgroup: int, nbytes: int) -> None:
        del workgroup
        self.gpu.compute.store_buffer.give(nbytes)

    def _send(self, message: Message, accepted: Callable[[], None]) -> None:
        del message
        accepted()
