"""``--data``: what it prints, and how it ends when memory is wrong."""

import csv
import io

import pytest

from t3sim.execution.data import DataMode
from t3sim.hardware.memory.values import OperationValues
from t3sim.simulation import simulate


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture
def broken(monkeypatch):
    """Let every read of a collective's own buffer at GPU 1 find nothing of part 0."""
    read = OperationValues.read

    def without_part_0(self, part, pieces, slot=None):
        numbers = read(self, part, pieces, slot)
        if self.values.rank == 1 and part == 0:
            numbers.exact[:] = 0
        return numbers

    monkeypatch.setattr(OperationValues, "read", without_part_0)


def test_run_counts_no_wrong_elements(t3sim, trace):
    """Each row has 0 wrong elements; the note says that all GPUs were simulated; without --data there is no number."""
    with_data = t3sim("run", trace, "--data", "--format", "csv")
    assert with_data.code == 0
    assert {row["data_errors"] for row in table(with_data.out)} == {"0"}
    assert {row["data_spread"] for row in table(with_data.out)} == {""}
    assert "all 2 GPUs are simulated" in with_data.err
    without = t3sim("run", trace, "--gpus", "2", "--format", "csv")
    assert {row["data_errors"] for row in table(without.out)} == {""}
    times = [[row["total_us"] for row in table(result.out)] for result in (with_data, without)]
    assert times[0] == times[1]


def test_the_table_shows_wrong_elements_only_with_data(t3sim, trace):
    """The column is there when it has something to say."""
    assert "#wrong" in t3sim("run", trace, "--data").out
    assert "#wrong" not in t3sim("run", trace).out


def test_rounding_is_asked_for_by_type(t3sim, trace):
    """A floating-point type implies data, and gives the spread; the exact sums stay."""
    rows = table(t3sim("run", trace, "--data-dtype", "bf16", "--format", "csv").out)
    assert {row["data_errors"] for row in rows} == {"0"}
    assert all(0 < float(row["data_spread"]) <= 2**-8 for row in rows)


def test_an_unknown_type_is_bad_input(t3sim, trace):
    """The known ones are listed."""
    result = t3sim("run", trace, "--data-dtype", "fp8")
    assert result.code == 2
    assert "--data-dtype" in result.err
    assert "fp32, fp16, bf16" in result.err


@pytest.mark.usefixtures("broken")
def test_wrong_memory_fails_the_run(t3sim, trace):
    """Exit code 1, and the place of what is wrong on stderr."""
    result = t3sim("run", trace, "--data", "--scheme", "t3", "--sublayer", "op", "--format", "csv")
    assert result.code == 1
    (row,) = table(result.out)
    assert (row["status"], row["error_type"]) == ("failed", "DataError")
    assert int(row["data_errors"]) > 0
    assert "part 0, piece" in result.err


@pytest.mark.usefixtures("broken")
def test_a_collective_alone_has_its_wrong_elements(t3sim):
    """``t3sim collective --data`` counts as ``run`` does: 1,000 of 2,000 elements are wrong at GPU 0."""
    arguments = ("collective", "all_gather", "--bytes", "4000 B", "--gpus", "2", "--no-bound", "--format", "csv")
    (row,) = table(t3sim(*arguments).out)
    assert row["data_errors"] == ""
    result = t3sim(*arguments, "--data")
    (row,) = table(result.out)
    assert result.code == 1
    assert row["data_errors"] == "1000"
    assert "GPU 0, part 0, piece 0: has no contribution of any GPU" in result.err


def test_python_takes_the_same_options(trace):
    """``simulate(data=True)`` gives the columns too."""
    rows = simulate(trace, sublayers=["op"], schemes=["t3"], data=True).rows
    assert [row["data_errors"] for row in rows] == [0]
    assert DataMode().precision is None
