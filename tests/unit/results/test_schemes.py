"""What schemes declare, and that reports go by it and by no name."""

from types import SimpleNamespace

import pytest

from t3sim import registry
from t3sim.report.html.parts import scheme_style
from t3sim.report.tables import sublayer_table
from t3sim.results import RunResult, complete
from t3sim.results.schemes import SchemeInfo, baseline, is_ideal, scheme_info


@pytest.fixture
def declared(monkeypatch):
    """Make three schemes the only ones there are, none of which says by its name what it is."""
    roles = {"plain": "baseline", "ideal-looking": "scheme", "bound": "ideal"}
    classes = {name: SimpleNamespace(label=name.title(), role=role, order=0) for name, role in roles.items()}
    monkeypatch.setitem(registry._classes, "scheme", classes)


@pytest.mark.usefixtures("declared")
def test_a_scheme_is_what_it_declares():
    """Label and role are those of the registered class."""
    assert scheme_info("bound") == SchemeInfo("bound", "Bound", "ideal")
    assert baseline() == "plain"
    assert [is_ideal(name) for name in ("plain", "ideal-looking", "bound")] == [False, False, True]


@pytest.mark.usefixtures("declared")
def test_a_scheme_of_another_version_is_just_a_scheme():
    """A name that is not registered is shown as it is, and taken neither for a baseline nor for an ideal."""
    assert scheme_info("ideal-x") == SchemeInfo("ideal-x", "ideal-x", "scheme")
    assert not is_ideal("ideal-x")


@pytest.mark.usefixtures("declared")
def test_reports_go_by_roles():
    """The baseline has its time and the ideal no saved traffic, whatever they are called; ideals are drawn hollow."""
    row = {"status": "ok", "model": "m", "tp": 2, "sublayer": "op", "total_us": 8.0, "speedup": 2.0}
    row |= {"dram_total_bytes": 2**20, "dram_reduction": 0.5}
    rows = tuple(complete({**row, "scheme": name}) for name in ("plain", "ideal-looking", "bound"))
    table = sublayer_table(RunResult(rows, {"systems": {}, "t3sim": "1"}))
    headings = [str(column.header) for column in table.columns]
    assert headings[3:] == ["plain us", "ideal-looking", "bound", "DRAM MiB, plain", "saved, ideal-looking"]
    hollow = {name: style["hollow"] for name, style in scheme_style(["plain", "ideal-looking", "bound"]).items()}
    assert hollow == {"plain": False, "ideal-looking": False, "bound": True}
