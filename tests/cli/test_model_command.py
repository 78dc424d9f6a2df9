"""``t3sim model``: iterations of whole models on the command line."""

import csv
import io
import json

import pytest

SMALL = """\
format: t3sim-model
version: 1
name: small
hidden: 256
layers: 2
tokens: 256
sequence: 128
tp: [2]
dtype: fp16
heads: 4
vocabulary: 512
"""


@pytest.fixture
def asked(tmp_path, monkeypatch, t3sim):
    """Give a function that runs ``t3sim model`` on a small model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")

    return lambda *arguments: t3sim("model", "./small.yaml", "--tp", "2", *arguments)


@pytest.mark.parametrize("phase", ["training", "prompt", "generation"])
def test_rows_add_up(asked, phase):
    """Kinds of kernels and what stands beside them are the time; tokens a second follow from it."""
    result = asked("--phase", phase, "--micro-batch", "2", "--format", "json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)["rows"]
    assert [row["scheme"] for row in rows] == ["sequential", "t3", "t3-mca"]
    for row in rows:
        parts = list(row)[list(row).index("optimizer_ms") + 1 :]
        spent = sum(row[name] for name in (*parts, "bubble_ms", "gradients_ms", "optimizer_ms"))
        assert spent == pytest.approx(row["total_ms"])
        tokens = 2 * (1 if phase == "generation" else 128)
        assert row["tokens_per_s_gpu"] == pytest.approx(tokens / (row["total_ms"] / 1000) / 2)
        assert row["speedup"] == pytest.approx(rows[0]["total_ms"] / row["total_ms"])


def test_a_folder_has_what_the_terminal_has(asked, tmp_path):
    """Rows as a table, the document, and the resolved system."""
    result = asked("--phase", "prompt", "--format", "csv", "--out", "found")
    assert result.code == 0, result.err
    assert (tmp_path / "found" / "results.csv").read_text(encoding="utf-8") == result.out
    document = json.loads((tmp_path / "found" / "run.json").read_text(encoding="utf-8"))
    assert document["manifest"]["systems"].keys() == {"t3-paper"}
    assert "t3sim model" in document["manifest"]["command"]
    assert (tmp_path / "found" / "system.yaml").exists()


def test_tables_are_for_people(asked):
    """Schemes with their labels, and kinds of kernels with shares."""
    result = asked("--phase", "prompt", "--scheme", "sequential,t3-mca")
    assert result.code == 0, result.err
    assert "T3-MCA" in result.out
    assert "communication" in result.out
    assert "%" in result.out


def test_a_latency_table_lists_parts_without_those_pruned(asked):
    """Two layers, one part of them gone."""
    result = asked("--phase", "prompt", "--latency-table", "--prune", "1.mlp", "--scheme", "t3", "--format", "csv")
    assert result.code == 0, result.err
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert [(row["layer"], row["part"]) for row in rows] == [("0", "attention"), ("0", "mlp"), ("1", "attention")]
    assert list(rows[0]) == ["layer", "part", "alone_us", "t3_us"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--phase", "sleep"], "unknown name, got 'sleep' (known: training, prompt, generation)"),
        (["--pp", "3"], "pp: 2 layers make no 3 stages of 1 groups, got 3"),
        (["--recompute", "all"], "--recompute: unknown name, got 'all'"),
        (["--seq", "0"], "seq: must be at least 1, got 0"),
        (["--prune", "5.mlp"], "prune: is no LAYER.PART of small: layers 0 to 1, got '5.mlp'"),
        (["--scheme", "t3,fast"], "--scheme: unknown name, got 'fast'"),
    ],
)
def test_bad_input_is_one_message(asked, arguments, message):
    """With the key and what is known, exit code 2."""
    result = asked(*arguments)
    assert result.code == 2
    assert message in " ".join(result.err.split())
