"""The tables in README and docs say what the commands give now, to within the tolerances that the pages state."""

import pytest

from t3sim.validation import checks, summary

SPEEDUP = 0.002
"""Speedups, ratios and shares of `reproduce`: two units of the last digit shown."""
ERROR = 0.003
"""Relative errors of `validate`: 0.3 percentage points."""
TIME = 0.001
"""Times of `explain`, relative; and as much of a us for the shortest."""
ERRORS = {"mean error": "mean_error", "bias": "bias", "worst": "worst_error"}


@pytest.fixture(scope="module")
def bodies(tables, parsed):
    """Give a function that finds the tables of a kind: (page, what it shows, rows)."""

    def find(kind):
        found = [(page.name, what, parsed(body)) for page, name, what, body in tables.blocks() if name == kind]
        assert found
        return found

    return find


def share(cell):
    return float(cell.rstrip("%")) / 100


@pytest.fixture(scope="module")
def targets(reproduced):
    """Give the published figures that are modelled, by figure and set."""
    rows = [row for name in ("base", "large") for row in reproduced(name).targets]
    modelled = {(row.figure, row.set): row for row in rows if row.status == "ok"}
    assert len(modelled) == sum(row.status == "ok" for row in rows)
    return modelled


def test_published_against_simulated(bodies, targets):
    """README's main table holds every figure that is modelled, as published and as `reproduce` simulates it."""
    ((page, _, rows),) = bodies("reproduce")
    assert page == "README.md"
    assert len(rows) == len(targets)
    assert {(row["figure"], row["set"]) for row in rows} == targets.keys()
    for row in rows:
        target = targets[row["figure"], row["set"]]
        assert float(row["published"]) == target.published
        assert float(row["simulated"]) == pytest.approx(target.simulated, abs=SPEEDUP), row
        assert float(row["error"]) == pytest.approx(target.error, abs=SPEEDUP), row


def test_errors_against_references(tables, bodies, validated):
    """The short table of the README and the whole one in docs hold what `validate` gives, line by line."""
    compare_errors(tables, bodies, validated, lambda check: check != "models")


@pytest.mark.campaign
def test_errors_of_whole_models(tables, bodies):
    """The same of iterations, which take minutes."""
    compare_errors(tables, bodies, summary("models", checks("models")["models"].compare()), "models".__eq__)


def compare_errors(tables, bodies, validated, is_of):
    shown = {what: [row for row in rows if is_of(row["check"])] for _, what, rows in bodies("validate")}
    assert shown.keys() == {"", "all"}
    for what, rows in shown.items():
        expected = validated if what else tables.short(validated)
        assert len(rows) == len(expected)
        for row, now in zip(rows, expected, strict=True):
            assert [row["check"], row["group"], row["quantity"]] == [now["against"], now["group"], now["quantity"]]
            assert row["band"].replace("&lt;", "<") == now["band"]
            assert int(row["n"]) == now["n"]
            for column, key in ERRORS.items():
                assert share(row[column]) == pytest.approx(now[key], abs=ERROR), (row, column)


def test_unchanged_rows_of_the_studies(bodies, targets):
    """In studies of single changes, the line of the shipped system is what `reproduce` gives for it."""
    for name, row in (("contention", "banked"), ("sensitivity", "nothing")):
        (rows,) = (rows for _, what, rows in bodies("sweep") if what == name)
        (line,) = (line for line in rows if line["change"] == row)
        for scheme, figure in (("t3", "T3"), ("t3-mca", "T3-MCA")):
            geomean, low_to_high = line[scheme].rstrip(")").split(" (")
            now = targets[f"{figure}, speedup geomean", "base"].simulated
            largest = targets[f"{figure}, speedup max", "base"].simulated
            assert float(geomean) == pytest.approx(now, abs=SPEEDUP)
            assert float(low_to_high.split(" to ")[1]) == pytest.approx(largest, abs=0.01)


def test_where_the_time_goes(tables, bodies, parsed):
    """The example of `explain` holds the buckets and times that the command gives."""
    ((_, what, rows),) = bodies("explain")
    now = parsed(tables.explain_rows(what))
    assert [row["bucket"] for row in rows] == [row["bucket"] for row in now]
    for row, expected in zip(rows[:-1], now[:-1], strict=True):
        for scheme in ("sequential", "t3", "t3-mca"):
            assert float(row[scheme] or 0) == pytest.approx(float(expected[scheme] or 0), rel=TIME, abs=0.101), row


@pytest.mark.campaign
def test_stragglers(tables, bodies, parsed, tmp_path):
    """Run again, what each trouble adds is what docs show."""
    from t3sim import sweep  # noqa: PLC0415 - only here

    ((_, name, rows),) = bodies("slowdown")
    sweep(name, out=tmp_path)
    now = parsed(tables.slowdown_rows(tmp_path))
    assert [row["change"] for row in rows] == [row["change"] for row in now]
    for row, expected in zip(rows[1:], now[1:], strict=True):
        for scheme in ("sequential", "t3", "t3-mca", "ideal-overlap"):
            shown, found = (list(map(share, cells[scheme].split(" / "))) for cells in (row, expected))
            assert shown == pytest.approx(found, abs=SPEEDUP), row


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["contention", "sensitivity"])
def test_studies(tables, bodies, parsed, name, tmp_path):
    """Run again, a study gives the table that docs show."""
    from t3sim import sweep  # noqa: PLC0415 - only here

    (rows,) = (rows for _, what, rows in bodies("sweep") if what == name)
    sweep(name, out=tmp_path)
    now = parsed(tables.sweep_rows(tmp_path))
    assert [row["change"] for row in rows] == [row["change"] for row in now]
    for row, expected in zip(rows, now, strict=True):
        for scheme in ("t3", "t3-mca"):
            geomean, expected_geomean = (float(cell[scheme].split(" (")[0]) for cell in (row, expected))
            assert geomean == pytest.approx(expected_geomean, abs=SPEEDUP), row


@pytest.mark.campaign
@pytest.mark.parametrize("name", ["t3-networks", "in-switch"])
def test_costs(tables, bodies, parsed, name, tmp_path):
    """Run again, a study of networks gives the times, speedups and bytes that docs show."""
    from t3sim import sweep  # noqa: PLC0415 - only here

    (columns, rows), *_ = ((what.split(" by ")[1], rows) for _, what, rows in bodies("costs") if what.startswith(name))
    sweep(name, out=tmp_path)
    assert rows == parsed(tables.cost_rows(tmp_path, columns.split(",")))


def test_gains_and_losses_that_come_out_wrong(tables, bodies, parsed):
    """The table of wrong sides holds those of today, each a gain where a loss was measured, or the other way round."""
    ((page, _, rows),) = bodies("sides")
    assert page == "validation.md"
    expected = parsed(tables.TABLES["sides"](""))
    assert [row["pair"] for row in rows] == [row["pair"] for row in expected]
    for row, now in zip(rows, expected, strict=True):
        assert float(row["simulated"]) == pytest.approx(float(now["simulated"]), abs=0.01)
        assert (float(row["measured"]) > 1) != (float(row["simulated"]) > 1)
