"""Results as CSV and JSON."""

import csv
import io
import json

import pytest

from t3sim.report.text import rows_csv, to_json
from t3sim.results import COLUMN_NAMES, complete

ROW = complete({"scheme": "t3, plain", "gemm_us": 0.1, "M": 8192, "error_message": 'two\n"lines"'})


def test_csv_reads_back():
    """Every value survives as text, whatever it holds; none is an empty field."""
    (read,) = csv.DictReader(io.StringIO(rows_csv([ROW])))
    assert tuple(read) == COLUMN_NAMES
    assert (read["scheme"], read["gemm_us"], read["M"]) == ("t3, plain", "0.1", "8192")
    assert read["error_message"] == 'two\n"lines"'
    assert read["total_us"] == ""


def test_csv_without_rows_is_a_header():
    """A table of nothing still says what its columns are, and lines end in one way on every system."""
    assert rows_csv([]) == ",".join(COLUMN_NAMES) + "\n"


def test_csv_of_some_columns():
    """Only the columns that are asked for are written, in that order."""
    assert rows_csv([ROW], ["M", "scheme"]) == 'M,scheme\n8192,"t3, plain"\n'


def test_json_reads_back():
    """The text is one document that ends in a line break, its keys in the order of the data."""
    text = to_json({"b": [ROW], "a": 1})
    assert json.loads(text) == {"b": [ROW], "a": 1}
    assert list(json.loads(text)) == ["b", "a"]
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_number_that_json_has_not(value):
    """A result that is not a number is an error here, not in the program that reads the file."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"speedup": value})
