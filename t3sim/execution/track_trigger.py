"""The track-and-trigger unit: T3's address-space configuration at work on one GPU.

It routes each tile the GEMM stores by its chunk's station, counts local and incoming updates in the tracker, and on
the last one triggers the tile's DMA or, for what this GPU keeps, counts the tile as done. Updates are done by
near-memory ALUs: they bypass the caches and use no CUs. Without such ALUs, all contributions are stored side by side
and CUs sum them once the tracker has counted them: read, read, write.

Here the configuration becomes rows of the data plane, which carries it out (``hardware.plane.trigger``).
"""

from simpy.events import Event

from t3sim.collectives.plan import MoveId, Operation
from t3sim.execution.address_space import AddressSpace, Station
from t3sim.execution.exchange import Exchange
from t3sim.execution.gemm import WRITE as GEMM_WRITE
from t3sim.execution.tile_rows import TileRows
from t3sim.hardware.compute.cus import READS_IN_WINDOW
from t3sim.hardware.compute.store_buffer import StoreBuffer
from t3sim.hardware.memory.access import Cause, Direction
from t3sim.hardware.memory.values import Numbers, summed
from t3sim.hardware.plane import trigger_state as kinds
from t3sim.hardware.plane.plane import Plane, plane_of
from t3sim.hardware.plane.state import NONE
from t3sim.hardware.ports import Ports


