"""Where the bytes of a burst lie, worked out from rows, for memories that ask; compiled."""

from t3sim.compiled import part
from t3sim.hardware.plane.kinds import EVICTED, LANDED, LOADED, READ, WRITTEN
from t3sim.hardware.plane.lanes import read_bytes
from t3sim.hardware.plane.state import State
from t3sim.hardware.plane.tile_sums import summand
from t3sim.hardware.plane.trigger_state import COMMAND_READ, STORED, SUM_READ, SUMMED, TILE_LANDED


@part
def located(state: State, number: int, kind: int, a: int, b: int) -> tuple[int, int, int]:
    """Find the regions of a burst of controller ``number`` by what is done when it is complete.

    Returns the first one's row, how many there are, and what is to be added to their addresses. Of bursts of Python's,
    the row of the controller says it.
    """
    if kind == READ:
        piece = state.slices[a]
        task = state.tasks[piece.task]
        base = state.bases[task.first_base + 1 + b % task.reads]
        before = b // task.reads * state.windows[state.lanes[piece.lane].window].grain
        return _one(state, base, task.first_piece + piece.piece, before, read_bytes(state, a, b))
    if kind == WRITTEN:
        piece = state.slices[a]
        task = state.tasks[piece.task]
        return _one(state, state.bases[task.first_base], task.first_piece + piece.piece, 0, piece.nbytes)
    if kind == LANDED:
        arrival = state.arrivals[state.incoming[a].arrival]
        number = arrival.first_piece + state.incoming[a].piece
        return _one(state, arrival.base, number, 0, state.pieces[number])
    if kind in (LOADED, EVICTED):
        pipeline = state.pipelines[a]
        spot = state.spots[pipeline.spots + b - pipeline.end_slab]
        return (spot.first_missed, spot.missed, 0) if kind == LOADED else (spot.first_evicted, spot.evicted, 0)
    if kind in (STORED, SUM_READ, SUMMED, TILE_LANDED, COMMAND_READ):
        return _of_tiles(state, kind, a, b)
    controller = state.controllers[number]
    return controller.first_region, controller.regions, 0


@part
def _of_tiles(state: State, kind: int, row: int, number: int) -> tuple[int, int, int]:
    """Find the region of a tile, or those of a group of them, as ``located`` does."""
    if kind == TILE_LANDED:
        incoming = state.incoming[row]
        arrival = state.arrivals[incoming.arrival]
        return state.stations[arrival.station].first_region + incoming.piece, 1, arrival.base
    if kind == COMMAND_READ:
        command = state.commands[row]
        station, group = state.stations[state.fires[command.fire].station], state.groups[command.group]
        return station.first_region + group.first, group.pieces, state.bases[station.first_base]
    tile = state.tiles[row]
    station = state.stations[tile.station]
    if kind == SUM_READ:
        return _part_of_copy(state, row, number)
    return station.first_region + tile.piece, 1, 0


@part
def _part_of_copy(state: State, row: int, number: int) -> tuple[int, int, int]:
    """Make the region of what a read of a copy of a tile takes: whole rows."""
    tile = state.tiles[row]
    station = state.stations[tile.station]
    copy, place = summand(state, row, number)
    whole, region = state.regions[station.first_region + tile.piece], state.regions[0]
    first = whole.rows * place // tile.parts
    region.address = whole.address + first * whole.stride
    region.rows = whole.rows * (place + 1) // tile.parts - first
    region.nbytes = whole.nbytes
    region.stride = whole.stride
    return 0, 1, int(state.bases[station.first_base + copy] if copy else 0)


@part
def _one(state: State, base: int, piece: int, before: int, nbytes: int) -> tuple[int, int, int]:
    """Make the region of bytes of a piece, of which ``before`` come before, in a buffer."""
    region = state.regions[0]
    region.address = base + state.addresses[piece] + before
    region.rows = 1
    region.nbytes = nbytes
    region.stride = 0
    return 0, 1, 0
