"""``t3sim validate --against overlap``: what is compared, and what is said of the rest."""

import json

import pytest
from typer.testing import CliRunner

from t3sim.cli.app import app
from t3sim.config import load
from t3sim.validation import overlap
from t3sim.validation.measured_overlap import FORMAT, MeasuredOverlaps

TABLE = """\
format: t3sim-measured-overlap
version: 1
source: figures made up
stacks:
  streams: {scheme: stream-overlap, what: two streams}
  future: {scheme: not-written-yet, what: something else}
pairs:
  - {system: t3-paper-published, gpus: 4, order: gemm-reduce_scatter, M: 512, N: 1024, K_local: 256, dtype: fp16,
     fit: true, sequential_us: 40, source: someone,
     overlapped: [{stack: streams, time_us: 30}, {stack: future, time_us: 20}]}
"""
NOTE = "overlap: 1 of future on t3-paper-published left out, since there is no scheme not-written-yet"


@pytest.fixture
def validate(tmp_path, monkeypatch):
    """Give a function that runs the command on a table of one pair."""
    path = tmp_path / "table.yaml"
    path.write_text(TABLE, encoding="utf-8")
    loaded = load(MeasuredOverlaps, path, folder=tmp_path, format_name=FORMAT)
    monkeypatch.setattr(overlap, "load_measured_overlaps", lambda: loaded)

    def run(*options):
        result = CliRunner().invoke(app, ["validate", "--against", "overlap", "--jobs", "1", *options])
        assert result.exit_code == 0, result.output
        return result

    return run


def test_what_has_no_scheme_is_noted(validate):
    """JSON has a line for each quantity that could be compared, and a note on the stack that could not."""
    result = validate("--format", "json")
    document = json.loads(result.stdout)
    assert [(row["group"], row["quantity"], row["n"]) for row in document["summary"]] == [
        ("t3-paper-published", "sequential_us", 1),
        ("t3-paper-published, streams", "overlapped_us", 1),
        ("t3-paper-published, streams", "speedup", 1),
    ]
    assert document["manifest"]["notes"] == [NOTE]
    assert f"note: {NOTE}" in result.stderr


def test_the_table_counts_gains_and_losses(validate):
    """Beside the errors stands how many speedups are on the right side of 1."""
    shown = validate("--format", "table").stdout
    assert "right side of 1" in " ".join(shown.split())
    document = json.loads(validate("--format", "json").stdout)
    (speedup,) = (row["simulated"] for row in document["comparisons"] if row["quantity"] == "speedup")
    assert [row["same_side"] for row in document["summary"]] == [None, None, int(speedup > 1)]
