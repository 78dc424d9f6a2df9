"""Observers: subscribers of the probe. They watch a machine and can never change when anything happens on it."""

from t3sim.observe.log import EventLog, LogEntry
from t3sim.observe.recorder import Recorder
from t3sim.observe.timeline_builder import TimelineObserver

__all__ = ["EventLog", "LogEntry", "Recorder", "TimelineObserver"]
