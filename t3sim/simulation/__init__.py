"""From specs to results: builds systems, runs schemes on them, and turns outcomes into rows."""

from t3sim.simulation.point import Point, scheme_names, schemes_of_any_network, simulate_point
from t3sim.simulation.run import SYSTEM_FORMAT, load_system, simulate
from t3sim.simulation.system import SystemSpec

__all__ = [
    "SYSTEM_FORMAT",
    "Point",
    "SystemSpec",
    "load_system",
    "scheme_names",
    "schemes_of_any_network",
    "simulate",
    "simulate_point",
]
