"""``t3sim reproduce``, ``trace``, ``schema``, ``doctor``, and the program itself."""

import csv
import io
import json
import subprocess
import sys

import pytest

import t3sim as package
from t3sim.data import models_dir, traces_dir
from t3sim.results import COLUMN_NAMES
from t3sim.simulation import load_system
from t3sim.studies import load_published
from t3sim.workload import load_trace

TARGETS = load_published().spec.targets


@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize(("choice", "traces"), [("base", 4), ("large", 2), ("all", 6)])
def test_reproduce_as_json(document, choice, traces):
    """One document: each published figure of the set beside the simulated one, and the rows it is made from."""
    found = document("reproduce", "--set", choice)
    assert list(found)[:2] == ["targets", "rows"]
    wanted = [target for target in TARGETS if choice in (target.set, "all")]
    assert [target["id"] for target in found["targets"]] == [target.id for target in wanted]
    for target in found["targets"]:
        assert {"id", "published", "simulated", "error", "use"} <= set(target)
        if target["status"] == "ok":
            assert target["error"] == pytest.approx(target["simulated"] - target["published"])
    assert len(found["rows"]) == traces * 4 * 5


@pytest.mark.usefixtures("small_data")
def test_reproduce_writes_a_folder(t3sim, tmp_path):
    """The folder holds the rows, the document and the configuration, which loads again to the same hash."""
    out = tmp_path / "out"
    result = t3sim("reproduce", "--set", "large", "--format", "csv", "--out", out)
    assert result.code == 0
    assert sorted(path.name for path in out.iterdir()) == ["results.csv", "run.json", "system.yaml"]
    assert (out / "results.csv").read_text(encoding="utf-8") == result.out
    (header, *rows) = csv.reader(io.StringIO(result.out))
    assert tuple(header) == COLUMN_NAMES
    assert {row[header.index("config_hash")] for row in rows} == {load_system(out / "system.yaml").config_hash}
    assert json.loads((out / "run.json").read_text(encoding="utf-8"))["targets"]


@pytest.mark.usefixtures("small_data")
def test_reproduce_as_tables(t3sim):
    """A person sees every figure by name and the published value; all of them are simulated."""
    result = t3sim("reproduce", "--set", "base")
    assert result.code == 0
    for target in TARGETS:
        if target.set == "base":
            assert target.id in result.out
    assert "not modelled" not in result.out
    assert "t-nlg" in result.out


@pytest.mark.parametrize("name", ["t-nlg-tp8", "palm-tp32", "t-nlg-tp8-sequence-parallel"])
def test_trace_new_makes_the_shipped_traces(t3sim, name):
    """The command in a shipped trace's first line gives that trace, byte for byte."""
    text = (traces_dir() / f"{name}.yaml").read_text(encoding="utf-8")
    command = text.splitlines()[0].removeprefix("# Made by: t3sim ")
    assert t3sim(*command.split()).out == text


def test_trace_new_writes_a_file(t3sim, tmp_path):
    """With --out the trace is in the file and not on stdout, folders are made, and the options are in it."""
    out = tmp_path / "new" / "mine.yaml"
    result = t3sim("trace", "new", "t-nlg", "--tp", "4", "--tokens", "256", "--dtype", "bf16", "--out", out)
    assert (result.code, result.out) == (0, "")
    assert str(out) in result.err
    made = load_trace(out, folder=traces_dir()).spec
    gemm = made.operations[0]
    assert (made.tp, gemm.M, gemm.N, gemm.K_local, gemm.dtype) == (4, 256, 4256, 4256 // 4, "bf16")
    assert "--tp 4 --tokens 256 --dtype bf16" in out.read_text(encoding="utf-8").splitlines()[0]


def test_trace_show_lists_every_operation(t3sim, trace):
    """Each operation has a line with its shape or its bytes, its phase and what it waits for."""
    result = t3sim("trace", "show", trace)
    assert result.code == 0
    for word in ("op.gemm", "op.rs", "op.ag", "fc2.gemm", "fc2.ar", "reduce_scatter", "forward", "256", "toy"):
        assert word in result.out


@pytest.mark.parametrize("kind", ["system", "dram", "model", "trace", "published", "sweep"])
def test_schema_is_one_json_document(t3sim, kind):
    """The schema of each format is JSON that editors understand."""
    result = t3sim("schema", kind)
    assert result.code == 0
    schema = json.loads(result.out)
    assert schema["type"] == "object"
    assert schema["properties"]
    assert schema["additionalProperties"] is False


def test_schema_knows_every_key_of_the_shipped_files(t3sim):
    """What the shipped files set at the top is in the schema of their format."""
    model = json.loads(t3sim("schema", "model").out)
    keys = {line.partition(":")[0] for line in (models_dir() / "t-nlg.yaml").read_text().splitlines() if line[0] != "#"}
    assert keys - {"format", "version"} <= set(model["properties"])


def test_doctor_finds_nothing_wrong(t3sim):
    """In a working installation every check of the doctor is ok."""
    result = t3sim("doctor")
    assert result.code == 0
    assert "FAIL" not in result.out
    assert package.__version__ in result.out


def test_doctor_names_what_is_wrong(t3sim, tmp_path, monkeypatch):
    """With a broken installation the doctor names the part that is broken, does the other checks, and ends with 1."""
    monkeypatch.setattr("t3sim.data._PACKAGE", tmp_path / "t3sim")
    result = t3sim("doctor")
    assert result.code == 1
    assert "FAIL" in result.out
    assert "without its configs" in result.out
    assert package.__version__ in result.out


def test_version(t3sim):
    """The version is printed, and nothing is run."""
    result = t3sim("--version")
    assert (result.code, result.out) == (0, f"t3sim {package.__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["reproduce", "--help"], ["trace", "--help"]])
def test_help(t3sim, arguments):
    """Each command explains itself on stdout and ends with 0."""
    result = t3sim(*arguments)
    assert result.code == 0
    assert "Usage: " in result.out


def test_the_program_itself(trace):
    """As a program of its own, results are on stdout as UTF-8 text and the exit code is the command's."""
    command = [sys.executable, "-m", "t3sim", "run", str(trace), "--scheme", "t3", "--format"]
    good = subprocess.run([*command, "json"], capture_output=True, check=False, text=True, encoding="utf-8")
    assert good.returncode == 0, good.stderr
    assert [row["scheme"] for row in json.loads(good.stdout)["rows"]] == ["t3", "t3"]
    bad = subprocess.run([*command, "json", "--gpus", "9"], capture_output=True, check=False, text=True)
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.startswith("error: --gpus")


def test_brackets_in_names_are_shown_as_they_are(t3sim, trace):
    """A system's name with what looks like terminal markup is printed, not interpreted."""
    result = t3sim("run", trace, "--sublayer", "op", "--scheme", "t3", "--set", "name='[/red]x'")
    assert result.code == 0, result.err
    assert "[/red]x" in result.out


def test_schemes_with_nothing_to_overlap_say_so(t3sim, trace):
    """Where no collective can be fused with a GEMM, a note on stderr says why all schemes are alike."""
    trace.write_text(trace.read_text(encoding="utf-8").replace("after: [op.gemm]", "after: []"), encoding="utf-8")
    result = t3sim("run", trace, "--sublayer", "op", "--scheme", "sequential,t3", "--format", "csv")
    assert result.code == 0
    assert "note: toy tp2 op: nothing to overlap" in result.err
    assert "note" not in result.out
