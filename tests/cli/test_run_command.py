"""``t3sim run``: what it prints, what it writes, and how it ends."""

import csv
import gzip
import io
import json

import pytest

from t3sim.errors import StallError
from t3sim.simulation import load_system
from t3sim.simulation.lab import SystemLab

# The contract with scripts that read results: one row per point and scheme, units in the names.
COLUMNS = (  # noqa: SIM905 - easier to compare with the contract than a list
    "point_id status system model phase sublayer tp num_gpus topology M N K_local dtype scheme gemm_us rs_us ag_us "
    "total_us exposed_comm_us speedup pct_of_ideal dram_gemm_read_bytes dram_gemm_write_bytes dram_rs_read_bytes "
    "dram_rs_write_bytes dram_ag_read_bytes dram_ag_write_bytes dram_total_bytes dram_reduction link_bytes dram_util "
    "link_util tracker_peak_entries wall_s version config_hash seed error_type error_message "
    "algbw_gbps busbw_gbps wire_bytes_max gpus_simulated total_us_min total_us_p50 total_us_p99 seeds data_errors "
    "data_spread dram_activates dram_precharges dram_refreshes dram_row_hits dram_row_misses dram_row_conflicts "
    "llc_hit_bytes llc_missed_bytes cu_busy_gemm_us cu_busy_collective_us wire_bytes tuned untuned_us "
    "spent_gemm_us spent_cus_taken_us spent_dram_contention_us spent_communication_us spent_reduction_us "
    "spent_launch_us"
).split()
DATA = ["data_errors", "data_spread"]
"""What data mode alone fills."""
TUNED = COLUMNS[COLUMNS.index("tuned") :]
"""What --tune alone fills, and a sweep's losses."""
COMMANDS = COLUMNS[COLUMNS.index("dram_activates") : COLUMNS.index("llc_hit_bytes")]
"""What memory without rows leaves empty."""
SCHEMES = ["sequential", "t3", "t3-mca", "ideal-overlap", "ideal-overlap-nmc"]


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def without_wall(rows):
    return [{**row, "wall_s": None} for row in rows]


def test_csv_keeps_the_column_contract(t3sim, trace):
    """The CSV on stdout has exactly the columns of the contract, in order, and one row per sublayer and scheme."""
    result = t3sim("run", trace, "--format", "csv")
    assert result.code == 0
    assert result.out.splitlines()[0] == ",".join(COLUMNS)
    assert [(row["sublayer"], row["scheme"]) for row in table(result.out)] == [
        (sublayer, scheme) for sublayer in ("op", "fc2") for scheme in SCHEMES
    ]


def test_no_column_is_empty(t3sim, trace):
    """A column that is declared is filled, in every row: errors and data mode's findings aside.

    Commands of the DRAM are counted by memory that has rows.
    """
    for row in table(t3sim("run", trace, "--system", "t3-paper-published", "--format", "csv").out):
        assert [name for name in COLUMNS if not row[name]] == ["error_type", "error_message", *DATA, *COMMANDS, *TUNED]
    for row in table(t3sim("run", trace, "--format", "csv").out):
        assert [name for name in COLUMNS if not row[name]] == ["error_type", "error_message", *DATA, *TUNED]


def test_json_is_one_document(document, trace):
    """Stdout holds one JSON document with rows, means by scheme and the manifest, and nothing else."""
    found = document("run", trace)
    assert list(found) == ["rows", "geomean", "manifest", "hardware"]
    assert [list(row) for row in found["rows"]] == [COLUMNS] * 10
    assert list(found["geomean"]) == SCHEMES
    assert found["manifest"]["systems"] == {"t3-paper": load_system().config_hash}
    product = 1.0
    for row in found["rows"]:
        product *= row["speedup"] if row["scheme"] == "t3-mca" else 1
    assert found["geomean"]["t3-mca"] == pytest.approx(product**0.5)


def test_json_has_the_counters_of_every_run(document, trace):
    """Per row: DRAM bytes and CU time by operation, and what each link carried; the columns are sums of them."""
    found = document("run", trace, "--scheme", "sequential,t3", "--gpus", "2")
    for row, hardware in zip(found["rows"], found["hardware"], strict=True):
        assert [hardware[name] for name in ("point_id", "scheme")] == [row["point_id"], row["scheme"]]
        operations = ["gemm", "reduce_scatter", "all_gather"]
        assert list(hardware["dram_bytes"]) == operations
        moved = [nbytes for each in hardware["dram_bytes"].values() for nbytes in each.values()]
        assert sum(moved) == row["dram_total_bytes"]
        busy = hardware["cu_busy_us"]
        assert list(busy) == [name for name in operations if row["scheme"] != "t3" or name != "reduce_scatter"]
        assert busy.pop("gemm") == row["cu_busy_gemm_us"]
        assert sum(busy.values()) == pytest.approx(row["cu_busy_collective_us"])
        links = hardware["links"]
        assert set(links) == {"Link[0->1]", "Link[1->0]"}
        assert sum(link["sent_bytes"] for link in links.values()) == 2 * row["wire_bytes"] > 0
        assert max(link["sent_bytes"] for link in links.values()) == row["wire_bytes_max"]


