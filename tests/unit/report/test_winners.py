"""Who wins where: the fastest of software and of T3's schemes by point, and points put together."""

import pandas as pd
import pytest

from t3sim import schemes  # noqa: F401 - registers those whose roles are asked for
from t3sim.errors import InputError
from t3sim.report.plots import save_figure
from t3sim.report.winners import Winner, draw, winners

COLUMNS = ("sublayer", "M", "tp")


def rows(point, sublayer, tokens, tp, times, status="ok"):
    """List the rows of one point: times by scheme."""
    return [
        {
            "point_id": point,
            "scheme": name,
            "status": status,
            "total_us": time,
            "sublayer": sublayer,
            "M": tokens,
            "tp": tp,
        }
        for name, time in times.items()
    ]


def frame(*points):
    """Give a table of the rows of some points."""
    return pd.DataFrame([row for point in points for row in point])


FIRST = rows(
    "a", "op", 1024, 8, {"sequential": 90.0, "fused-sw": 60.0, "t3": 50.0, "t3-mca": 40.0, "ideal-overlap": 1.0}
)


def test_the_fastest_of_each_side_is_named():
    """Rivals and the baseline are software; ideals run nowhere and count for nobody: 60 / 40."""
    assert winners(frame(FIRST), COLUMNS) == [Winner(("op", "1024", "8"), "fused-sw", "t3-mca", 1.5, 1)]


def test_an_extension_is_hardware_and_software_may_win():
    """T3-Consumer needs the tracker; where software is faster, the gain is below 1."""
    (one,) = winners(frame(rows("b", "op", 1, 2, {"async-tp": 30.0, "t3-consumer": 40.0})), COLUMNS)
    assert (one.software, one.hardware, one.gain) == ("async-tp", "t3-consumer", 0.75)


def test_points_with_the_same_labels_are_put_together():
    """The geomean of 1.5 and 6 is 3; the names are those of most points."""
    more = [rows(point, "op", 1024, 8, {"sequential": time, "t3": 10.0}) for point, time in (("b", 60.0), ("c", 30.0))]
    (one,) = winners(frame(FIRST, *more), COLUMNS)
    assert (one.software, one.hardware, one.points) == ("sequential", "t3", 3)
    assert one.gain == pytest.approx((1.5 * 6 * 3) ** (1 / 3))


def test_points_without_two_sides_are_left_out():
    """Failed rows count for nobody; where nothing is left, the message says what is needed."""
    failed = rows("b", "op", 2048, 8, {"t3": 1.0}, "failed") + rows("b", "op", 2048, 8, {"sequential": 2.0})
    assert [one.labels for one in winners(frame(FIRST, failed), COLUMNS)] == [("op", "1024", "8")]
    with pytest.raises(InputError, match="needs points with a scheme of software"):
        winners(frame(failed), COLUMNS)
    with pytest.raises(InputError, match="pieces"):
        winners(frame(FIRST), ("sublayer", "pieces", "tp"))


def test_a_map_has_a_cell_for_each_point_with_the_name_of_the_best_software(tmp_path):
    """Rows and columns in the order of their numbers, a map for each sublayer; the file is written."""
    table = frame(
        rows("a", "op", 2048, 16, {"sequential": 60.0, "t3": 40.0}),
        rows("b", "op", 1024, 8, {"fused-sw": 30.0, "t3": 40.0}),
        rows("c", "fc2", 1024, 16, {"sequential": 50.0, "t3": 40.0}),
    )
    found, drawn = winners(table, COLUMNS), []

    def seen(figure):
        draw(found, table, COLUMNS, figure)
        drawn.extend(figure.axes)

    save_figure(tmp_path / "map.png", seen)
    first, second, *_ = drawn
    assert [text.get_text() for text in first.texts] == ["0.75\nfused-sw", "1.50\nsequential"]
    assert [text.get_text() for text in second.texts] == ["1.25\nsequential"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["1024", "2048"]
    assert [label.get_text() for label in first.get_xticklabels()] == ["8", "16"]
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
