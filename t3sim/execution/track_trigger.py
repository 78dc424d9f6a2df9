"""The track-and-trigger unit: T3's address-space configuration at work on one GPU.

It routes each tile the GEMM stores by its chunk's station, counts local and incoming updates in the tracker, and on
the last one triggers the tile's DMA or, for what this GPU keeps, counts the tile as done. Updates are done by
near-memory ALUs: they bypass the caches and use no CUs. Without such ALUs, all contributions are stored side by side
and CUs sum them once the tracker has counted them: read, read, write.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from simpy.events import Event

from t3sim.collectives.plan import Kind, MoveId, Operation
from t3sim.execution.address_space import Dispatch, Fire, Station
from t3sim.execution.exchange import Exchange
from t3sim.execution.gemm import WRITE as GEMM_WRITE
from t3sim.hardware.clock import Action
from t3sim.hardware.compute.store_buffer import StoreBuffer
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.values import Numbers, summed
from t3sim.hardware.network.message import Message
from t3sim.hardware.ports import Ports
from t3sim.hardware.t3.dma import Command
from t3sim.lowering.layout import Place, Region
from t3sim.units import ceil_div


@dataclass(frozen=True, kw_only=True)
class AddressSpace:
    """Configuration of the producer's output buffer on one GPU."""

    stations: tuple[Station, ...]
    own: Dispatch
    """Order in which the tiles of own stations are produced."""
    regions: Mapping[int, Region]
    """Where the tiles of each part of the buffer lie, one block each."""
    copies: int
    """Distance from a tile to its first copy that came over the network."""
    copies_stride: int
    """Distance from one copy to the next."""
    wavefronts: int
    """Updates by which a workgroup's store of one tile is counted."""
    stored_locally: bool
    """Whether a GEMM's stores make the own contribution; if not, it is in memory from the start."""
    near_memory: bool = True
    tiles_per_command: int = 1


