"""t3sim: a discrete-event simulator of T3, transparent tracking and triggering of collectives behind GEMMs."""

from t3sim.simulation import simulate
from t3sim.sweeps import sweep
from t3sim.version import __version__

__all__ = ["__version__", "simulate", "sweep"]
