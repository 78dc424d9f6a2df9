"""The data plane of an environment: how long it lives."""

import gc
import weakref

import simpy

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
