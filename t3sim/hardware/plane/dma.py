"""DMA engines: commands that are ready start in that order, read what they move and hand it to the link; compiled."""

from typing import Final

from t3sim.compiled import part
from t3sim.hardware.clock import Order
from t3sim.hardware.plane.queue import append, give, push, schedule, take
from t3sim.hardware.plane.state import COMMANDS as POOL
from t3sim.hardware.plane.state import NONE, State
from t3sim.hardware.plane.trigger import mark_started
from t3sim.hardware.plane.trigger_state import (
    BURST,
    COMMAND_READ,
    COMMAND_READY,
    TELL_COMMAND_ENDED,
    TELL_STARTED,
    TELL_TRIGGERED,
    TRIGGER,
)

_LOCAL: Final = int(Order.LOCAL)


@part
def _engine_of(state: State, row: int) -> int:
    """Give the row of the engine that carries out a command."""
    return int(state.units[state.stations[state.fires[state.commands[row].fire].station].unit].dma)


@part
def trigger(state: State, group: int, fire: int, end: int) -> None:
    """Mark the commands ready that move a group of tiles: one for each move."""
    if fire + 1 < end:
        push(state, TRIGGER, group, fire + 1, end)
    mark_started(state, state.stations[state.fires[fire].station].unit)
    row = take(state, POOL, state.commands)
    command = state.commands[row]
    command.fire = fire
    command.group = group
    number = _engine_of(state, row)
    ready_at = state.clock[0].now + state.engines[number].latency
    schedule(state, ready_at, _LOCAL, COMMAND_READY, row, number, 0)
    if state.clock[0].probing:
        push(state, TELL_TRIGGERED, row, 0, 0)


@part
def ready(state: State, new: int, number: int) -> None:
    """Queue a command that may start, and start the next one.

    No more are between the start of their read and their acceptance by the link than may be.
    """
    engine = state.engines[number]
    if new != NONE:
        engine.first_ready = append(state.commands, engine.first_ready, engine.last_ready, new)
        engine.last_ready = new
        engine.ready += 1
    if engine.ready == 0 or engine.in_flight >= engine.outstanding:
        return
    row = engine.first_ready
    engine.first_ready = state.commands[row].next
    engine.ready -= 1
    engine.in_flight += 1
    push(state, COMMAND_READY, NONE, number, 0)
    push(state, BURST, COMMAND_READ, row, 0)
    if state.clock[0].probing:
        push(state, TELL_STARTED, row, 0, 0)


@part
def taken(state: State, row: int) -> None:
    """Let the next command start: the link has taken what this one moved."""
    number = _engine_of(state, row)
    state.engines[number].in_flight -= 1
    push(state, COMMAND_READY, NONE, number, 0)
    if state.clock[0].probing:
        push(state, TELL_COMMAND_ENDED, row, 0, 0)
    give(state, POOL, state.commands, row)
