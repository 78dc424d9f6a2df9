"""Pivots, fronts and figures of a results table."""

import re
from functools import partial

import pandas as pd
import pytest

from t3sim.cli.plot import PlotKind
from t3sim.errors import InputError
from t3sim.report.pareto import pareto_front
from t3sim.report.pivot import pivot, pivot_table
from t3sim.report.plots import Plot, save_figure, write_figure
from t3sim.report.quantities import quantity

RATE = "system.link.bandwidth"


def row(scheme, rate, speedup, total, status="ok"):
    values = {"scheme": scheme, RATE: rate, "speedup": speedup, "total_us": total, "status": status}
    error = {"error_type": "StallError", "error_message": "stuck"} if status != "ok" else {}
    return {"model": "toy", "tp": 8, "error_type": "", "error_message": "", **values, **error}


@pytest.fixture
def frame():
    """Give a table of two schemes at two link rates, two points each, one of which has failed."""
    return pd.DataFrame(
        [
            row("t3", "100 GB/s", 1.0, 50.0),
            row("t3", "100 GB/s", 4.0, 20.0),
            row("t3", "0.2 TB/s", 1.5, 30.0),
            row("t3", "0.2 TB/s", None, None, "failed"),
            row("mca", "100 GB/s", 2.0, 40.0),
            row("mca", "100 GB/s", 2.0, 40.0),
            row("mca", "0.2 TB/s", 3.0, 10.0),
            row("mca", "0.2 TB/s", None, 15.0),
        ]
    )


def test_cells_are_aggregates_with_their_count_and_range(frame):
    """The geometric mean of 1 and 4 is 2; each cell says how many points it has, and between what."""
    result = pivot(frame, [RATE], ["scheme"], "speedup", "geomean")
    assert result.records() == [
        {RATE: "100 GB/s", "scheme": "t3", "speedup_geomean": pytest.approx(2), "n": 2, "min": 1.0, "max": 4.0},
        {RATE: "0.2 TB/s", "scheme": "t3", "speedup_geomean": pytest.approx(1.5), "n": 1, "min": 1.5, "max": 1.5},
        {RATE: "100 GB/s", "scheme": "mca", "speedup_geomean": pytest.approx(2), "n": 2, "min": 2.0, "max": 2.0},
        {RATE: "0.2 TB/s", "scheme": "mca", "speedup_geomean": pytest.approx(3), "n": 1, "min": 3.0, "max": 3.0},
    ]
    assert result.cells[(), ("t3",)].n == 3, "and over all rows"


def test_a_sum_is_of_all_points(frame):
    """20 and 50 us are 70; one that is short of a point is none, and the message names the point."""
    whole = frame[frame[RATE] == "100 GB/s"]
    assert pivot(whole, [RATE], ["scheme"], "total_us", "sum").cells[("100 GB/s",), ("t3",)].value == 70.0
    with pytest.raises(InputError, match=r"a sum needs all points.*t3.*StallError: stuck"):
        pivot(frame, [RATE], ["scheme"], "total_us", "sum")


def test_points_that_are_left_out_are_named(frame):
    """A failed point and one without the metric are in no cell, and the result says which they are and why."""
    failed, lacking = pivot(frame, [RATE], ["scheme"], "speedup", "mean").excluded
    assert "0.2 TB/s" in failed
    assert failed.endswith("StallError: stuck")
    assert lacking.endswith("no speedup")


def test_table_of_a_pivot(frame):
    """Labels are in the order in which they appear, and the last line is over all of them."""
    table = pivot_table(pivot(frame, [RATE], ["scheme"], "speedup", "max"))
    columns = [list(column.cells) for column in table.columns]
    assert columns[0] == ["100 GB/s", "0.2 TB/s", "all"]
    assert columns[1] == ["4 (2, 1 to 4)", "1.5", "4 (3, 1 to 4)"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([RATE], ["scheme"], "speed", "mean"), "did you mean speedup"),
        ((["modell"], ["scheme"], "speedup", "mean"), "did you mean model"),
        (([RATE], ["scheme"], "speedup", "geomeen"), "did you mean geomean"),
    ],
)
def test_mistakes(frame, arguments, message):
    """Names that do not exist are refused with the nearest that does."""
    with pytest.raises(InputError, match=message):
        pivot(frame, *arguments)