def test_the_table_is_the_default(t3sim, trace):
    """A person gets a table with every sublayer and scheme, the system, and nothing on stderr but progress."""
    result = t3sim("run", trace)
    assert result.code == 0
    for word in ("toy", "op", "fc2", *SCHEMES, "t3-paper", "speedup"):
        assert word in result.out
    assert "error" not in result.err


def test_choices_are_passed_on(document, trace):
    """Sublayers and schemes are comma-separated lists, in their order; blanks do not matter."""
    rows = document("run", trace, "--sublayer", "fc2", "--scheme", "t3-mca, sequential")["rows"]
    assert [(row["sublayer"], row["scheme"]) for row in rows] == [("fc2", "t3-mca"), ("fc2", "sequential")]


def test_a_layer_with_sequence_parallelism(t3sim, document, layer):
    """All eight sides run, each with the collective of its side alone; names and JSON say the phase."""
    rows = document("run", layer, "--scheme", "sequential,t3")["rows"]
    sides = [(row["phase"], row["sublayer"], row["rs_us"] > 0, row["ag_us"] > 0) for row in rows if row["gemm_us"] > 0]
    assert sides[::2] == sides[1::2]
    assert sides[::2] == [
        ("forward", "ip", False, True),
        ("forward", "op", True, False),
        ("forward", "fc1", False, True),
        ("forward", "fc2", True, False),
        ("backward", "fc2", False, True),
        ("backward", "fc1", True, False),
        ("backward", "op", False, True),
        ("backward", "ip", True, False),
    ]
    fused = [row for row in rows if row["scheme"] == "t3" and row["rs_us"]]
    assert [row["dram_reduction"] > 0 for row in fused] == [True] * 4
    shown = t3sim("run", layer, "--scheme", "t3", "--sublayer", "op,backward/fc2").out
    assert [name for name in ("forward/op", "backward/op", "fc2") if name not in shown] == []


def test_one_phase_of_a_sublayer(document, t3sim, layer):
    """A phase and a name are one sublayer; a name in no phase is refused with what there is."""
    (row,) = document("run", layer, "--sublayer", "backward/fc2", "--scheme", "t3")["rows"]
    assert (row["phase"], row["sublayer"], row["N"], row["K_local"]) == ("backward", "fc2", 8512, 4256)
    refused = t3sim("run", layer, "--sublayer", "backwards/fc2")
    assert refused.code == 2
    assert "did you mean backward/fc2?" in refused.err


def test_one_gpu_or_all_are_simulated(document, trace):
    """One that stands for all is the default; the TP degree simulates all GPUs: to the same times, in order."""
    options = ("--scheme", "t3", "--system", "t3-paper-published")
    mirror = document("run", trace, *options)["rows"]
    ring = document("run", trace, *options, "--gpus", "2")["rows"]
    assert {(row["topology"], row["gpus_simulated"]) for row in mirror} == {("ring", 1)}
    assert {(row["topology"], row["gpus_simulated"]) for row in ring} == {("ring", 2)}
    assert [row["total_us"] for row in ring] == [row["total_us"] for row in mirror]


def test_set_may_be_given_twice(document, trace):
    """Each override counts; the hash of the configuration is that of the changed system."""
    changes = ["link.latency=1 us", "compute.cus=40"]
    rows = document("run", trace, "--scheme", "t3", "--set", changes[0], "--set", changes[1])["rows"]
    assert {row["config_hash"] for row in rows} == {load_system(overrides=changes).config_hash}


def test_out_has_everything_to_repeat_the_run(t3sim, trace, tmp_path):
    """The folder holds the rows twice and the configuration; with it the run gives the same rows again."""
    out = tmp_path / "a" / "results"
    options = ("--set", "link.latency=1 us", "--format", "json")
    first = t3sim("run", trace, "--out", out, *options)
    assert first.code == 0
    assert sorted(path.name for path in out.iterdir()) == ["results.csv", "run.json", "system.yaml"]
    document = json.loads(first.out)
    assert json.loads((out / "run.json").read_text(encoding="utf-8")) == document
    rows = table((out / "results.csv").read_text(encoding="utf-8"))
    assert list(rows[0]) == COLUMNS
    assert [float(row["total_us"]) for row in rows] == [row["total_us"] for row in document["rows"]]
    assert load_system(out / "system.yaml").config_hash == rows[0]["config_hash"]
    again = t3sim("run", trace, "--system", out / "system.yaml", "--format", "json")
    assert without_wall(json.loads(again.out)["rows"]) == without_wall(document["rows"])


