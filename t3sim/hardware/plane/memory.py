"""Memory controllers: bursts in, completions out; compiled.

Arbitration happens once per instant, after everything that arrives in it, so the order in which a GPU's parts submit
within one femtosecond does not matter. The memory is advanced lazily: when bursts arrive, and at the next completion
that somebody waits for.
"""

from typing import Final

from t3sim.compiled import part, routine
from t3sim.hardware.clock import Order
from t3sim.hardware.memory.model import MOST_CAUSES
from t3sim.hardware.plane.kinds import ADVANCE, COMPLETE, NOTHING, PLAN, SETTLE, TELL_ADVANCED, TELL_SUBMITTED, WAKE
from t3sim.hardware.plane.models import admit_and_predict, completed, queue_burst, serve, spread_burst
from t3sim.hardware.plane.queue import push, schedule
from t3sim.hardware.plane.state import State

LOCAL: Final = int(Order.LOCAL)
MEMORY: Final = int(Order.MEMORY)
SETTLING: Final = int(Order.SETTLE)


@routine
def submit(
    state: State, number: int, lane: int, nbytes: int, cause: int, is_update: int, kind: int, a: int, b: int
) -> None:
    """Queue a burst at a controller; the frame of ``kind``, ``a`` and ``b`` is done when it is complete."""
    controller, asked, clock = state.controllers[number], state.asked[number * MOST_CAUSES + cause], state.clock[0]
    if asked.nbytes == 0:
        controller.causes += 1
        asked.place = controller.causes
    asked.nbytes += nbytes
    settle_later(state, number)
    burst = queue_burst(state, number, lane, nbytes, cause, is_update, kind, a, b)
    if clock.probing:
        push(state, TELL_SUBMITTED, number, lane, burst)
    spread_burst(state, number, burst)


@part
def spread(state: State, number: int, burst: int) -> None:
    """Find where a burst lies, now that there is room for what is found."""
    spread_burst(state, number, burst)


@part
def settle_later(state: State, number: int) -> None:
    """Arbitrate at the end of this instant."""
    if state.controllers[number].settling == 0:
        state.controllers[number].settling = 1
        schedule(state, state.clock[0].now, SETTLING, SETTLE, number, 0, 0)


@part
def settle(state: State, number: int) -> None:
    """Arbitrate over everything queued by now."""
    state.controllers[number].settling = 0
    push(state, PLAN, number, 0, 0)
    push(state, ADVANCE, number, 0, 0)


@part
def wake(state: State, number: int, planned: int) -> None:
    """Hand out what completes now, unless something arrived since and changed the plan."""
    controller = state.controllers[number]
    if planned == controller.wake:
        controller.wake = 0
        push(state, PLAN, number, 1, 0)
        push(state, ADVANCE, number, 0, 0)


@part
def plan(state: State, number: int, woken: int) -> None:
    """Let in what was pushed and wake at the next completion that somebody waits for."""
    controller, clock = state.controllers[number], state.clock[0]
    if woken and controller.settling:
        return  # what completed led to new bursts, and settling them plans anew
    end = admit_and_predict(state, number, clock.now)
    if clock.probing:
        push(state, TELL_ADVANCED, number, 0, 0)
    wake_at(state, number, end)


@part
def wake_at(state: State, number: int, end: int) -> None:
    """Wake at ``end``, if that is not planned yet; 0: there is nothing to wake for."""
    controller = state.controllers[number]
    if end and end != controller.wake:
        schedule(state, end, MEMORY, WAKE, number, end, 0)
    controller.wake = end


@part
def advance(state: State, number: int) -> None:
    """Serve up to now and hand out what completed."""
    controller, now = state.controllers[number], state.clock[0].now
    if now == controller.advanced:
        return
    controller.advanced = now
    done = serve(state, number, now)
    if done:
        push(state, COMPLETE, number, 0, done)
    if state.clock[0].probing:
        push(state, TELL_ADVANCED, number, 0, 0)


@part
def complete(state: State, number: int, index: int, end: int) -> None:
    """Hand out the completed bursts from ``index`` on."""
    if index + 1 < end:
        push(state, COMPLETE, number, index + 1, end)
    burst = completed(state, number, index)
    hand_out(state, number, burst.lane, burst.end, burst.kind, burst.a, burst.b)


@part
def hand_out(state: State, number: int, lane: int, end: int, kind: int, a: int, b: int) -> None:
    """Do what was to be done when a burst is complete, at its time: reads reach the GPU a latency later."""
    if kind == NOTHING:
        return
    if lane % 2 == 0:
        schedule(state, end + state.controllers[number].read_latency, LOCAL, kind, a, b, 0)
    elif end == state.clock[0].now:
        push(state, kind, a, b, 0)
    else:
        schedule(state, end, MEMORY, kind, a, b, 0)
