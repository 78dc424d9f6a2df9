"""Simulated time: integer femtoseconds on a SimPy environment, with a named order of events at equal times.

What happens in one instant is ordered by ``Order``, then first in, first out. The classes make the outcome of an
instant independent of which GPU of a ring was built first: whatever crosses a link is handled after local work,
and the memory controllers arbitrate last, once everything that arrives in this instant is queued.
"""

from collections.abc import Callable
from enum import IntEnum
from heapq import heappush
from typing import Any, NoReturn, cast

import simpy
from simpy.events import Event, EventPriority

from t3sim.errors import SimulationError

Environment = simpy.Environment
Action = Callable[[], None]

HORIZON_FS = 2**62
"""End of simulated time, about 77 minutes: times stay within 64 bits with room to add."""


class Order(IntEnum):
    """Who goes first among events of the same femtosecond (SimPy's own: 0 urgent, 1 normal)."""

    LOCAL = 1
    """Timers and data arrivals inside one GPU; also every event that SimPy schedules itself."""
    MEMORY = 2
    """DRAM bursts that complete."""
    CREDIT = 3
    """Buffer space handed back over a link."""
    DELIVERY = 4
    """Packets that arrive over a link."""
    FORWARD = 5
    """Packets that go on at a switch or a GPU on their way: first all that come in, then who goes next on each link."""
    SETTLE = 6
    """Memory arbitration over everything queued by now."""


class _Call:
    """An event that is ready and does one thing: as much of SimPy's Event as its loop asks for."""

    __slots__ = ("action", "callbacks")
    _ok = True

    def __init__(self, action: Action) -> None:
        self.action = action
        self.callbacks = _DO


def _do(call: _Call) -> None:
    call.action()


_DO = (_do,)


def fire_now(event: Event) -> None:
    """Let those go on who wait for ``event``, here and not through the queue."""
    over: Any = event
    waiting, over.callbacks = event.callbacks, None
    over._ok, over._value = True, None  # noqa: SLF001 - what SimPy does with events that are over
    for go_on in waiting:
        go_on(event)


def event_of(action: Action) -> Event:
    """Make an event that does ``action``, for SimPy's queue."""
    return cast("Event", _Call(action))


def call_at(env: Environment, time_fs: int, action: Action, order: Order = Order.LOCAL) -> None:
    """Run ``action`` at ``time_fs``.

    Raises ``SimulationError`` for a time in the past, which SimPy's queue would take and run time backwards, and
    for one beyond the horizon.
    """
    if not env._now <= time_fs <= HORIZON_FS:  # noqa: SLF001 - the property costs as much as the rest
        _refuse(env, time_fs)
    # What Environment.schedule does, without its calls: most of a run's events are made here.
    heappush(env._queue, (int(time_fs), EventPriority(order), next(env._eid), cast("Event", _Call(action))))  # noqa: SLF001


def call_after(env: Environment, delay_fs: int, action: Action, order: Order = Order.LOCAL) -> None:
    """Run ``action`` in ``delay_fs`` femtoseconds."""
    call_at(env, int(env.now) + delay_fs, action, order)


def _refuse(env: Environment, time_fs: int) -> NoReturn:
    if time_fs < env.now:
        raise SimulationError(f"cannot act at {time_fs} fs: it is {env.now} fs already")
    raise SimulationError(f"simulated time would pass {HORIZON_FS} fs, the longest run that can be counted")
