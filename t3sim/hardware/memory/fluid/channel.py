"""Bursts before a fluid channel and what it completes, compiled: what all of its disciplines have.

Bursts wait in four *lanes*, first in, first out: (stream, read or write). From there requests enter the channel by one
of two disciplines: one queue in order (``in_order``), or reads and writes in queues of their own (``two_queues``). A
request is one access on every channel at once. The channel is one server; what it is to take is in ``spec``.

``number``: of the controller; ``side``: what is, or what may come (see ``tables``).
"""

from t3sim.compiled import Record, part
from t3sim.hardware.memory.fluid.lanes import burst_at, place_of
from t3sim.hardware.memory.fluid.tables import AHEAD, NOW
from t3sim.hardware.plane.state import State


@part
def queue_burst(
    state: State, number: int, lane: int, nbytes: int, cause: int, is_update: int, kind: int, a: int, b: int
) -> int:
    """Queue a burst; return its number in its lane."""
    clock, tail = state.clock[0], state.tails[4 * number + lane]
    burst = state.bursts[burst_at(state, number, lane, tail)]
    burst.nbytes = nbytes
    burst.cause = cause
    burst.is_update = is_update
    burst.kind = kind
    burst.a = a
    burst.b = b
    state.tails[4 * number + lane] = tail + 1
    if tail + 1 - state.queue_lanes[place_of(number, NOW, lane)].serving + clock.margin > clock.ring:
        clock.need = 1
    return int(tail)


@part
def spread_burst(_state: State, _number: int, _burst: int) -> None:
    """Ask for no addresses."""


@part
def completed(state: State, number: int, index: int) -> Record:
    """Give one of the awaited bursts that were completed."""
    return state.completed[4 * number * state.clock[0].ring + index]


@part
def look_ahead(state: State, number: int) -> None:
    """Make lanes and server of the side ``AHEAD`` what they are on the side ``NOW``."""
    for lane in range(4):
        state.queue_lanes[place_of(number, AHEAD, lane)] = state.queue_lanes[place_of(number, NOW, lane)]
    state.servers[2 * number + AHEAD] = state.servers[2 * number + NOW]
