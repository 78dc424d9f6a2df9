"""The store buffer: who waits for it hears when it has fallen to the level it waits for, each by itself."""

import pytest
import simpy

from t3sim.hardware.compute.store_buffer import StoreBuffer


@pytest.fixture
def buffer():
    """Give a store buffer of 100 bytes."""
    return StoreBuffer(simpy.Environment(0), 100)


def test_drained_waits_for_the_last_byte(buffer):
    """The store buffer counts as drained at its last byte and not one byte before."""
    assert buffer.drained() is None
    buffer.take(10)
    event = buffer.drained()
    buffer.give(9)
    assert not event.triggered
    buffer.give(1)
    assert event.triggered
    assert buffer.drained() is None


def test_room_is_there_at_its_capacity(buffer):
    """A full buffer has room, one with a byte more has none until that byte has left."""
    buffer.take(100)
    assert buffer.room() is None
    buffer.take(1)
    event = buffer.room()
    assert not event.triggered
    buffer.give(1)
    assert event.triggered
    assert buffer.room() is None


def test_waiters_at_different_levels_wake_each_at_its_own(buffer):
    """One that waits for room and one that waits for all to have left both wake, in whichever order they came."""
    for drained_first in (True, False):
        buffer.take(150)
        waiters = {}
        for name in ("drained", "room") if drained_first else ("room", "drained"):
            waiters[name] = getattr(buffer, name)()
        buffer.give(49)
        assert (waiters["room"].triggered, waiters["drained"].triggered) == (False, False)
        buffer.give(1)
        assert (waiters["room"].triggered, waiters["drained"].triggered) == (True, False)
        buffer.give(100)
        assert waiters["drained"].triggered


def test_waiters_at_one_level_wake_together_and_once(buffer):
    """Two that wait for the same wake in the same instant, and are not woken again."""
    buffer.take(101)
    woken = []
    for name in "ab":
        buffer.room().callbacks.append(lambda _, name=name: woken.append((name, buffer.env.now)))
    buffer.give(1)
    buffer.give(100)
    buffer.take(200)
    buffer.give(200)
    buffer.env.run()
    assert woken == [("a", 0), ("b", 0)]
