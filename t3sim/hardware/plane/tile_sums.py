"""Sums of tiles by CUs, where the memory does not add: copies are read part by part, the sum is written; compiled.

Tiles are summed in the order in which they become complete. What the CUs that sum keep in flight is a window, as that
of a collective kernel is.
"""

from t3sim.compiled import part
from t3sim.hardware.plane.queue import push
from t3sim.hardware.plane.state import NONE, State
from t3sim.hardware.plane.trigger_state import (
    BURST,
    COMPLETE_TILE,
    SUM_NEXT,
    SUM_READ,
    SUMMED,
    TELL_COPY_READ,
    TELL_SUMMED,
)


@part
def sum_next(state: State, number: int) -> None:
    """Ask for the next part of a copy of the first tile that is left to sum, if the CUs that sum have room for it.

    Parts of all copies take turns, as those of a collective kernel do.
    """
    unit = state.units[number]
    row = unit.first_sum
    if row == NONE or unit.sum_limit == 0:
        return
    tile = state.tiles[row]
    station = state.stations[tile.station]
    if tile.asked == 0:
        # As many until it is summed, also if there are more CUs meanwhile.
        grain = unit.sum_grain
        tile.parts = (state.pieces[station.first_piece + tile.piece] + grain - 1) // grain
        tile.count = tile.parts * (station.arrivals + 1)
    nbytes, asked = summand_bytes(state, row, tile.asked), tile.asked
    # More than the whole window passes when it is empty.
    if unit.sum_in_flight and unit.sum_in_flight + nbytes > unit.sum_limit:
        return
    unit.sum_in_flight += nbytes
    tile.asked += 1
    if tile.asked == tile.parts * (station.arrivals + 1):
        unit.first_sum = tile.next
    push(state, SUM_NEXT, number, 0, 0)
    push(state, BURST, SUM_READ, row, asked)


@part
def summand(state: State, row: int, number: int) -> tuple[int, int]:
    """Say which copy of a tile a read is of, and which part of it."""
    copies = state.stations[state.tiles[row].station].arrivals + 1
    return int(number % copies), int(number // copies)


@part
def summand_bytes(state: State, row: int, number: int) -> int:
    """Give the bytes of a read of a copy of a tile."""
    tile = state.tiles[row]
    nbytes = state.pieces[state.stations[tile.station].first_piece + tile.piece]
    _, place = summand(state, row, number)
    return int(nbytes * (place + 1) // tile.parts - nbytes * place // tile.parts)


@part
def sum_read(state: State, row: int, number: int) -> None:
    """Write the sum of a tile over the local copy when all are read; what is complete needs room till it is written."""
    tile = state.tiles[row]
    station = state.stations[tile.station]
    unit = state.units[station.unit]
    unit.sum_in_flight -= summand_bytes(state, row, number)
    tile.count -= 1
    if tile.count == 0:
        unit.sum_in_flight += state.pieces[station.first_piece + tile.piece]
        push(state, BURST, SUMMED, row, 0)
    else:
        push(state, SUM_NEXT, station.unit, 0, 0)
    copy, place = summand(state, row, number)
    if state.clock[0].values and place + 1 == tile.parts:
        push(state, TELL_COPY_READ, row, copy, 0)


@part
def is_summed(state: State, row: int) -> None:
    """Go on with a tile whose sum is written."""
    station = state.stations[state.tiles[row].station]
    state.units[station.unit].sum_in_flight -= state.pieces[station.first_piece + state.tiles[row].piece]
    push(state, SUM_NEXT, station.unit, 0, 0)
    push(state, COMPLETE_TILE, row, 0, 0)
    if state.clock[0].values:
        push(state, TELL_SUMMED, row, 0, 0)
