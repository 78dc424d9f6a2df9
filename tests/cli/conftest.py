"""The command line in this process, and small inputs for it."""

import contextlib
import io
import json
import sys
from types import SimpleNamespace

import pytest

from t3sim import data
from t3sim.cli import main
from t3sim.data import models_dir
from t3sim.workload import load_model, render_trace, transformer_trace

TRACE = """\
format: t3sim-trace
version: 1
model: toy
tp: 2
operations:
  - {id: op.gemm,  op: gemm,           phase: forward, sublayer: op,  M: 256, N: 128, K_local: 64, dtype: fp16}
  - {id: op.rs,    op: reduce_scatter, phase: forward, sublayer: op,  bytes: 65536 B, dtype: fp16, after: [op.gemm]}
  - {id: op.ag,    op: all_gather,     phase: forward, sublayer: op,  bytes: 65536 B, dtype: fp16, after: [op.rs]}
  - {id: fc2.gemm, op: gemm,           phase: forward, sublayer: fc2, M: 256, N: 128, K_local: 96, dtype: fp16, after: [op.ag]}
  - {id: fc2.ar,   op: all_reduce,     phase: forward, sublayer: fc2, bytes: 65536 B, dtype: fp16, after: [fc2.gemm]}
"""  # noqa: E501


@pytest.fixture
def t3sim(monkeypatch):
    """Give a function that runs a command line as ``t3sim`` does: its exit code, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["t3sim", *map(str, arguments)])
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as end:
            main()
        code = end.value.code
        return SimpleNamespace(code=0 if code is None else code, out=out.getvalue(), err=err.getvalue())

    return run


@pytest.fixture
def document(t3sim):
    """Give a function that runs a command with ``--format json``: the document, if it is one and nothing else."""

    def run(*arguments):
        result = t3sim(*arguments, "--format", "json")
        assert result.code == 0, result.err
        return json.loads(result.out)

    return run


@pytest.fixture
def trace(tmp_path):
    """Give a trace of two sublayers on two GPUs, as a file."""
    path = tmp_path / "toy.yaml"
    path.write_text(TRACE, encoding="utf-8")
    return path


@pytest.fixture
def layer(t3sim, tmp_path):
    """Give the trace of a small layer with sequence parallelism on two GPUs, as a file."""
    path = tmp_path / "layer.yaml"
    made = t3sim("trace", "new", "t-nlg", "--tp", 2, "--tokens", 128, "--sequence-parallel", "--out", path)
    assert made.code == 0, made.err
    return path


@pytest.fixture
def small_data(tmp_path, monkeypatch):
    """Make t3sim ship its configs with tiny traces, so that whole experiments take a second."""
    shipped = data.configs_dir()
    traces = {}
    for path in data.traces_dir().glob("*.yaml"):
        plain = path.stem.removesuffix("-sequence-parallel")
        model, _, tp = plain.rpartition("-tp")
        if not (models_dir() / f"{model}.yaml").exists():  # written by hand
            traces[path.name] = path.read_text(encoding="utf-8")
            continue
        spec = load_model(model, folder=models_dir()).spec
        small = transformer_trace(spec, int(tp), tokens=128, sequence_parallel=plain != path.stem)
        traces[path.name] = render_trace(small)
    site = tmp_path / "site"
    (site / "traces").mkdir(parents=True)
    (site / "configs").symlink_to(shipped)
    for name, text in traces.items():
        (site / "traces" / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(data, "_PACKAGE", site / "t3sim")
