"""Traces of PyTorch's profiler (Kineto, in Chrome's trace event format): GEMMs and collectives that a GPU ran."""

from t3sim.workload.kineto.importing import import_kineto

__all__ = ["import_kineto"]
