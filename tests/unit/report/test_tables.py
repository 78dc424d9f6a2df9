"""Tables for a terminal, from rows with round numbers."""

import pytest

from t3sim.report.tables import result_table, sublayer_table, summary_table, target_table
from t3sim.results import RunResult, complete
from t3sim.results.published import EvaluatedTarget

MIB = 2**20
MANIFEST = {"t3sim": "1.2.3", "systems": {"toy-system": "abc123"}}


def row(sublayer, scheme, speedup, saved, **others):
    values = {
        "status": "ok",
        "model": "toy",
        "tp": 8,
        "phase": "forward",
        "sublayer": sublayer,
        "scheme": scheme,
        "gemm_us": 10.0,
        "rs_us": 20.0,
        "ag_us": 30.0,
        "total_us": 60.0 / speedup,
        "speedup": speedup,
        "pct_of_ideal": 50.0,
        "dram_total_bytes": 100 * MIB,
        "dram_reduction": saved,
    }
    return complete({**values, **others})


def failed(sublayer, scheme):
    return complete(
        {
            "status": "failed",
            "model": "toy",
            "tp": 8,
            "phase": "forward",
            "sublayer": sublayer,
            "scheme": scheme,
            "error_type": "StallError",
            "error_message": "stalled",
        }
    )


RESULT = RunResult(
    (
        row("op", "sequential", 1.0, 0.0, pct_of_ideal=0.0),
        row("op", "t3", 1.25, 0.1),
        row("op", "ideal-overlap", 1.5, 0.0),
        row("fc2", "sequential", 1.0, 0.0, pct_of_ideal=None),
        failed("fc2", "t3"),
        row("fc2", "ideal-overlap", 1.5, 0.0),
        row("ip", "sequential", 1.0, 0.0),
        row("ip", "t3", 5.0, 0.4),
        row("ip", "ideal-overlap", 1.5, 0.0),
    ),
    MANIFEST,
)


def cells(table):
    """Give the columns of a table as lists of text, by heading; equal headings in one list."""
    found = {}
    for column in table.columns:
        found.setdefault(str(column.header), []).extend(map(str, column.cells))
    return found


@pytest.mark.parametrize("make", [result_table, sublayer_table])
def test_tables_say_what_made_them(make):
    """The title names the system, its hash and the version."""
    for word in ("toy-system", "abc123", "1.2.3"):
        assert word in str(make(RESULT).title)


def test_every_row_of_a_result_is_a_line():
    """Times, speedup, share of the ideal and traffic are in columns whose headings carry the unit."""
    found = cells(result_table(RESULT))
    assert found["scheme"] == ["sequential", "t3", "ideal-overlap"] * 3
    assert found["sublayer"] == ["op", "", "", "fc2", "", "", "ip", "", ""]
    assert found["total us"][:3] == ["60.0", "48.0", "40.0"]
    assert found["speedup"][:3] == ["1.000", "1.250", "1.500"]
    assert found["DRAM MiB"][0] == "100.0"
    assert found["DRAM saved"][:2] == ["0.0%", "10.0%"]
    assert found["% of ideal"][:4] == ["0", "50", "50", ""]


@pytest.mark.parametrize("make", [result_table, sublayer_table])
def test_two_phases_of_a_name_are_told_apart(make):
    """Where rows have both phases of a name it shows which one each is of; other names stay short."""
    places = (("forward", "fc2"), ("forward", "op"), ("backward", "fc2"))
    rows = tuple(row(name, "sequential", 1.0, 0.0, phase=phase) for phase, name in places)
    assert cells(make(RunResult(rows, MANIFEST)))["sublayer"] == ["forward/fc2", "op", "backward/fc2"]


def test_a_failed_row_shows_its_error():
    """Where a run failed there is the kind of the error, and no number."""
    table = result_table(RESULT)
    line = [str(list(column.cells)[4]) for column in table.columns]
    assert "t3" in line
    assert any("StallError" in cell for cell in line)
    assert not any(cell.replace(".", "").isdigit() for cell in line)


def test_a_sublayer_is_one_line_of_all_schemes():
    """The baseline's time stands beside the speedup of each scheme; a failed one is blank."""
    found = cells(sublayer_table(RESULT))
    assert found["sublayer"] == ["op", "fc2", "ip"]
    assert found["sequential us"] == ["60.0"] * 3
    assert found["t3"] == ["1.250", "", "5.000"]
    assert found["ideal-overlap"] == ["1.500"] * 3
    assert found["saved, t3"] == ["10.0%", "", "40.0%"]
    assert "saved, ideal-overlap" not in found


def test_a_scheme_is_one_line_of_the_summary():
    """The summary gives number, geometric mean, smallest and largest over the rows that are ok."""
    table = summary_table(RESULT)
    found = cells(table)
    assert found["scheme"] == ["sequential", "t3", "ideal-overlap"]
    assert found["n"] == ["3", "2", "3"]
    assert found["geomean"] == ["1.000", "2.500", "1.500"]
    assert found["min"] == ["1.000", "1.250", "1.500"]
    assert found["max"][:3] == ["1.000", "5.000", "1.500"]
    assert found["DRAM saved, geomean"] == ["", "20.0%", ""]
    assert "1 failed" in str(table.caption)


def test_the_summary_shows_published_values_beside_simulated_ones():
    """A reported speedup stands next to the simulated one, and is blank where none was reported."""
    found = cells(summary_table(RESULT, published={("t3", "geomean"): 1.2, ("t3", "max"): 1.39}))
    assert found["published"] == ["", "1.20", "", "", "1.39", ""]


def test_a_published_figure_is_one_line():
    """Published, simulated and signed error stand side by side; what has no value says why."""
    known = {"set": "base", "use": "predict"}
    targets = [
        EvaluatedTarget(id="a", published=1.2, simulated=1.25, error=0.05, status="ok", **known),
        EvaluatedTarget(id="b", published=1.2, simulated=1.1, error=-0.1, status="ok", **known),
        EvaluatedTarget(id="c", published=1.2, simulated=None, error=None, status="not modelled", **known),
    ]
    found = cells(target_table(targets))
    assert found["figure"] == ["a", "b", "c"]
    assert found["published"] == ["1.20"] * 3
    assert found["simulated"] == ["1.250", "1.100", "not modelled"]
    assert found["error"] == ["+0.050", "-0.100", ""]


def test_nothing_simulated_is_an_empty_table():
    """A result without rows gives tables without lines, not an error."""
    empty = RunResult((), MANIFEST)
    assert [make(empty).row_count for make in (result_table, sublayer_table, summary_table)] == [0, 0, 0]
