"""Results as plain data."""

import pytest

from t3sim.results import COLUMN_NAMES, COLUMNS, RunResult, complete, geomean, merged


def row(scheme, speedup, status="ok"):
    return complete({"scheme": scheme, "speedup": speedup, "status": status})


COMMANDS = {
    f"dram_{name}" for name in ("activates", "precharges", "refreshes", "row_hits", "row_misses", "row_conflicts")
}
RESULT = RunResult(
    (row("sequential", 1.0), row("t3", 2.0), row("t3", 8.0), row("t3", None, "failed"), row("gone", None, "failed")),
    {"t3sim": "1"},
)


def test_geomean_is_the_root_of_the_product():
    """The geometric mean of 2 and 8 is 4, and of one value the value."""
    assert geomean([2, 8]) == pytest.approx(4)
    assert geomean(iter([3.0])) == pytest.approx(3)


def test_geomean_does_not_overflow():
    """Many large and small values have a mean, although their product is not a number."""
    assert geomean([1e300, 1e300, 1e-300, 1e-300]) == pytest.approx(1)


@pytest.mark.parametrize("values", [[], [1.0, 0.0], [1.0, -2.0]])
def test_geomean_of_nothing_or_of_what_is_not_positive(values):
    """There is no geometric mean without values, or with one that is not positive."""
    with pytest.raises(ValueError, match="no geometric mean"):
        geomean(values)


def test_columns_are_named_once_and_explained():
    """Each column has its own name, a type, and a meaning in words."""
    assert len(set(COLUMN_NAMES)) == len(COLUMN_NAMES) == len(COLUMNS)
    assert all(column.meaning.strip() for column in COLUMNS)
    assert {column.kind for column in COLUMNS} <= {str, int, float}


def test_columns_with_a_quantity_name_its_unit():
    """A time ends in _us or _s, a rate in _gbps, traffic in _bytes; other floats are ratios, other integers counts."""
    times = ("_us", "_us_min", "_us_p50", "_us_p99", "_s")
    for column in COLUMNS:
        if column.kind is float:
            ratios = ("speedup", "pct_of_ideal", "dram_reduction", "dram_util", "link_util", "data_spread")
            assert column.name.endswith((*times, "_gbps")) or column.name in ratios
        if column.name.startswith("dram_") and column.kind is int:
            assert column.name.endswith("_bytes") or column.name in COMMANDS


def test_a_row_is_complete():
    """A row has every column in the order of the table; what is not given is none."""
    made = complete({"scheme": "t3", "point_id": "x"})
    assert tuple(made) == COLUMN_NAMES
    assert made["scheme"] == "t3"
    assert made["gemm_us"] is None


def test_a_value_without_a_column_is_refused():
    """No value gets lost for want of a column."""
    with pytest.raises(KeyError, match=r"no column for.*'gemm_ms'"):
        complete({"gemm_ms": 1})


def test_failed_rows_are_left_out_of_means():
    """A scheme's mean is over its rows that are ok; a scheme without any has none."""
    assert RESULT.geomean() == {"sequential": 1.0, "t3": pytest.approx(4)}
    assert [item["status"] for item in RESULT.failed] == ["failed", "failed"]
    assert [item["speedup"] for item in RESULT.of("t3")] == [2.0, 8.0]


def test_a_result_is_a_table():
    """The table has one line per row and the declared columns in their order."""
    frame = RESULT.frame()
    assert tuple(frame.columns) == COLUMN_NAMES
    assert list(frame["scheme"]) == ["sequential", "t3", "t3", "t3", "gone"]


def test_the_document_has_rows_means_and_manifest():
    """What is printed as JSON are the rows, the means by scheme, and what made them."""
    document = RESULT.document()
    assert list(document) == ["rows", "geomean", "manifest"]
    assert document["rows"] == list(RESULT.rows)
    assert document["manifest"] == {"t3sim": "1"}


def test_results_are_merged_in_order():
    """Merging keeps all rows, in the order of the results."""
    first = RunResult(RESULT.rows, {"t3sim": "1", "notes": ["a"]})
    other = RunResult((row("t3-mca", 3.0),), {"t3sim": "1", "notes": ["b"]}, ({"scheme": "t3-mca"},))
    assert merged([first, other]).rows == (*RESULT.rows, *other.rows)
    assert merged([first, other]).manifest == {"t3sim": "1", "notes": ["a", "b"]}
