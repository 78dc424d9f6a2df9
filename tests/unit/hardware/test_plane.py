"""The data plane of an environment: how long it lives, and the memories that it is given one by one."""

import gc
import weakref

import pytest
import simpy

from t3sim.hardware.memory.fluid.tables import NOW, Queues, ServiceTimes, new_front_end
from t3sim.hardware.plane.plane import Plane, plane_of


def planes():
    """Count the planes there are."""
    gc.collect()
    return sum(isinstance(found, Plane) for found in gc.get_objects())


def test_an_environment_has_one_plane_and_takes_it_along():
    """All parts of a run share the plane of its environment, and nothing else keeps it."""
    env = simpy.Environment(0)
    plane = plane_of(env)
    assert plane_of(env) is plane
    assert plane_of(simpy.Environment(0)) is not plane
    seen = weakref.ref(plane)
    del plane, env
    gc.collect()
    assert seen() is None


def test_runs_leave_no_plane_behind(tiny_system, collective_op, sublayer_of, run_scheme):
    """Hundreds of points in one process do not pile up the tables of those before."""
    sublayer, before = sublayer_of(4, collective_op("c", "all_reduce", 4096)), planes()
    for _ in range(3):
        run_scheme(tiny_system(), sublayer, "sequential")
    assert planes() <= before


def memory():
    """Make an in-order memory."""
    return new_front_end(Queues(in_order=1, read_entries=4), ServiceTimes(1, 1, 1, 1, 0, 0))


def test_memories_keep_what_they_hold_when_more_are_added():
    """A memory that was looked at and changed is the same beside one that comes later."""
    plane = Plane(simpy.Environment(0))
    plane.add_controller(memory(), 0)
    plane.memory.servers[0, NOW]["last_lane"] = 3
    plane.add_controller(memory(), 0)
    assert plane.memory.servers["last_lane"][:, NOW].tolist() == [3, -1]


def test_memories_are_added_before_any_has_had_a_burst():
    """Rings of bursts that have grown are not taken for those of other memories."""
    plane = Plane(simpy.Environment(0))
    plane.add_controller(memory(), 0)
    plane.tails[0, 0] = 1
    with pytest.raises(AssertionError, match="before any of them"):
        plane.add_controller(memory(), 0)