def test_no_geomean_of_what_is_not_positive(frame):
    """A metric that reaches zero has no geometric mean, and the error offers the others."""
    with pytest.raises(InputError, match=r"not above zero.*mean"):
        pivot(frame.assign(speedup=0.0), [RATE], ["scheme"], "speedup", "geomean")


def test_front_of_two_metrics(frame):
    """No point of the front is beaten in both; equal points are both kept; failed ones are none."""
    front = pareto_front(frame, [RATE], ["speedup"])
    assert [(point[RATE], point["speedup"]) for point in front.to_dict("records")] == [("100 GB/s", 4.0)]
    both = pareto_front(frame, ["total_us"], ["speedup"])
    assert list(both.index) == [1, 6], "20 us at 4.0, 10 us at 3.0"
    assert list(pareto_front(frame[4:6], ["total_us"], ["speedup"]).index) == [4, 5]


def test_front_of_one_metric_or_of_text(frame):
    """A front needs two columns of numbers."""
    with pytest.raises(InputError, match="two metrics"):
        pareto_front(frame, ["total_us"], [])
    with pytest.raises(InputError, match="no column of numbers"):
        pareto_front(frame, ["total_us"], ["model"])


def test_quantities_are_brought_to_one_unit(frame):
    """GB/s and TB/s together are shown in GB/s; text and mixed kinds are no quantity."""
    rates = quantity(frame, RATE)
    assert rates.label == f"{RATE} (GB/s)"
    assert list(rates.numbers[:4]) == [100, 100, 200, 200]
    assert quantity(frame, "model") is None
    assert quantity(frame.assign(x=["1 GB", "1 ns"] * 4), "x") is None


def texts(path):
    """Return the words of an SVG whose text is text."""
    return re.findall(r"<text[^>]*>([^<]+)</text>", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", PlotKind)
def test_every_axis_has_its_unit(frame, kind, tmp_path, monkeypatch):
    """Each kind of figure names what it shows with the unit: the metric, and the rates in GB/s."""
    import matplotlib as mpl  # noqa: PLC0415

    monkeypatch.setitem(mpl.rcParams, "svg.fonttype", "none")
    write_figure(frame, Plot(kind.value, RATE, metric="total_us", agg="mean"), tmp_path / "figure.svg")
    words = texts(tmp_path / "figure.svg")
    assert any("total_us" in word and "(us)" in word for word in words), words
    assert any(word.startswith(RATE) for word in words)
    assert any("GB/s" in word for word in words)


def test_no_label_is_cut_off(tmp_path):
    """Above long names axes are short; the figure grows until the label beside them fits, and only then."""
    drawn = []

    def draw(figure, names):
        axes = figure.subplots()
        axes.set_xticks(range(2), names, rotation=90)
        axes.set_ylabel("a label of some length (us)")
        drawn.append(figure)

    for names in (["a", "b"], ["a name that takes most of the height", "b"]):
        save_figure(tmp_path / "figure.png", partial(draw, names=names))
    usual, grown = drawn
    assert tuple(usual.get_size_inches()) == (7.0, 4.2)
    assert grown.get_size_inches()[1] > 4.2
    for figure in drawn:
        figure.draw_without_rendering()
        label = figure.axes[0].yaxis.label.get_window_extent()
        assert label.y0 >= 0
        assert label.y1 <= figure.bbox.height


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_equal_tables_give_equal_figures(frame, suffix, tmp_path):
    """A figure has no date and no random id: its bytes depend on the table alone."""
    for name in "ab":
        write_figure(frame, Plot("line", RATE), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@pytest.mark.parametrize(
    ("plot", "name", "message"),
    [
        (Plot("line", RATE), "figure.gif", "unknown kind of figure"),
        (Plot("pie", RATE), "figure.svg", "known: line"),
        (Plot("line", "rate"), "figure.svg", "no such column"),
        (Plot("line", "model"), "figure.svg", "needs numbers"),
        (Plot("tornado", RATE, baseline="5 GB/s"), "figure.svg", "unknown name"),
    ],
)
def test_figures_that_cannot_be(frame, plot, name, message, tmp_path):
    """A wrong suffix, kind, column or baseline is refused, and no file is left."""
    with pytest.raises(InputError, match=message):
        write_figure(frame, plot, tmp_path / name)
    assert not list(tmp_path.iterdir())
