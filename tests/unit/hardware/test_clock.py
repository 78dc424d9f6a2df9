"""Order of events in one femtosecond, and no way back in time."""

from functools import partial

import pytest
import simpy

from t3sim.errors import SimulationError
from t3sim.hardware.clock import Order, call_after, call_at


def test_one_instant_runs_by_order_then_first_come():
    """Events of one femtosecond run by Order, and those of the same Order in the order they were made."""
    env, log = simpy.Environment(0), []
    for order in reversed(Order):
        for number in (1, 2):
            call_at(env, 7, partial(log.append, (order.name, number)), order)
    env.run()
    assert log == [
        ("LOCAL", 1),
        ("LOCAL", 2),
        ("MEMORY", 1),
        ("MEMORY", 2),
        ("CREDIT", 1),
        ("CREDIT", 2),
        ("DELIVERY", 1),
        ("DELIVERY", 2),
        ("FORWARD", 1),
        ("FORWARD", 2),
        ("SETTLE", 1),
        ("SETTLE", 2),
    ]


def test_earlier_time_beats_order():
    """A SETTLE event at 6 runs before a LOCAL event at 7."""
    env, log = simpy.Environment(0), []
    call_at(env, 7, lambda: log.append("local at 7"), Order.LOCAL)
    call_at(env, 6, lambda: log.append("settle at 6"), Order.SETTLE)
    env.run()
    assert log == ["settle at 6", "local at 7"]


def test_simpy_timeouts_are_local():
    """SimPy's own timeouts take their turn among LOCAL events, first come first served."""
    env, log = simpy.Environment(0), []
    call_at(env, 5, lambda: log.append("before"))
    env.timeout(5).callbacks.append(lambda _: log.append("timeout"))
    call_at(env, 5, lambda: log.append("after"))
    env.run()
    assert log == ["before", "timeout", "after"]


def test_actions_made_in_an_instant_run_in_it():
    """What a late event schedules for its own instant runs in that instant, even with an earlier Order."""
    env, log = simpy.Environment(0), []
    call_at(env, 3, lambda: call_after(env, 0, lambda: log.append((env.now, "local"))), Order.SETTLE)
    call_at(env, 4, lambda: log.append((env.now, "next")))
    env.run()
    assert log == [(3, "local"), (4, "next")]


def test_past_is_refused():
    """At 10 fs an action for 9 fs is refused, and one for 10 fs runs."""
    env, log = simpy.Environment(10), []
    with pytest.raises(SimulationError, match=r"^cannot act at 9 fs: it is 10 fs already$"):
        call_at(env, 9, lambda: log.append("past"))
    with pytest.raises(SimulationError, match=r"^cannot act at 9 fs"):
        call_after(env, -1, lambda: log.append("past"))
    call_at(env, 10, lambda: log.append(env.now))
    env.run()
    assert log == [10]


def test_time_is_exact_beyond_float_precision():
    """Times stay whole femtoseconds where floats no longer tell neighbours apart."""
    env, log = simpy.Environment(2**60), []
    call_after(env, 2, lambda: log.append(env.now))
    call_after(env, 1, lambda: log.append(env.now))
    env.run()
    assert log == [1152921504606846977, 1152921504606846978]
    assert all(type(time) is int for time in log)


def test_time_beyond_the_horizon_is_refused():
    """The last femtosecond of simulated time is 2^62; one more is refused before 64 bits overflow."""
    env, log = simpy.Environment(0), []
    call_at(env, 2**62, lambda: log.append(env.now))
    with pytest.raises(SimulationError, match=r"^simulated time would pass 4611686018427387904 fs"):
        call_at(env, 2**62 + 1, lambda: log.append(env.now))
    env.run()
    assert log == [2**62]
