"""Rows of the data plane that tests put in themselves."""

import numpy as np
import pytest

from t3sim.hardware.memory.access import Cause, Direction
from t3sim.hardware.network.message import Template
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.state import NONE
from t3sim.hardware.plane.trigger_state import GROUP, STATION, TILE, TRIGGER, UNIT


@pytest.fixture(scope="session")
def tracked_tiles():
    """Give a function that adds tiles to a tracker: each is a station of its own, that expects some updates."""

    def add(plane, tracker, counted=(True,), expected=2):
        unit = np.zeros(1, UNIT)
        unit["tracker"], unit["near_memory"] = tracker.number, 1
        stations, tiles = np.zeros(len(counted), STATION), np.zeros(len(counted), TILE)
        stations["unit"], stations["expected"] = plane.add("units", unit), expected
        tiles["station"] = plane.add("stations", stations) + np.arange(len(counted))
        tiles["incomplete"], tiles["then"] = counted, NONE
        first = plane.add("tiles", tiles)
        tracker.reserve(first, len(counted))
        return first

    return add


@pytest.fixture(scope="session")
def commands():
    """Give a function that makes one which triggers DMA commands by their sizes, from a GPU of a machine to another."""

    def to(machine, rank, destination):
        plane, network, gpu = plane_of(machine.env), machine.network, machine.gpus[rank]
        template = Template(0, 0, 0, rank, (destination,), 0, 0, 0)
        unit, station = np.zeros(1, UNIT), np.zeros(1, STATION)
        unit["controller"], unit["dma"] = gpu.memory.number, gpu.dma.number
        unit["read_cause"] = gpu.memory.number_of(Cause("all_to_all", Direction.READ))
        station["unit"] = plane.add("units", unit)
        ways = network.first_legs(template)
        moved = plane.add("stations", station), network.template(template), plane.add("ways", ways), len(ways)
        fire = plane.add("fires", [moved])

        def trigger(*sizes):
            for nbytes in sizes:
                group = np.zeros(1, GROUP)
                group["nbytes"] = group["wire_bytes"] = nbytes
                plane.perform(TRIGGER, plane.add("groups", group), fire, fire + 1)

        return trigger

    return to
