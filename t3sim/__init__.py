"""t3sim: a discrete-event simulator of T3, transparent tracking and triggering of collectives behind GEMMs."""

from typing import TYPE_CHECKING

from t3sim import lazy

if TYPE_CHECKING:
    from t3sim.simulation import simulate
    from t3sim.sweeps import sweep
    from t3sim.version import __version__
else:
    __getattr__ = lazy.exports(__name__, __version__="t3sim.version", simulate="t3sim.simulation", sweep="t3sim.sweeps")

__all__ = ["__version__", "simulate", "sweep"]
