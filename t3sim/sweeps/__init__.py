"""Sweeps: an experiment over the values of its axes, on many processes, kept as it goes, into one table."""

from t3sim.sweeps.launch import SweepResult, load_sweep, merge, run_sweep, sweep

__all__ = ["SweepResult", "load_sweep", "merge", "run_sweep", "sweep"]