class _Tiles:
    """The tiles of one station, and the groups of them that one DMA command moves."""

    def __init__(self, station: Station, sizes: tuple[int, ...], space: AddressSpace) -> None:
        """Take the station's tiles, of these ``sizes`` in bytes."""
        self.station = station
        self.sizes = sizes
        copied = not space.stored_locally and all(fire.kind is Kind.COPY for fire in station.fires)
        self.stays = station.is_kept or copied
        """Whether they are in this GPU's memory at the end: what it keeps, and what it had and gives copies of."""
        self.numbers = [0] * len(sizes)
        """Number of each tile among all of this unit, by which it is tracked."""
        self._groups = ceil_div(len(sizes), space.tiles_per_command) if sizes else 0
        bounds = [number * len(sizes) // self._groups for number in range(self._groups + 1)]
        # Cut as ``pieces_completed`` does, so that a group arrives as its tiles.
        self.groups = [range(low, high) for low, high in pairwise(bounds)]
        self._group_of = [number for number, group in enumerate(self.groups) for _ in group]
        self._incomplete = [len(group) for group in self.groups]

    def complete(self, piece: int) -> int | None:
        """Count a complete tile; return the number of its group if that is complete now."""
        group = self._group_of[piece]
        self._incomplete[group] -= 1
        return None if self._incomplete[group] else group


class TrackTrigger:
    """One fused (or near-memory) collective on one GPU; also the store path of the GEMM it is fused with."""

    def __init__(self, ports: Ports, space: AddressSpace, exchange: Exchange) -> None:
        self.space = space
        self.finished = Event(ports.env)
        self.started_fs = -1
        self.kept: Callable[[int, int], None] | None = None
        """Told of every tile of a chunk that stays: its part and its number there."""
        self._ports = ports
        self._exchange = exchange
        operation = exchange.plan.operation.value
        self._read_cause, self._write_cause = Cause(operation, Direction.READ), Cause(operation, Direction.WRITE)
        pieces = exchange.chunks.piece_bytes
        self._tiles = [_Tiles(station, pieces[station.part], space) for station in space.stations]
        self._own_of = {tiles.station.part: tiles for tiles in self._tiles if tiles.station.own}
        self._dispatched = [
            (self._own_of[part], piece)
            for part, piece in zip(space.own.parts.tolist(), space.own.pieces.tolist(), strict=True)
        ]
        self._track()
        self._at = {move: tiles for tiles in self._tiles for move in tiles.station.arrivals}
        self._slots = self._numbered()
        self._values = None
        if ports.values is not None:
            self._values = ports.values.open(
                exchange.number, exchange.chunks, self._slots, produced=space.stored_locally
            )
        self._kept_open = sum(len(tiles.sizes) for tiles in self._tiles if tiles.stays)
        exchange.open(self, {move: tiles.station.part for move, tiles in self._at.items()})

    def start(self) -> None:
        """Let go of all chunks whose only contribution is in memory from the start.

        Their tiles take turns, chunk by chunk, so that all links that they leave by are used at once.
        """
        ready = [tiles for tiles in self._tiles if tiles.station.own and not tiles.station.arrivals]
        for piece in range(max((len(tiles.sizes) for tiles in ready), default=0)):
            for tiles in ready:
                if piece < len(tiles.sizes):
                    self._complete(tiles, piece)

    def contribute(self, part: int, piece: int) -> None:
        """Take one tile of an own chunk, complete in memory, as the contribution of this GPU."""
        tiles = self._own_of[part]
        if tiles.station.arrivals:
            self._count(tiles, piece)
        else:
            self._complete(tiles, piece)

    def store_stage(self, first: int, last: int, buffer: StoreBuffer) -> None:
        """Issue the output tiles of workgroups ``first`` to ``last - 1`` by their chunks' stations."""
        for workgroup in range(first, last):
            tiles, piece = self._dispatched[workgroup]
            nbytes = tiles.sizes[piece]
            buffer.take(nbytes)
            if tiles.station.is_remote:
                (fire,) = tiles.station.fires
                value, accepted = self._produced(tiles, piece), partial(buffer.give, nbytes)
                self._send(tiles, fire, piece, len(tiles.sizes), nbytes, value, accepted=accepted)
            else:
                access = Access.UPDATE if self.space.near_memory and tiles.station.arrivals else Access.WRITE
                stored = partial(self._stored, tiles, piece, access, buffer)
                place = self._place(tiles, range(piece, piece + 1))
                self._ports.memory.submit(Stream.COMPUTE, access, nbytes, GEMM_WRITE, place, stored)

    def arrived(self, move: MoveId, piece: int, message: Message, *, last: bool) -> None:
        """Bring another GPU's tile to memory: as an update where the memory adds, else beside what is there."""
        tiles = self._at[move]
        nbytes = tiles.sizes[piece]
        adds = self.space.near_memory and tiles.station.own
        access, slot = (Access.UPDATE, None) if adds else (Access.WRITE, self._slots.get(move))
        value = None
        if self._values is not None:
            pieces = self._exchange.pieces(message, tiles.station.part)
            value = self._values.of_piece(message.value, tiles.station.part, pieces, piece)

        def done() -> None:
            self._keep(tiles, piece, access, value, slot)
            if last:
                self._exchange.consumed(message)
            self._count(tiles, piece)

        place = self._place(tiles, range(piece, piece + 1), slot)
        self._ports.memory.submit(Stream.COMMUNICATION, access, nbytes, self._write_cause, place, done)

    def missing(self) -> list[str]:
        """Say how much of what this GPU keeps is not complete."""
        return [f"{self._kept_open} tiles of what it keeps"] if self._kept_open else []

    def _track(self) -> None:
        """Give all tiles their numbers in the tracker: own ones as they are produced, then those that only arrive."""
        arriving = [
            (tiles, piece) for tiles in self._tiles if not tiles.station.own for piece in range(len(tiles.sizes))
        ]
        order = [*self._dispatched, *arriving]
        counted = [bool(tiles.station.arrivals) for tiles, _ in order]
        for number, (tiles, piece) in enumerate(order, self._ports.tracker.reserve(counted)):
            tiles.numbers[piece] = number

    def _numbered(self) -> dict[MoveId, int]:
        """Give every arrival that cannot lie in the GPU's own buffer one for copies."""
        slots: dict[MoveId, int] = {}
        for tiles in self._tiles:
            station = tiles.station
            if station.own or self._exchange.plan.operation is Operation.ALL_TO_ALL:
                before = 0 if station.own else len(slots)
                slots.update({move: before + slot for slot, move in enumerate(station.arrivals)})
        return slots

    def _stored(self, tiles: _Tiles, piece: int, access: Access, buffer: StoreBuffer) -> None:
        buffer.give(tiles.sizes[piece])
        self._keep(tiles, piece, access, self._produced(tiles, piece))
        self.contribute(tiles.station.part, piece)

    def _produced(self, tiles: _Tiles, piece: int) -> Numbers | None:
        """Return the numbers that the GEMM stores as a tile, in data mode."""
        return None if self._values is None else self._values.produced(tiles.station.part, range(piece, piece + 1))

    def _keep(self, tiles: _Tiles, piece: int, access: Access, value: Numbers | None, slot: int | None = None) -> None:
        """Let the numbers of a tile be in memory, in data mode."""
        if self._values is None or value is None:
            return
        if access is Access.UPDATE:
            self._values.update(tiles.station.part, range(piece, piece + 1), value)
        else:
            self._values.put(tiles.station.part, range(piece, piece + 1), value, slot)

    def _count(self, tiles: _Tiles, piece: int) -> None:
        updates = self.space.wavefronts
        own = tiles.station.own and self.space.stored_locally
        expected = updates * (len(tiles.station.arrivals) + own)
        self._ports.tracker.count(tiles.numbers[piece], updates, expected, partial(self._counted, tiles, piece))

    def _counted(self, tiles: _Tiles, piece: int) -> None:
        """Act on a tile whose last update is in memory: its sum, or what is to be summed."""
        if self.space.near_memory or not tiles.station.own:
            self._complete(tiles, piece)
        else:
            self._sum(tiles, piece)

    def _sum(self, tiles: _Tiles, piece: int) -> None:
        """Let a workgroup on a CU of its own read all contributions and write the sum over the local one."""
        nbytes, memory, begun = tiles.sizes[piece], self._ports.memory, int(self._ports.env.now)
        slots = [None, *(self._slots[move] for move in tiles.station.arrivals)]
        left = [len(slots)]
        one = range(piece, piece + 1)
        taken: list[Numbers] = []

        def read(slot: int | None) -> None:
            if self._values is not None:
                taken.append(self._values.read(tiles.station.part, one, slot))
            left[0] -= 1
            if not left[0]:
                place = self._place(tiles, one)
                memory.submit(Stream.COMMUNICATION, Access.WRITE, nbytes, self._write_cause, place, written)

        def written() -> None:
            self._ports.cus.occupied(self._read_cause.operation, 1, int(self._ports.env.now) - begun)
            self._keep(tiles, piece, Access.WRITE, summed(taken))
            self._complete(tiles, piece)

        for slot in slots:
            place = self._place(tiles, one, slot)
            memory.submit(Stream.COMMUNICATION, Access.READ, nbytes, self._read_cause, place, partial(read, slot))

    def _complete(self, tiles: _Tiles, piece: int) -> None:
        """Act on a tile that is complete in memory: trigger what is to be sent, and count what stays."""
        group = tiles.complete(piece)
        if group is not None:
            for fire in tiles.station.fires:
                self._trigger(tiles, fire, group)
        if not tiles.stays:
            return
        if self.kept is not None:
            self.kept(tiles.station.part, piece)
        self._kept_open -= 1
        if not self._kept_open:
            self.finished.succeed()

    def _trigger(self, tiles: _Tiles, fire: Fire, number: int) -> None:
        """Mark the DMA command ready that moves a group of tiles."""
        group = tiles.groups[number]
        nbytes = sum(tiles.sizes[piece] for piece in group)
        slot = None if tiles.station.own else self._slots.get(tiles.station.arrivals[0])
        self._mark_started()

        def send(accepted: Action) -> None:
            value = None if self._values is None else self._values.read(tiles.station.part, group, slot)
            self._send(tiles, fire, number, len(tiles.groups), nbytes, value, accepted=accepted)

        self._ports.dma.trigger(Command(nbytes, self._place(tiles, group, slot), self._read_cause, send))

    def _send(
        self,
        tiles: _Tiles,
        fire: Fire,
        piece: int,
        pieces: int,
        nbytes: int,
        value: Numbers | None,
        *,
        accepted: Action,
    ) -> None:
        self._mark_started()
        part = tiles.station.part
        self._exchange.send(fire.move, part, fire.destinations, piece, pieces, nbytes, accepted=accepted, value=value)

    def _mark_started(self) -> None:
        if self.started_fs < 0:
            self.started_fs = int(self._ports.env.now)

    def _place(self, tiles: _Tiles, pieces: range, slot: int | None = None) -> Place:
        """Where tiles of a station lie; ``slot``: in which buffer of copies, if not in the GPU's own."""

        def region() -> Region:
            blocks = self.space.regions[tiles.station.part][pieces.start : pieces.stop]
            if slot is None:
                return blocks
            over = np.array([self.space.copies + slot * self.space.copies_stride, 0, 0, 0], np.int64)
            return np.add(blocks, over)

        return region


class NoCommunication(TrackTrigger):
    """The stores of a fused GEMM with nobody to talk to: local updates go to memory, remote ones vanish at once.

    It shows how fast the same kernel is when nothing contends with it.
    """

    def contribute(self, part: int, piece: int) -> None:
        """Leave a stored tile at that."""

    def _send(self, *_: object, accepted: Action, **__: object) -> None:
        accepted()
