"""``t3sim break-even``: what it prints, and what it refuses."""

import csv
import io

import pytest

OPTIONS = (
    "break-even",
    "t-nlg",
    "--tp",
    "8",
    "--sublayer",
    "op",
    "--scheme",
    "t3,t3-mca",
    "--from",
    "128",
    "--to",
    "256",
)


def test_json_has_thresholds_and_rows(document):
    """The document has a threshold a scheme, and a row a size and scheme with the columns of a run."""
    found = document(*OPTIONS)
    assert [each["scheme"] for each in found["break_even"]] == ["t3", "t3-mca"]
    assert [(row["M"], row["scheme"]) for row in found["rows"][:2]] == [(128, "t3"), (128, "t3-mca")]
    (run,) = document(*OPTIONS[:4], "--sublayer", "op", "--scheme", "t3", "--from", "128", "--to", "128")["rows"]
    assert run["total_us"] == found["rows"][0]["total_us"]
    assert found["manifest"]["systems"].keys() == {"t3-paper"}


def test_csv_and_table_show_the_same_sizes(t3sim):
    """A person sees every size and where each scheme wins; CSV holds the rows."""
    rows = list(csv.DictReader(io.StringIO(t3sim(*OPTIONS, "--format", "csv").out)))
    assert {row["M"] for row in rows} >= {"128", "256"}
    result = t3sim(*OPTIONS)
    assert result.code == 0
    for word in ("faster than sequential", "from tokens on", *(f"{float(row['speedup']):.3f}" for row in rows)):
        assert word in result.out


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (("--from", "0"), ("--from",)),
        (("--tp", "9"), ("tp", "9 GPUs cannot share the hidden size 4256")),
        (("--system", "t3-papr"), ("t3-papr", "t3-paper")),
    ],
)
def test_what_cannot_be_is_refused(t3sim, changes, parts):
    """Wrong values are named in one line, with code 2."""
    result = t3sim(*OPTIONS, *changes)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert not [part for part in parts if part not in result.err], result.err
