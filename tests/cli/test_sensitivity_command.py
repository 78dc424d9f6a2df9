"""``t3sim sensitivity``, from an experiment's file to a table and a figure."""

import csv
import io
import json

import pytest

from t3sim.config import dump_yaml


@pytest.fixture
def spec(tmp_path, tiny_settings):
    """Give a tiny sweep over workloads, as a file."""
    path = tmp_path / "tiny.yaml"
    axes = [{"kind": "list", "key": "tp", "values": [2, 4]}]
    data = {"format": "t3sim-sweep", "version": 1, "name": "tiny", "base": tiny_settings, "axes": axes}
    path.write_text(dump_yaml(data), encoding="utf-8")
    return path


def test_the_same_table_for_any_number_of_jobs(t3sim, spec, tmp_path):
    """One process and two give the same bytes, on stdout and in the folder, and a figure beside them."""
    for jobs in (1, 2):
        result = t3sim("sensitivity", spec, "--jobs", jobs, "--format", "csv", "--out", tmp_path / str(jobs))
        assert result.code == 0, result.err
        assert result.out == (tmp_path / str(jobs) / "sensitivity.csv").read_text(encoding="utf-8")
    for name in ("sensitivity.csv", "tornado.svg"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert {row["scheme"] for row in rows if row["status"] == "ok"} == {"sequential", "t3"}
    assert {row["status"] for row in rows} == {"ok", "no effect", "not valid", "not touched"}


def test_a_trace_as_run_takes_it(t3sim, tmp_path, tiny_settings):
    """A trace with a system, sublayers, schemes and settings: three tables, and JSON with the same rows."""
    trace = tmp_path / "toy.yaml"
    assert t3sim("trace", "new", tiny_settings["model"], "--tp", 2, "--out", trace).code == 0
    changes = [f"{key.removeprefix('system.')}={json.dumps(item)}" for key, item in tiny_settings.items() if "." in key]
    changes = [change for change in changes if not change.startswith("model")]
    options = [part for change in changes for part in ("--set", change)]
    system = ("--system", tiny_settings["system"])
    command = ("sensitivity", trace, *system, "--sublayer", "op", "--scheme", "t3", "--metric", "total_us", *options)
    table = t3sim(*command)
    assert table.code == 0, table.err
    for text in ("change of total_us", "t3 -50%", "no effect on any outcome", "changes not made", "is zero"):
        assert text in table.out
    document = json.loads(t3sim(*command, "--format", "json").out)
    assert document["metric"] == "total_us"
    assert {row["parameter"] for row in document["rows"]} > {"compute.clock", "link.bandwidth", "tracker.entries"}


def test_mistakes_end_with_code_2(t3sim, spec):
    """An unknown name, an option that the sweep's base sets, a metric that is none, a bad override."""
    for arguments, message in (
        (("nonesuch",), "nonesuch"),
        ((spec, "--scheme", "t3"), "--scheme: a sweep sets this in its base"),
        ((spec, "--metric", "cus"), "--metric: is no outcome of a run"),
        (("t-nlg-tp8", "--set", "compute.cuz=1"), "compute.cuz"),
        (("t-nlg-tp8", "--gpus", "3"), "--gpus"),
        (("cu-scaling",), "an axis sets what is to be varied"),
    ):
        result = t3sim("sensitivity", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert message in result.err