class TrackTrigger:
    """One fused (or near-memory) collective on one GPU; also the store path of the GEMM it is fused with."""

    def __init__(self, ports: Ports, space: AddressSpace, exchange: Exchange, *, silent: bool = False) -> None:
        """``silent``: with nobody to talk to. Local updates go to memory, remote ones vanish at once.

        That shows how fast the GEMM's kernel is when nothing contends with it.
        """
        self.space = space
        self.finished = Event(ports.env)
        self._ports = ports
        self._exchange = exchange
        self._plane = plane_of(ports.env)
        self._operation = exchange.plan.operation.value
        self.rows = TileRows(self._plane, ports, space, exchange)
        """Its stations and tiles in the data plane."""
        self._slots = self._numbered()
        self._complete: dict[int, Event] = {}
        """By station that somebody waits for."""
        self._row = self._new_unit(silent=silent)
        self._arrivals = self.rows.put(self._row, self._slots, silent=silent)
        self._moves = {row: move for move, row in self._arrivals.items()}
        self._values = None
        if ports.values is not None:
            self._values = ports.values.open(
                exchange.number, exchange.chunks, self._slots, produced=space.stored_locally
            )
            self._plane.keep_values()
        self._taken: dict[int, list[Numbers]] = {}
        self._came: dict[int, Numbers] = {}
        ports.network.expect(exchange.number, self._arrivals)

    @property
    def started_fs(self) -> int:
        """When the first of it was sent or triggered, or -1."""
        return int(self._plane.rows("units")["started"][self._row])

    @property
    def sums_on_cus(self) -> bool:
        """Whether CUs have anything to sum: the memory does not add, and contributions arrive at what the GPU has."""
        return not self.space.near_memory and any(each.own and each.arrivals for each in self.space.stations)

    def start(self) -> None:
        """Let go of all chunks whose only contribution is in memory from the start.

        Their tiles take turns, chunk by chunk, so that all links that they leave by are used at once.
        """
        tiles = self.rows.begin_in_turns()
        if len(tiles):
            first = self._plane.add("begun", tiles)
            self._plane.perform(kinds.COMPLETE_ALL, first, first + len(tiles))

    def sum_with(self, window: int) -> None:
        """Let CUs that keep ``window`` bytes in flight sum what is left to sum; 0: none."""
        units = self._plane.rows("units")
        units["sum_limit"][self._row], units["sum_grain"][self._row] = window, max(1, window // READS_IN_WINDOW)
        self._plane.perform(kinds.SUM_NEXT, self._row)

    def hand_on(self, other: "TrackTrigger") -> None:
        """Let each tile that stays be this GPU's contribution to ``other`` as soon as it is complete."""
        self.rows.hand_on(other.rows)

    def store_stage(self, first: int, last: int, buffer: StoreBuffer) -> None:
        """Issue the output tiles of workgroups ``first`` to ``last - 1`` by their chunks' stations."""
        self._plane.rows("units")["buffer"][self._row] = buffer.number
        self._plane.perform(kinds.STORE, self.rows.tiles + first, self.rows.tiles + last)

    def arrived(self, part: int) -> Event:
        """Return the event of a part of the buffer being complete here that other GPUs send."""
        row = self.rows.first_station + next(
            number for number, station in enumerate(self.space.stations) if station.part == part and not station.own
        )
        stations = self._plane.rows("stations")
        stations["told"][row] = 1
        event = self._complete.setdefault(row, Event(self._ports.env))
        if stations["open"][row] == 0 and not event.triggered:
            event.succeed()  # a part without bytes: nothing of it will ever be complete
        return event

    def tell_chunk(self, station: int) -> None:
        """Let who waits for a part go on."""
        self._complete[station].succeed()

    def missing(self) -> list[str]:
        """Say how much of what this GPU keeps is not complete."""
        left = int(self._plane.rows("units")["kept_open"][self._row])
        return [f"{left} tiles of what it keeps"] if left else []

    def _new_unit(self, *, silent: bool) -> int:
        memory, space = self._ports.memory, self.space
        causes = [memory.number_of(Cause(self._operation, direction)) for direction in Direction]
        stores = memory.number_of(GEMM_WRITE) if space.stored_locally else 0
        parts = memory.number, self._ports.tracker.number, self._ports.dma.number, NONE
        options = space.wavefronts, int(space.near_memory), int(silent)
        row = *parts, *causes, stores, *options, NONE, self.rows.stay, 0, 1, 0, NONE, NONE
        units = self._plane.parts.setdefault("units", [])
        units.append(self)
        _listen(self._plane, units)
        return self._plane.add("units", [row])

    def _numbered(self) -> dict[MoveId, int]:
        """Give every arrival that cannot lie in the GPU's own buffer one for copies."""
        slots: dict[MoveId, int] = {}
        for station in self.space.stations:
            if station.own or self._exchange.plan.operation is Operation.ALL_TO_ALL:
                before = 0 if station.own else len(slots)
                slots.update({move: before + slot for slot, move in enumerate(station.arrivals)})
        return slots

    # What the plane tells: in data mode, what tiles hold.

    def tell_finished(self) -> None:
        """Let the program go on."""
        self.finished.succeed()

    def tell_summed(self, tile: int) -> None:
        """Keep the sum of a tile."""
        assert self._values is not None
        value = summed(self._taken.pop(tile, []))
        if value is not None:
            station, piece = self.rows.station_of(tile)
            self._values.put(station.part, range(piece, piece + 1), value)

    def tell_copy_read(self, tile: int, copy: int) -> None:
        """Look at a copy of a tile."""
        assert self._values is not None
        station, piece = self.rows.station_of(tile)
        numbers = self._values.read(station.part, range(piece, piece + 1), self._slot(station, copy))
        self._taken.setdefault(tile, []).append(numbers)

    def tell_stored(self, tile: int) -> None:
        """Keep what the GEMM stores."""
        assert self._values is not None
        station, piece = self.rows.station_of(tile)
        one = range(piece, piece + 1)
        keep = self._values.update if self.space.near_memory and station.arrivals else self._values.put
        keep(station.part, one, self._values.produced(station.part, one))

    def tell_tile_sent(self, tile: int, message: int) -> None:
        """Send what the GEMM stores."""
        assert self._values is not None
        station, piece = self.rows.station_of(tile)
        self._ports.network.values[message] = self._values.produced(station.part, range(piece, piece + 1))

    def tell_group_sent(self, station: int, group: int, message: int) -> None:
        """Send what a command has read."""
        assert self._values is not None
        found = self._station(station)
        pieces = self.rows.pieces_of(group, station)
        self._ports.network.values[message] = self._values.read(found.part, pieces, self._source(found))

    def tell_came(self, incoming: int, arrival: int, piece: int, message_row: int, leg: int) -> None:
        """Look at a tile of a message that has arrived."""
        assert self._values is not None
        message, (station, _) = self._ports.network.message(message_row, leg), self._landing(arrival)
        pieces = self._exchange.pieces(message, station.part)
        self._came[incoming] = self._values.of_piece(message.value, station.part, pieces, piece)

    def tell_put(self, incoming: int, arrival: int, piece: int) -> None:
        """Keep it as it is written."""
        assert self._values is not None
        (station, slot), one, value = self._landing(arrival), range(piece, piece + 1), self._came.pop(incoming)
        if self.space.near_memory and station.own:
            self._values.update(station.part, one, value)
        else:
            self._values.put(station.part, one, value, slot)

    def _station(self, row: int) -> Station:
        return self.space.stations[row - self.rows.first_station]

    def _slot(self, station: Station, copy: int) -> int | None:
        return self._slots[station.arrivals[copy - 1]] if copy else None

    def _source(self, station: Station) -> int | None:
        """Buffer for copies from which tiles that are complete are read, if not the GPU's own."""
        return None if station.own else self._slots.get(station.arrivals[0])

    def _landing(self, arrival: int) -> tuple[Station, int | None]:
        """Give the station of an arrival, and the buffer for copies that it is written to."""
        station = self._station(int(self._plane.rows("arrivals")["station"][arrival]))
        adds = self.space.near_memory and station.own
        return station, None if adds else self._slots.get(self._moves[arrival])


def _of_station(plane: Plane, units: list[TrackTrigger], station: int) -> TrackTrigger:
    return units[int(plane.rows("stations")["unit"][station])]


def _of_tile(plane: Plane, units: list[TrackTrigger], tile: int) -> TrackTrigger:
    return _of_station(plane, units, int(plane.rows("tiles")["station"][tile]))


def _command(plane: Plane, row: int) -> tuple[int, int]:
    """Read the station and the group of a command."""
    found = plane.rows("commands")[row]
    return int(plane.rows("fires")["station"][found["fire"]]), int(found["group"])


def _of_arrival(plane: Plane, units: list[TrackTrigger], arrival: int) -> TrackTrigger:
    return _of_station(plane, units, int(plane.rows("arrivals")["station"][arrival]))


def _listen(plane: Plane, units: list[TrackTrigger]) -> None:
    """Let the plane tell units what they have to know."""

    def group_sent(row: int, message: int, _c: int) -> None:
        station, group = _command(plane, row)
        _of_station(plane, units, station).tell_group_sent(station, group, message)

    def came(row: int, _b: int, _c: int) -> None:
        found = plane.rows("incoming")[row]
        arrival, message = int(found["arrival"]), int(found["message"])
        unit = _of_arrival(plane, units, arrival)
        unit.tell_came(row, arrival, int(found["piece"]), message, int(found["leg"]))

    plane.handlers |= {
        kinds.TELL_CHUNK: lambda station, _b, _c: _of_station(plane, units, station).tell_chunk(station),
        kinds.TELL_FINISHED: lambda unit, _b, _c: units[unit].tell_finished(),
        kinds.TELL_SUMMED: lambda tile, _b, _c: _of_tile(plane, units, tile).tell_summed(tile),
        kinds.TELL_COPY_READ: lambda tile, copy, _c: _of_tile(plane, units, tile).tell_copy_read(tile, copy),
        kinds.TELL_TILE_STORED: lambda tile, _b, _c: _of_tile(plane, units, tile).tell_stored(tile),
        kinds.TELL_TILE_SENT: lambda tile, message, _c: _of_tile(plane, units, tile).tell_tile_sent(tile, message),
        kinds.TELL_GROUP_SENT: group_sent,
        kinds.TELL_TILE_CAME: came,
        kinds.TELL_TILE_PUT: lambda row, arrival, piece: _of_arrival(plane, units, arrival).tell_put(
            row, arrival, piece
        ),
    }
