"""Track and trigger: what becomes of tiles that are stored, arrive, or are complete; compiled.

A tile is routed by its station, its updates are counted by the tracker, and the last one triggers the commands of its
group, or for what the GPU keeps counts it as done. Without near-memory ALUs CUs sum what the tracker has counted.
"""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.memory.access import Stream
from t3sim.hardware.plane.kinds import GIVE
from t3sim.hardware.plane.memory import submit
from t3sim.hardware.plane.queue import append, push
from t3sim.hardware.plane.routes import new_message, send_message
from t3sim.hardware.plane.state import NONE, State
from t3sim.hardware.plane.tile_sums import summand_bytes
from t3sim.hardware.plane.trigger_state import (
    BURST,
    COMMAND_READ,
    COMMAND_TAKEN,
    COMPLETE_ALL,
    COMPLETE_TILE,
    CONTRIBUTE,
    COUNT,
    SEND_TILE,
    STORE,
    STORED,
    SUM_NEXT,
    SUM_READ,
    TELL_CHUNK,
    TELL_FINISHED,
    TELL_GROUP_SENT,
    TELL_HANDED_OVER,
    TELL_READ,
    TELL_TILE_SENT,
    TELL_TILE_STORED,
    TRIGGER,
)

_STORES: Final = 2 * int(Stream.COMPUTE) + 1
_READS: Final = 2 * int(Stream.COMMUNICATION)
_WRITES: Final = _READS + 1


@part
def burst(state: State, kind: int, row: int, copy: int) -> None:
    """Ask memory for what a tile needs, or a command; ``kind`` is what this leads to."""
    update = 0
    if kind == COMMAND_READ:
        command = state.commands[row]
        unit = state.units[state.stations[state.fires[command.fire].station].unit]
        nbytes = state.groups[command.group].nbytes
        lane, cause = _READS, unit.read_cause
    else:
        tile = state.tiles[row]
        station = state.stations[tile.station]
        unit = state.units[station.unit]
        nbytes = state.pieces[station.first_piece + tile.piece]
        lane, cause = _WRITES, unit.write_cause
        if kind == STORED:
            lane, cause = _STORES, unit.store_cause
            update = int(unit.near_memory != 0 and station.arrivals > 0)
        elif kind == SUM_READ:
            lane, cause, nbytes = _READS, unit.read_cause, summand_bytes(state, row, copy)
    submit(state, unit.controller, lane, nbytes, cause, update, kind, row, copy)


@part
def store(state: State, row: int, end: int) -> None:
    """Issue output tiles of workgroups that have ended, by their stations."""
    if row + 1 < end:
        push(state, STORE, row + 1, end, 0)
    tile = state.tiles[row]
    station = state.stations[tile.station]
    unit = state.units[station.unit]
    nbytes = state.pieces[station.first_piece + tile.piece]
    state.buffers[unit.buffer].held += nbytes
    if station.is_remote == 0:
        push(state, BURST, STORED, row, 0)
    elif unit.silent:
        push(state, GIVE, unit.buffer, nbytes, 0)
    else:
        mark_started(state, station.unit)
        push(state, SEND_TILE, row, 0, 0)


@part
def leave(state: State, row: int, is_command: int) -> None:
    """Send a tile that another GPU's memory takes from the store buffer, or what a command has read."""
    clock = state.clock[0]
    if is_command:
        command = state.commands[row]
        number, group = command.fire, command.group
        station = state.stations[state.fires[number].station]
        then, a, b = COMMAND_TAKEN, row, 0
        if clock.probing:
            push(state, TELL_HANDED_OVER, row, 0, 0)
    else:
        tile = state.tiles[row]
        station = state.stations[tile.station]
        number, group = station.first_fire, tile.group
        then, a, b = GIVE, state.units[station.unit].buffer, state.groups[group].nbytes
    fire, moved, piece = state.fires[number], state.groups[group], group - station.first_group
    message = new_message(state, fire.template, piece, station.groups, moved.nbytes, moved.wire_bytes)
    send_message(state, message, state.ways[fire.first_way + piece % fire.spread], then, a, b)
    if clock.values:
        push(state, TELL_GROUP_SENT if is_command else TELL_TILE_SENT, row, message, 0)
    if is_command and clock.probing:
        push(state, TELL_READ, row, 0, 0)


@part
def mark_started(state: State, number: int) -> None:
    """Note when the first of an operation was sent or triggered."""
    unit = state.units[number]
    if unit.started == NONE:
        unit.started = state.clock[0].now


@part
def stored(state: State, row: int) -> None:
    """Count an own tile that is in memory."""
    station = state.stations[state.tiles[row].station]
    unit = state.units[station.unit]
    if unit.silent == 0:
        push(state, CONTRIBUTE, row, 0, 0)
    if state.clock[0].values:
        push(state, TELL_TILE_STORED, row, 0, 0)
    push(state, GIVE, unit.buffer, state.pieces[station.first_piece + state.tiles[row].piece], 0)


@part
def contribute(state: State, row: int) -> None:
    """Take a tile that is in memory as the contribution of this GPU."""
    station = state.stations[state.tiles[row].station]
    if station.arrivals:
        push(state, COUNT, row, state.units[station.unit].wavefronts, 0)
    else:
        push(state, COMPLETE_TILE, row, 0, 0)


@part
def complete_all(state: State, place: int, end: int) -> None:
    """Let go of tiles that are complete from the start."""
    if place + 1 < end:
        push(state, COMPLETE_ALL, place + 1, end, 0)
    push(state, COMPLETE_TILE, state.begun[place], 0, 0)


@part
def fired(state: State, row: int) -> None:
    """Act on a tile whose last update is in memory: its sum, or what is to be summed."""
    tile = state.tiles[row]
    station = state.stations[tile.station]
    unit = state.units[station.unit]
    if unit.near_memory or station.own == 0:
        push(state, COMPLETE_TILE, row, 0, 0)
        return
    unit.first_sum = append(state.tiles, unit.first_sum, unit.last_sum, row)
    unit.last_sum = row
    push(state, SUM_NEXT, station.unit, 0, 0)


@part
def complete(state: State, row: int) -> None:
    """Act on a tile that is complete in memory: trigger what is to be sent, and count what stays."""
    tile = state.tiles[row]
    station = state.stations[tile.station]
    unit = state.units[station.unit]
    if station.told:
        station.open -= 1
        if station.open == 0:
            push(state, TELL_CHUNK, tile.station, 0, 0)
    if station.stays:
        unit.kept_open -= 1
        if unit.kept_open == 0:
            push(state, TELL_FINISHED, station.unit, 0, 0)
        if tile.then != NONE:
            push(state, CONTRIBUTE, tile.then, 0, 0)
    if station.fires:
        group = state.groups[tile.group]
        group.incomplete -= 1
        if group.incomplete == 0:
            push(state, TRIGGER, tile.group, station.first_fire, station.first_fire + station.fires)
