"""The rows of the data plane that one operation's address-space configuration becomes on one GPU.

Stations stand in the order of the configuration, tiles in the order of their numbers in the tracker: own ones as they
are produced, then those that only arrive.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from t3sim.collectives.plan import Kind, MoveId
from t3sim.compiled import IntArray
from t3sim.execution.address_space import AddressSpace, Station
from t3sim.execution.exchange import Exchange, first_pieces
from t3sim.hardware.plane.plane import Plane
from t3sim.hardware.plane.state import NONE, REGION, blocks_of
from t3sim.hardware.plane.trigger_state import GROUP, STATION, TILE
from t3sim.hardware.ports import Ports
from t3sim.units import ceil_div


class TileRows:
    """The stations and tiles of one unit, put into the plane."""

    def __init__(self, plane: Plane, ports: Ports, space: AddressSpace, exchange: Exchange) -> None:
        self.stations = space.stations
        self._plane = plane
        self._ports = ports
        self._space = space
        self._exchange = exchange
        self._counts = np.array([len(exchange.chunks.piece_bytes[each.part]) for each in self.stations], np.int64)
        self._offsets = np.cumsum(self._counts) - self._counts
        """By station: where its first tile stands among those of all stations."""
        self._total = int(self._counts.sum())
        self.first_station = NONE
        """Rows of the first station, and of the first tile, once they are put there."""
        self.tiles = NONE
        self._first_place = NONE

    def put(self, unit: int, slots: Mapping[MoveId, int], *, silent: bool) -> dict[MoveId, int]:
        """Add all rows of ``unit``; return those that take arriving moves.

        ``slots``: buffers for copies that moves arrive in. ``silent``: nothing is sent.
        """
        plane, space, count = self._plane, self._space, len(self.stations)
        rows = np.zeros(count, STATION)
        self.first_station = plane.add("stations", rows)
        has_places = self._ports.memory.spec.uses_places
        first = first_pieces(plane, self._exchange.chunks, with_addresses=has_places)
        rows["first_piece"] = [first[each.part] for each in self.stations]
        groups = self._put_groups(rows, silent=silent)
        self.tiles = self._put_tiles(groups)
        self._put_fires(rows, silent=silent)
        arrivals = self._arrivals
        rows["unit"] = unit
        own = np.array([each.own for each in self.stations], bool)
        rows["expected"] = space.wavefronts * (arrivals + (own & space.stored_locally))
        rows["arrivals"], rows["own"], rows["open"] = arrivals, own, self._counts
        rows["stays"] = [self.stays(each) for each in self.stations]
        rows["is_remote"] = [each.is_remote for each in self.stations]
        rows["first_place"] = self._first_place + self._offsets
        if has_places:
            self._put_regions(rows, slots)
        plane.rows("stations")[self.first_station : self.first_station + count] = rows
        return self._put_arrivals(first, slots)

    def stays(self, station: Station) -> bool:
        """Whether its tiles are in this GPU's memory at the end: what it keeps, and what it had and gives copies of."""
        copied = not self._space.stored_locally and all(fire.kind is Kind.COPY for fire in station.fires)
        return station.is_kept or copied

    @property
    def stay(self) -> int:
        """Count the tiles that stay."""
        return sum(int(count) for each, count in zip(self.stations, self._counts, strict=True) if self.stays(each))

    def begin_in_turns(self) -> IntArray:
        """List the tiles whose only contribution is in memory from the start: one tile of each chunk in turn.

        Chunks of which the plan sends one after the other do not take turns.
        """
        ready = self._numbers(lambda each: each.own and not each.arrivals)
        counts = self._counts[ready]
        pieces = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        steps = np.repeat(np.array([self._first_step(self.stations[number]) for number in ready], np.int64), counts)
        order = np.lexsort((pieces, steps))
        found: IntArray = self.of(np.repeat(ready, counts)[order], pieces[order])
        return found

    def of(self, stations: IntArray, pieces: IntArray) -> IntArray:
        """Give the rows of tiles by the numbers of their stations, and their numbers there."""
        places = self._plane.rows("places")
        rows: IntArray = places[self._first_place + self._offsets[stations] + pieces]
        return rows

    def hand_on(self, other: "TileRows") -> None:
        """Let what stays be the contributions of another operation that goes on with the same chunks."""
        theirs = {each.part: number for number, each in enumerate(other.stations) if each.own}
        tiles = self._plane.rows("tiles")
        for number, each in enumerate(self.stations):
            if self.stays(each):
                pieces = np.arange(self._counts[number])
                tiles["then"][self.of(np.full_like(pieces, number), pieces)] = other.of(
                    np.full_like(pieces, theirs[each.part]), pieces
                )

    def station_of(self, tile: int) -> tuple[Station, int]:
        """Give the station of a tile, and its number there."""
        row = self._plane.rows("tiles")[tile]
        return self.stations[int(row["station"]) - self.first_station], int(row["piece"])

    def pieces_of(self, group: int, station: int) -> range:
        """Give the pieces of a station that a group consists of."""
        row = self._plane.rows("stations")[station]
        number, groups = group - int(row["first_group"]), int(row["groups"])
        count = int(self._counts[station - self.first_station])
        return range(number * count // groups, (number + 1) * count // groups)

    def _first_step(self, station: Station) -> int:
        """Give the step of the plan at which a station is first sent; 0 where it is not."""
        return min((self._exchange.plan.moves[fire.move.number].step for fire in station.fires), default=0)

    @cached_property
    def _arrivals(self) -> IntArray:
        return np.array([len(each.arrivals) for each in self.stations], np.int64)

    def _put_groups(self, rows: Any, *, silent: bool) -> IntArray:
        """Add the groups of all stations; return the group of each tile, by its place."""
        if silent:
            return np.full(self._total, NONE, np.int64)
        pairs = zip(self.stations, self._counts.tolist(), strict=True)
        counts = np.array([self._groups(*each) for each in pairs], np.int64)
        of = np.repeat(np.arange(len(rows)), counts)
        number = np.arange(len(of)) - (np.cumsum(counts) - counts)[of]
        # Cut as ``pieces_completed`` does, so that a group arrives as its tiles.
        low, high = number * self._counts[of] // counts[of], (number + 1) * self._counts[of] // counts[of]
        ends = np.concatenate([[0], np.cumsum(self._sizes(rows["first_piece"]))])
        new = np.zeros(len(of), GROUP)
        new["first"], new["pieces"], new["incomplete"] = low, high - low, high - low
        new["nbytes"] = ends[self._offsets[of] + high] - ends[self._offsets[of] + low]
        parts = np.array([each.part for each in self.stations], np.int64)
        new["wire_bytes"] = self._exchange.all_on_wire(new["nbytes"], parts[of])
        first = self._plane.add("groups", new)
        rows["groups"], rows["first_group"] = counts, first + np.cumsum(counts) - counts
        of_tiles = np.full(self._total, NONE, np.int64)
        of_tiles[np.repeat(counts > 0, self._counts)] = np.repeat(first + np.arange(len(of)), high - low)
        return of_tiles

    def _groups(self, station: Station, tiles: int) -> int:
        """Count the groups that a station's tiles leave in: stores to another GPU's memory go one by one."""
        if not station.fires:
            return 0
        is_stored_there = station.is_remote and self._space.stored_locally
        return tiles if is_stored_there else ceil_div(tiles, self._space.tiles_per_command)

    def _sizes(self, first: IntArray) -> IntArray:
        """Bytes of all tiles, station by station. ``first``: by station, the row of its first piece."""
        rows = np.repeat(first - self._offsets, self._counts) + np.arange(self._total)
        sizes: IntArray = self._plane.rows("pieces")[rows]
        return sizes

    def _numbers(self, wanted: Callable[[Station], bool]) -> IntArray:
        """List the numbers of stations that are wanted."""
        return np.array([number for number, each in enumerate(self.stations) if wanted(each)], np.int64)

    def _put_tiles(self, groups: IntArray) -> int:
        """Add the tiles, in the order of their numbers; return the first."""
        own, plane = self._space.own, self._plane
        station_of = np.zeros(len(self._exchange.chunks.piece_bytes), np.int64)
        for number, each in enumerate(self.stations):
            if each.own:
                station_of[each.part] = number
        arriving = self._numbers(lambda each: not each.own)
        counts = self._counts[arriving]
        places = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        stations = np.concatenate([station_of[own.parts], np.repeat(arriving, counts)])
        pieces = np.concatenate([own.pieces, places])
        new = np.zeros(len(stations), TILE)
        new["station"], new["piece"] = self.first_station + stations, pieces
        new["group"] = groups[self._offsets[stations] + pieces]
        new["then"] = NONE
        new["incomplete"] = self._arrivals[stations] > 0
        first = plane.add("tiles", new)
        self._ports.tracker.reserve(first, len(new))
        by_place = np.zeros(self._total, np.int64)
        by_place[self._offsets[stations] + pieces] = first + np.arange(len(new))
        self._first_place = plane.add("places", by_place)
        return first

    def _put_regions(self, rows: Any, slots: Mapping[MoveId, int]) -> None:
        """Add where the tiles lie, and the buffers for copies of them."""
        plane, regions = self._plane, self._space.regions()
        for number, each in enumerate(self.stations):
            new = np.zeros(self._counts[number], REGION)
            blocks_of(new)[:] = regions[each.part]
            rows["first_region"][number] = plane.add("regions", new)
            copies = [self._space.copy(slots.get(move)) for move in each.arrivals]
            rows["first_base"][number] = plane.add("bases", [0 if each.own else copies[0], *copies])

    def _put_fires(self, rows: Any, *, silent: bool) -> None:
        port, plane = self._ports.network, self._plane
        for number, each in enumerate([] if silent else self.stations):
            new = []
            for fire in each.fires:
                template = self._exchange.template(fire.move, each.part, fire.destinations)
                legs = port.first_legs(template)
                new.append((self.first_station + number, port.template(template), plane.add("ways", legs), len(legs)))
            rows["first_fire"][number], rows["fires"][number] = plane.add("fires", new), len(new)

    def _put_arrivals(self, first_pieces_of: list[int], slots: Mapping[MoveId, int]) -> dict[MoveId, int]:
        found: dict[MoveId, int] = {}
        for number, each in enumerate(self.stations):
            adds = int(self._space.near_memory and each.own)
            of_pieces = NONE, first_pieces_of[each.part], int(self._counts[number])
            row = NONE, self.first_station + number, adds, 0, 0, NONE, NONE, *of_pieces, 0, 0
            bases = [0 if adds else self._space.copy(slots.get(move)) for move in each.arrivals]
            first = self._plane.add("arrivals", [(*row, base, 0) for base in bases])
            found |= {move: first + place for place, move in enumerate(each.arrivals)}
        return found
