"""Observers: they watch a machine from outside and can never change when anything happens on it."""

from t3sim.observe.log import EventLog, Record, attach

__all__ = ["EventLog", "Record", "attach"]
