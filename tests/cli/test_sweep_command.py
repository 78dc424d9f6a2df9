"""``t3sim sweep``, ``merge``, ``table``, ``pareto`` and ``plot``, from a file to figures."""

import json

import pandas as pd
import pytest

import t3sim as package
from t3sim.config import dump_yaml
from t3sim.results import COLUMN_NAMES

TP = {"kind": "list", "key": "tp", "values": [2, 4]}
RATES = {"kind": "list", "key": "system.link.bandwidth", "values": ["50 GB/s", "100 GB/s"]}


@pytest.fixture
def spec(tmp_path, tiny_settings):
    """Give a builder of a tiny sweep's file."""

    def build(*axes):
        path = tmp_path / "tiny.yaml"
        data = {"format": "t3sim-sweep", "version": 1, "name": "tiny", "base": tiny_settings, "axes": list(axes)}
        path.write_text(dump_yaml(data), encoding="utf-8")
        return path

    return build


def test_sweep_and_resume(t3sim, spec, tmp_path):
    """The count is said before anything runs; the second run finds everything finished and writes the same bytes."""
    command = ("sweep", spec(TP, RATES), "--jobs", 1, "--out", tmp_path / "out")
    first = t3sim(*command)
    table = (tmp_path / "out" / "results.csv").read_bytes()
    second = t3sim(*command)
    assert (first.code, second.code, first.out) == (0, 0, "")
    assert "4 combinations, 4 points, 4 to run" in first.err
    assert "4 finished before, 0 to run" in second.err
    assert (tmp_path / "out" / "results.csv").read_bytes() == table
    manifest = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))
    assert (manifest["points"], manifest["unfinished"], manifest["rows"]) == (4, 0, 8)
    assert (tmp_path / "out" / "sweep.yaml").exists()


def test_failed_points_end_with_a_table_of_them(t3sim, spec, tmp_path):
    """Exit code 1, and the failures on stderr; the other points are in the table."""
    result = t3sim("sweep", spec({**TP, "values": [2, 3]}), "--jobs", 1, "--out", tmp_path / "out")
    assert result.code == 1
    assert "2 failed rows" in result.err
    assert "3 GPUs cannot share the hidden size 64" in result.err
    assert "phase" in result.err
    assert "forward" in result.err
    frame = pd.read_csv(tmp_path / "out" / "results.csv")
    assert list(frame["status"]) == ["ok", "ok", "failed", "failed"]


def test_shards_and_merge(t3sim, spec, tmp_path):
    """Two shards, merged, are the whole; one alone is not finished, and says so."""
    path = spec(TP, RATES)
    for number in (1, 2):
        assert t3sim("sweep", path, "--shard", f"{number}/2", "--jobs", 1, "--out", tmp_path / f"s{number}").code == 0
    part = t3sim("merge", path, tmp_path / "s1", "--out", tmp_path / "part")
    assert (part.code, "2 of 4 points are missing" in part.err) == (1, True)
    assert t3sim("merge", path, tmp_path / "s1", tmp_path / "s2", "--out", tmp_path / "all").code == 0
    assert len(pd.read_csv(tmp_path / "all" / "results.csv")) == 8


@pytest.mark.parametrize("shard", ["0/2", "3/2", "a", "1/"])
def test_shards_that_are_none(t3sim, spec, shard):
    """A shard that does not exist is bad input."""
    result = t3sim("sweep", spec(TP), "--shard", shard)
    assert result.code == 2
    assert "i/n" in result.err


def test_parquet_has_numbers(t3sim, spec, tmp_path):
    """The parquet table equals the CSV, with whole numbers, numbers and texts as such."""
    pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    assert t3sim("sweep", spec(TP), "--jobs", 1, "--out", tmp_path / "out", "--parquet").code == 0
    table = pd.read_parquet(tmp_path / "out" / "results.parquet")
    assert list(table.columns) == list(pd.read_csv(tmp_path / "out" / "results.csv").columns)
    assert (str(table["tp"].dtype), str(table["speedup"].dtype)) == ("Int64", "float64")
    assert list(table["tp"]) == [2, 2, 4, 4]
    shown = t3sim("table", tmp_path / "out" / "results.parquet", "--rows", "tp")
    assert shown.code == 0


@pytest.fixture
def results(t3sim, spec, tmp_path):
    """Give the results of a tiny sweep."""
    assert t3sim("sweep", spec(TP, RATES), "--jobs", 1, "--out", tmp_path / "out").code == 0
    return tmp_path / "out"


def test_tables_fronts_and_figures(t3sim, document, results, tmp_path):
    """Each command works on a folder of results."""
    pivoted = document("table", results, "--rows", "tp", "--cols", "scheme", "--where", "scheme=t3")
    assert [(cell["tp"], cell["scheme"], cell["n"]) for cell in pivoted["cells"]] == [("2", "t3", 2), ("4", "t3", 2)]
    assert "all" in t3sim("table", results, "--rows", "tp").out
    front = document("pareto", results, "--min", "system.link.bandwidth", "--max", "speedup")
    assert {row["system.link.bandwidth"] for row in front["rows"]} >= {"50 GB/s"}
    assert {(row["phase"], row["sublayer"]) for row in front["rows"]} == {("forward", "op")}
    figure = t3sim("plot", results, "--x", "system.link.bandwidth", "--by", "tp", "--out", tmp_path / "figures/a.png")
    assert figure.code == 0
    assert (tmp_path / "figures" / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--where", "scheme=t4"), "known: sequential, t3"),
        (("--where", "scheme"), "column=value"),
        (("--rows", "modell"), "did you mean model"),
        (("--agg", "total"), "known: geomean"),
    ],
)
def test_mistakes_in_a_table(t3sim, results, arguments, message):
    """Bad options exit with 2 and name what is known."""
    result = t3sim("table", results, *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_a_folder_without_results(t3sim, tmp_path):
    """There is nothing to make a table of."""
    result = t3sim("table", tmp_path)
    assert result.code == 2
    assert "holds no results.csv" in result.err


def test_python(tiny_settings):
    """``t3sim.sweep`` takes plain data and gives a table, one row per combination and scheme."""
    frame = package.sweep({"name": "tiny", "base": tiny_settings, "axes": [RATES]}, jobs=1)
    assert list(frame.columns) == [*COLUMN_NAMES, "system.link.bandwidth"]
    assert list(frame["scheme"]) == ["sequential", "t3"] * 2
    assert (frame["speedup"] > 0).all()
