"""Traces as files: read and checked on the way in, aligned for review on the way out."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Final

import yaml

from t3sim.config import VERSION, Loaded, load
from t3sim.workload.operations import Collective, Gemm, Trace, TracedOperation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TRACE_FORMAT: Final = "t3sim-trace"

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_NO_STRINGS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def load_trace(ref: str | Path, *, folder: Path) -> Loaded[Trace]:
    """Load a trace by path, or by name from `folder`.

    Raises:
        InputError: the file cannot be read, or is no trace that can run; it names every fault and its line.

    """
    return load(Trace, ref, folder=folder, format_name=TRACE_FORMAT)


def render_trace(trace: Trace, *, command: str | None = None) -> str:
    """Write a trace as YAML, one operation a line; loading the text gives an equal trace.

    `command` is what made the trace and goes into the header. Left out, it is the command for a trace of
    one of the shipped models with its own number of tokens and dtype.
    """
    made_by = command or f"t3sim trace new {trace.model} --tp {trace.tp}"
    header = [
        f"# Made by: {' '.join(made_by.split())}",
        "# M, N, K_local: output rows (tokens), output columns, and the reduction length on one GPU.",
        "# bytes: the whole buffer of the collective, before it is divided among the GPUs.",
        f"format: {TRACE_FORMAT}",
        f"version: {VERSION}",
        f"model: {_scalar(trace.model)}",
        f"tp: {trace.tp}",
        f"description: {_scalar(trace.description)}",
        "operations:",
    ]
    rows = _aligned([_cells(operation) for operation in trace.operations])
    return "\n".join([*header, *(f"  - {{{row}}}" for row in rows)]) + "\n"


def _cells(operation: TracedOperation) -> list[str]:
    """List the fields; what a GEMM and a collective do not share is one cell, so that columns match."""
    match operation:
        case Gemm():
            size = f"M: {operation.M}, N: {operation.N}, K_local: {operation.K_local}"
        case Collective():
            size = f"bytes: {operation.bytes} B"
    return [
        f"id: {_scalar(operation.id)}",
        f"op: {operation.op}",
        f"phase: {_scalar(operation.phase)}",
        f"sublayer: {_scalar(operation.sublayer)}",
        size,
        f"dtype: {operation.dtype}",
        f"after: [{', '.join(_scalar(name) for name in operation.after)}]",
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Join the cells of each row with commas so that every column starts at the same place."""
    widths = [max(len(cell) for cell in column) + 1 for column in zip(*rows, strict=True)]
    return [
        " ".join([*(f"{cell},".ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in rows
    ]


def _scalar(text: str) -> str:
    """Write a string in YAML, in quotes unless nobody could take it for something else."""
    if _PLAIN.fullmatch(text) and text.casefold() not in _NO_STRINGS:
        return text
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=math.inf).rstrip("\n")
