"""``t3sim explain``: where the time went, what would help, and what columns mean."""

import csv
import io

import pytest

from t3sim.experiments.what_if import KNOBS
from t3sim.results import COLUMNS
from t3sim.results.losses import BUCKETS

NAMES = [f"{bucket.name}_fs" for bucket in BUCKETS]


def test_buckets_of_every_scheme_add_up(document, trace):
    """One row a sublayer and scheme; its buckets add up to its time, which is the one that ``run`` gives."""
    rows = document("explain", trace, "--no-what-if")["rows"]
    results = document("run", trace)["rows"]
    assert [(row["sublayer"], row["scheme"]) for row in rows] == [(row["sublayer"], row["scheme"]) for row in results]
    for row, result in zip(rows, results, strict=True):
        assert row["total_fs"] == sum(row[name] for name in NAMES)
        assert (
            row["total_fs"]
            == sum(length for name, length in row.items() if name.startswith("bound_by_")) + row["hidden_fs"]
        )
        assert row["total_fs"] / 1e9 == pytest.approx(result["total_us"], rel=1e-12)
        assert row["point_id"] == result["point_id"]
        assert row["what_if"] == []


def test_what_helps_most_is_measured(document, trace):
    """What a changed parameter is said to bring is what a run with it takes; the first line brings most."""
    options = ("--sublayer", "op", "--scheme", "t3", "--set", "link.latency=1 us")
    (row,) = document("explain", trace, *options)["rows"]
    found = row["what_if"]
    assert {each["assignment"].split("=")[0] for each in found} == {knob.key for knob in KNOBS} - {
        "compute.launch_overhead",  # it is zero already
        "memory.bandwidth",  # of the in-order memory
        "memory.turnaround",
        "memory.queue_entries",
        "memory.memory.channels",  # of the fluid memory
    }
    assert [each["saved"] for each in found] == sorted((each["saved"] for each in found), reverse=True)
    assert (row["helps_most"], row["helps_most_saves"]) == (found[0]["assignment"], found[0]["saved"])
    for each in found[:2]:
        (again,) = document("run", trace, *options, "--set", each["assignment"])["rows"]
        assert again["total_us"] == pytest.approx(each["total_fs"] / 1e9, rel=1e-12)
        assert each["saved"] == pytest.approx(1 - each["total_fs"] / row["total_fs"])
    latency = next(each for each in found if each["assignment"].startswith("link.latency"))
    assert (latency["before"], latency["assignment"]) == ("1 us", "link.latency=500 ns")


def test_memories_have_knobs_of_their_own(document, trace):
    """Channels are relaxed where they are: of the banked memory, also inside the fluid one that follows it."""
    for system, key in (("t3-paper", "memory.channels=64"), ("t3-paper-fluid", "memory.memory.channels=64")):
        (row,) = document("explain", trace, "--sublayer", "op", "--scheme", "t3", "--system", system)["rows"]
        assert key in [each["assignment"] for each in row["what_if"]]


def test_a_change_that_the_system_forbids_is_left_out(document, trace):
    """A link twice as fast needs a larger receive buffer: where that forbids it, the other changes still count."""
    options = ("--sublayer", "op", "--scheme", "t3", "--set", "link.receive_buffer=100 kB")
    (row,) = document("explain", trace, *options)["rows"]
    assert not [each for each in row["what_if"] if each["assignment"].startswith("link.bandwidth")]
    assert [each for each in row["what_if"] if each["assignment"].startswith("link.latency")]


def test_the_table_names_buckets_bound_and_help(t3sim, trace):
    """A person sees the buckets that are not empty, the total, what binds each scheme, and what would help."""
    result = t3sim("explain", trace, "--sublayer", "op", "--scheme", "sequential,t3")
    assert result.code == 0
    for word in ("gemm_compute", "ag_link", "total", "bound by DRAM", "what would help", "link.bandwidth=300 GB/s"):
        assert word in result.out
    assert "gemm_cus_taken" not in result.out


def test_titles_say_the_phase_of_a_name_with_two(t3sim, layer):
    """Of both phases of `op` there are tables of their own, by phase and name."""
    shown = t3sim("explain", layer, "--sublayer", "op", "--scheme", "t3", "--no-what-if").out
    for phase in ("forward", "backward"):
        assert f"t-nlg tp2 {phase}/op on t3-paper" in shown
        assert f"t-nlg tp2 {phase}/op: what the hardware" in shown


def test_what_the_hardware_did_is_shown_by_scheme(t3sim, document, trace):
    """A person sees counters that are not 0 and the busiest link; scripts get those of `run`, with all tables."""
    options = ("--sublayer", "op", "--scheme", "sequential,t3", "--system", "t3-paper-published")
    (first, second) = document("explain", trace, *options, "--no-what-if")["rows"]
    ran = document("run", trace, *options)
    for row, result, hardware in zip((first, second), ran["rows"], ran["hardware"], strict=True):
        assert row["llc_hit_bytes"] == result["llc_hit_bytes"]
        assert row["hardware"].items() <= hardware.items()
        assert "dram_activates" not in row
    shown = t3sim("explain", trace, *options, "--no-what-if").out
    assert f"{first['llc_missed_bytes']:,}" in shown
    assert "Link[0->1]" in shown
    assert "dram_activates" not in shown
    assert "dram_activates" in t3sim("explain", trace, *options[:-2], "--no-what-if").out


def test_csv_has_a_line_a_scheme(t3sim, trace):
    """CSV holds the same rows, without the list of changes and the tables of counters."""
    result = t3sim("explain", trace, "--sublayer", "op", "--no-what-if", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert len(rows) == 5
    assert not {"what_if", "hardware"} & set(rows[0])
    assert all(float(row["cu_busy_gemm_us"]) > 0 for row in rows)
    assert all(int(row["total_fs"]) == sum(int(row[name]) for name in NAMES) for row in rows)


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_every_column_is_explained(t3sim, column):
    """Each column of the results has a meaning, a unit if it is a number, and a formula if it is computed."""
    result = t3sim("explain", "--metric", column.name)
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0] == f"{column.name}: {column.meaning}"
    unit = {
        "_us": "us",
        "_us_min": "us",
        "_us_p50": "us",
        "_us_p99": "us",
        "bytes": "B",
        "bytes_max": "B",
        "_gbps": "GB/s",
        "_s": "s",
        "ideal": "%",
    }
    if column.kind is str:
        assert lines[1] == "type: str"
    else:
        expected = [value for suffix, value in unit.items() if column.name.endswith(suffix)] or ["1"]
        assert lines[1] == f"unit: {expected[0]}"
    given = column.kind is str or column.name in {"tp", "num_gpus", "M", "N", "K_local", "seed", "seeds", "wall_s"}
    assert (len(lines) == 3) is not given


def test_buckets_are_explained_by_the_same_command(t3sim):
    """A loss bucket is looked up by its column name; several names give several answers."""
    result = t3sim("explain", "--metric", "gemm_dram_contention_fs,total_us")
    assert "run: operand_wait - alone: operand_wait" in result.out
    assert "total_us:" in result.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--metric", "total_ms"), ("--metric", "'total_ms'", "did you mean total_us?")),
        ((), ("TRACE", "--metric")),
        (("t-nlg-tp8", "--scheme", "t4"), ("--scheme", "'t4'", "t3-mca")),
    ],
)
def test_what_cannot_be_explained_is_refused(t3sim, arguments, parts):
    """A name that does not exist, or nothing to explain, is one line and code 2."""
    result = t3sim("explain", *arguments)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert not [part for part in parts if part not in result.err], result.err