def test_out_replaces_what_was_there(t3sim, trace, tmp_path):
    """A second run into the same folder replaces its files; files of others stay."""
    (tmp_path / "note.txt").write_text("mine", encoding="utf-8")
    for scheme in ("t3", "sequential"):
        assert t3sim("run", trace, "--scheme", scheme, "--out", tmp_path).code == 0
    rows = table((tmp_path / "results.csv").read_text(encoding="utf-8"))
    assert {row["scheme"] for row in rows} == {"sequential"}
    assert (tmp_path / "note.txt").read_text(encoding="utf-8") == "mine"


def test_the_same_run_twice_is_equal(document, trace):
    """Two runs give the same rows, the real time aside."""
    first, second = document("run", trace), document("run", trace)
    assert without_wall(first["rows"]) == without_wall(second["rows"])
    assert first["geomean"] == second["geomean"]


@pytest.mark.parametrize("name", ["new/timeline.json.gz", "timeline.json"])
def test_a_timeline_is_written(t3sim, trace, tmp_path, name):
    """The timeline holds one process a machine of the schemes asked for, named by what ran; results stay the same."""
    path = tmp_path / name
    options = ("run", trace, "--sublayer", "op", "--scheme", "t3,t3-mca", "--gpus", "2", "--format", "json")
    watched = t3sim(*options, "--timeline", path)
    assert watched.code == 0, watched.err
    assert f"wrote {path}" in watched.err
    text = gzip.decompress(path.read_bytes()) if name.endswith(".gz") else path.read_bytes()
    events = json.loads(text)["traceEvents"]
    names = [event["args"]["name"] for event in events if event["name"] == "process_name"]
    operations = "gemm, reduce_scatter, all_gather"
    schemes = ("t3", "t3", "t3-mca", "t3-mca")
    assert names == [f"toy tp2 op {name}, Gpu[{at % 2}]: {operations}" for at, name in enumerate(schemes)]
    assert without_wall(json.loads(watched.out)["rows"]) == without_wall(json.loads(t3sim(*options).out)["rows"])


def test_a_timeline_shows_as_much_as_asked_for(t3sim, trace, tmp_path):
    """More detail, more events; and a level that does not exist is refused."""
    sizes = []
    for detail in ("stage", "tile", "packet"):
        path = tmp_path / f"{detail}.json"
        assert t3sim("run", trace, "--timeline", path, "--timeline-detail", detail).code == 0
        sizes.append(len(json.loads(path.read_bytes())["traceEvents"]))
    assert sizes == sorted(set(sizes))
    assert t3sim("run", trace, "--timeline", tmp_path / "x.json", "--timeline-detail", "atom").code == 2


def test_a_timeline_that_cannot_be_written_is_refused(t3sim, trace, tmp_path):
    """A folder that is a file is bad input, named before anything runs."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    result = t3sim("run", trace, "--timeline", tmp_path / "file" / "x.json")
    assert result.code == 2
    assert "--timeline" in result.err


@pytest.fixture
def stalling(monkeypatch):
    """Make every machine of the scheme t3 stall."""
    run = SystemLab.run

    def stall(self, phases, scheme):
        if scheme == "t3":
            raise StallError("nothing can happen any more\n  Gpu[0].Tracker: 1 update waits")
        return run(self, phases, scheme)

    monkeypatch.setattr(SystemLab, "run", stall)


@pytest.mark.usefixtures("stalling")
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_a_failed_run_ends_with_one(t3sim, trace, form, tmp_path):
    """When a scheme fails, the others are printed and written all the same, the failure is named, the code is 1."""
    result = t3sim("run", trace, "--format", form, "--out", tmp_path / "out")
    assert result.code == 1
    assert "Traceback" not in result.err
    for word in ("toy", "fc2", "t3", "StallError", "Gpu[0].Tracker: 1 update waits"):
        assert word in result.err
    rows = table((tmp_path / "out" / "results.csv").read_text(encoding="utf-8"))
    assert [row["status"] for row in rows if row["scheme"] == "t3"] == ["failed", "failed"]
    assert {row["status"] for row in rows if row["scheme"] != "t3"} == {"ok"}
    if form == "json":
        assert "t3" not in json.loads(result.out)["geomean"]


def test_tuned_rivals_say_what_they_took(t3sim, document, trace):
    """Columns and table hold the settings that were best, and the time without; nobody else has any."""
    options = ("run", trace, "--sublayer", "op", "--scheme", "sequential,stream-overlap", "--tune")
    plain, tuned = document(*options)["rows"]
    assert (plain["tuned"], plain["untuned_us"]) == (None, None)
    assert tuned["tuned"].startswith("overlap_pieces=")
    assert tuned["total_us"] <= tuned["untuned_us"]
    shown = t3sim(*options).out
    assert "untuned us" in shown
    assert "untuned us" not in t3sim(*options[:-1]).out
