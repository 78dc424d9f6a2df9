"""The track-and-trigger unit: T3's address-space configuration at work on one GPU.

It routes each tile the GEMM stores by its chunk's mapping, counts local and incoming updates in the tracker, and on
the last one triggers the tile's DMA or, for the chunk this GPU keeps, counts the tile as done. Updates are done by
near-memory ALUs: they bypass the caches and use no CUs. Without such ALUs, both contributions are stored side by side
and CUs sum them once the tracker has counted both: read, read, write.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from simpy.events import Event

from t3sim.collectives.steps import ChunkMapping
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.network.message import Message, pieces_completed
from t3sim.hardware.t3.dma import Command
from t3sim.lowering.layout import RECEIVED, Place, Region
from t3sim.units import ceil_div

if TYPE_CHECKING:
    from t3sim.hardware.gpu import Gpu

_OVER = np.array([RECEIVED, 0, 0, 0], np.int64)
"""From a tile to its copy that came over the link."""


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
    produced: tuple[int, ...]
    """Positions in the order in which they are produced."""
    near_memory: bool = True
    tiles_per_command: int = 1


@dataclass(frozen=True, slots=True)
class _Group:
    """Consecutive tiles of one position that one DMA command moves."""

    position: int
    number: int
    """Which of the position's groups it is."""
    first: int
    last: int
    """Its workgroups are ``first`` to ``last - 1``."""


class TrackTrigger:
    """One fused (or near-memory) reduce-scatter on one GPU; also the store path of the GEMM it is fused with."""

    def __init__(self, gpu: "Gpu", space: AddressSpace, phase: int) -> None:
        self.gpu = gpu
        self.space = space
        self.phase = phase
        self.finished = Event(gpu.env)
        self.started_fs = -1
        self._position_of = [position for position in space.produced for _ in space.piece_bytes[position]]
        self._first = [self._position_of.index(position) for position in range(len(space.piece_bytes))]
        self._tracked_from = gpu.tracker.reserve(len(self._position_of))
        self._groups = [self._cut(position) for position in range(len(space.piece_bytes))]
        self._group_of = {
            wg: group for groups in self._groups for group in groups for wg in range(group.first, group.last)
        }
        self._incomplete = {group: group.last - group.first for groups in self._groups for group in groups}
        self._chunk_bytes = [sum(pieces) for pieces in space.piece_bytes]
        self._largest_chunk = max(self._chunk_bytes)
        self._kept_open = len(space.piece_bytes[-1])

    def send_first_chunk(self) -> None:
        """Trigger the DMAs of position 0, whose local contribution is already in memory."""
        for group in self._groups[0]:
            self._forward(group)

    def store_stage(self, first: int, last: int) -> None:
        """Issue the output tiles of workgroups ``first`` to ``last - 1`` by their chunks' mappings."""
        for workgroup in range(first, last):
            nbytes = self._bytes_of(workgroup)
            buffer = self.gpu.compute.store_buffer
            buffer.take(nbytes)
            if self.space.mappings[self._position_of[workgroup]] is ChunkMapping.REMOTE:
                position = self._position_of[workgroup]
                piece, pieces = workgroup - self._first[position], len(self.space.piece_bytes[position])
                self._send(self._message(position, piece, pieces, nbytes), accepted=partial(buffer.give, nbytes))
            else:
                stored = partial(self._stored, workgroup, nbytes)
                place = self._place(workgroup)
                self.gpu.memory.submit(Stream.COMPUTE, self._access, nbytes, Cause.GEMM_WRITE, place, stored)

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
            place = self._place(workgroup, received=not self.space.near_memory)
            self.gpu.memory.submit(Stream.COMMUNICATION, self._access, nbytes, Cause.RS_WRITE, place, arrived)

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
        """Act on a tile whose last update is in memory: its sum, or what is to be summed."""
        if self.space.near_memory:
            self._summed(workgroup)
        else:
            self._sum(workgroup)

    def _sum(self, workgroup: int) -> None:
        """Let CUs read both contributions and write the sum over the local one."""
        nbytes, memory, left = self._bytes_of(workgroup), self.gpu.memory, [2]

        def read() -> None:
            left[0] -= 1
            if not left[0]:
                summed = partial(self._summed, workgroup)
                place = self._place(workgroup)
                memory.submit(Stream.COMMUNICATION, Access.WRITE, nbytes, Cause.RS_WRITE, place, summed)

        for received in (False, True):
            place = self._place(workgroup, received=received)
            memory.submit(Stream.COMMUNICATION, Access.READ, nbytes, Cause.RS_READ, place, read)

    def _summed(self, workgroup: int) -> None:
        """Act on a tile whose sum is in memory."""
        if self.space.mappings[self._position_of[workgroup]] is ChunkMapping.FORWARD:
            group = self._group_of[workgroup]
            self._incomplete[group] -= 1
            if not self._incomplete[group]:
                self._forward(group)
            return
        self._kept_open -= 1
        if not self._kept_open:
            self.finished.succeed()

    def _forward(self, group: _Group) -> None:
        nbytes = sum(map(self._bytes_of, range(group.first, group.last)))
        message = self._message(group.position, group.number, len(self._groups[group.position]), nbytes)
        self._mark_started()
        place = self._place(group.first, group.last)
        self.gpu.dma.trigger(Command(message.nbytes, place, partial(self.gpu.send, message)))

    def _send(self, message: Message, accepted: Callable[[], None]) -> None:
        self._mark_started()
        self.gpu.send(message, accepted)

    def _mark_started(self) -> None:
        if self.started_fs < 0:
            self.started_fs = int(self.gpu.env.now)

    @property
    def _access(self) -> Access:
        """How a contribution gets into memory."""
        return Access.UPDATE if self.space.near_memory else Access.WRITE

    def _cut(self, position: int) -> list[_Group]:
        """Cut a position's tiles into groups; as ``pieces_completed`` does, so that a group arrives as its tiles."""
        first, tiles = self._first[position], len(self.space.piece_bytes[position])
        count = ceil_div(tiles, self.space.tiles_per_command)
        return [
            _Group(position, number, first + number * tiles // count, first + (number + 1) * tiles // count)
            for number in range(count)
        ]

    def _message(self, position: int, piece: int, pieces: int, nbytes: int) -> Message:
        return Message(
            phase=self.phase,
            position=position,
            piece=piece,
            pieces=pieces,
            nbytes=nbytes,
            wire_bytes=nbytes,
            chunk_bytes=self._chunk_bytes[position],
            largest_chunk_bytes=self._largest_chunk,
        )

    def _place(self, workgroup: int, last: int | None = None, *, received: bool = False) -> Place:
        """Where tiles lie, ``workgroup`` or those before ``last``; ``received``: the copies that came over the link."""

        def region() -> Region:
            tiles = self.space.regions[workgroup : workgroup + 1 if last is None else last]
            return np.add(tiles, _OVER) if received else tiles

        return region

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
