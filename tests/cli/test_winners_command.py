"""``t3sim winners``: the table, the documents and the map of a real run."""

import csv
import io
import json

import pytest

WHY = ["why", "why_us", "why_share"]
"""What only a sweep that splits times fills."""


@pytest.fixture
def results(t3sim, tmp_path):
    """Give a folder of results with software and T3 on two sublayers."""
    done = t3sim("run", "mega-gpt-2-tp8", "--sublayer", "op,ip", "--scheme", "sequential,t3", "--out", tmp_path / "run")
    assert done.code == 0
    return tmp_path / "run"


def test_gains_are_those_of_the_results(results, t3sim):
    """The gain over the only software, the baseline, is the speedup that the run has."""
    done = t3sim("winners", results, "--rows", "M", "--cols", "tp", "--format", "json")
    with (results / "results.csv").open() as file:
        speedups = {row["sublayer"]: float(row["speedup"]) for row in csv.DictReader(file) if row["scheme"] == "t3"}
    found = json.loads(done.out)["rows"]
    assert {row["sublayer"]: row["gain"] for row in found} == pytest.approx(speedups)
    assert {(row["software"], row["hardware"], row["fastest"], row["points"]) for row in found} == {
        ("sequential", "t3", "t3", 1)
    }
    lines = list(csv.reader(io.StringIO(t3sim("winners", results, "--format", "csv").out)))
    assert lines[0] == ["sublayer", "M", "tp", "software", "hardware", "gain", "fastest", "points", *WHY]
    assert [line[-3:] for line in lines[1:]] == [[""] * 3] * 2


def test_the_map_is_written(results, t3sim, tmp_path):
    """With a message on stderr; another kind of file is refused."""
    done = t3sim("winners", results, "--out", tmp_path / "maps" / "map.svg")
    assert (tmp_path / "maps" / "map.svg").read_text().startswith("<?xml")
    assert f"wrote {tmp_path / 'maps' / 'map.svg'}" in done.err
    refused = t3sim("winners", results, "--out", tmp_path / "map.doc")
    assert refused.code == 2
    assert "unknown kind of figure" in refused.err


def test_a_column_that_does_not_exist_is_refused(results, t3sim):
    """The message names it."""
    refused = t3sim("winners", results, "--rows", "pieces")
    assert refused.code == 2
    assert "pieces" in refused.err


def test_a_sweep_with_losses_says_why(t3sim, tmp_path):
    """Sequential shows all of its reduce-scatter, of which T3 hides what fits under the GEMM."""
    sweep = tmp_path / "why.yaml"
    sweep.write_text(
        "format: t3sim-sweep\nversion: 1\nname: why\n"
        "base: {model: mega-gpt-2, tp: 8, sublayer: op, tokens: 1024, scheme: [sequential, t3], "
        "losses: [sequential, t3]}\n"
    )
    assert t3sim("sweep", sweep, "--jobs", "1", "--out", tmp_path / "why").code == 0
    (found,) = json.loads(t3sim("winners", tmp_path / "why", "--format", "json").out)["rows"]
    assert found["why"] == "exposed communication"
    with (tmp_path / "why" / "results.csv").open() as file:
        times = {row["scheme"]: float(row["total_us"]) for row in csv.DictReader(file)}
    assert found["why_us"] == pytest.approx(found["why_share"] * (times["sequential"] - times["t3"]))
    assert "exposed communication" in t3sim("winners", tmp_path / "why").out
