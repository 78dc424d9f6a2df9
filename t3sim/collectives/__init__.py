"""Collectives: what an algorithm makes of an operation, as plans; no clock, no hardware."""

from t3sim.collectives import algorithms  # noqa: F401 - registers them
