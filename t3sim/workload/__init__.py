"""What is executed: operations and their dependencies, as traces; it knows no clock and no hardware."""

from t3sim.workload.model_traces import transformer_trace
from t3sim.workload.models import ModelSpec, load_model
from t3sim.workload.operations import (
    DTYPE_BYTES,
    Collective,
    Dtype,
    Gemm,
    Sublayer,
    Trace,
    TracedOperation,
)
from t3sim.workload.trace import load_trace, render_trace

__all__ = [
    "DTYPE_BYTES",
    "Collective",
    "Dtype",
    "Gemm",
    "ModelSpec",
    "Sublayer",
    "Trace",
    "TracedOperation",
    "load_model",
    "load_trace",
    "render_trace",
    "transformer_trace",
]
