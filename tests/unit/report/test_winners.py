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


@pytest.mark.filterwarnings("error")
def test_points_can_be_listed_one_by_one():
    """A column that is looked at anyway is a label as any other."""
    (one,) = winners(frame(FIRST), ("sublayer", "point_id", "scheme"))
    assert one.labels == ("op", "a", "t3-mca")


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


SPENT = ("gemm", "cus_taken", "dram_contention", "communication", "reduction", "launch")


def split(point, **by_scheme):
    """List the rows of a point: of each scheme how many us went where, in the order of ``SPENT``."""
    made = rows(point, "op", 1024, 8, {name.replace("_", "-"): float(sum(us)) for name, us in by_scheme.items()})
    for row, us in zip(made, by_scheme.values(), strict=True):
        row |= {f"spent_{name}_us": float(part) for name, part in zip(SPENT, us, strict=True)}
    return made


def test_why_is_where_software_loses_most():
    """Of 30 us that it needs more, 40 go to the last sum: more than all, since its GEMM waits less for the DRAM."""
    point = split("a", fused_sw=(50, 0, 0, 0, 40, 10), t3=(50, 0, 10, 0, 0, 10))
    (one,) = winners(frame(point), COLUMNS)
    assert (one.why.words, one.why_us) == ("exposed final reduction", 40.0)
    assert one.why_share == pytest.approx(4 / 3)


def test_why_is_where_t3_loses_where_software_is_faster():
    """T3 shows 30 us of communication that software hides, and makes up for 10 of them by the CUs that it keeps."""
    point = split("a", dma_overlap=(60, 10, 0, 10, 0, 0), t3=(60, 0, 0, 40, 0, 0))
    (one,) = winners(frame(point), COLUMNS)
    assert (one.gain, one.why.words, one.why_us) == (0.8, "exposed communication", 30.0)
    assert one.why_share == pytest.approx(1.5)


def test_points_count_by_shares_of_their_time():
    """A long point that loses 10% by its launches is outdone by a short one that loses 20% by CUs; us are the mean."""
    long = split("a", fused_sw=(1000, 0, 0, 0, 0, 100), t3=(1000, 0, 0, 0, 0, 0))
    short = split("b", fused_sw=(100, 20, 0, 0, 0, 0), t3=(100, 0, 0, 0, 0, 0))
    (one,) = winners(frame(long, short), COLUMNS)
    assert (one.why.words, one.why_us, one.points) == ("CUs taken", 10.0, 2)
    assert one.why_share == pytest.approx(0.2 / 0.3)


def test_without_a_split_of_both_nobody_says_why():
    """Results that were not split, or whose fastest were not, have no reason; nor has a cell with one such point."""
    told = split("a", fused_sw=(50, 0, 0, 0, 40, 10), t3=(50, 0, 10, 0, 0, 10))
    untold = [{**row, "point_id": "b"} | {f"spent_{name}_us": None for name in SPENT} for row in told]
    for points in ([FIRST], [told, untold], [told, rows("b", "op", 1024, 8, {"sequential": 9.0, "t3": 3.0})]):
        (one,) = winners(frame(*points), COLUMNS)
        assert (one.why, one.why_us, one.why_share) == (None, None, None)


def test_two_that_are_level_lose_no_share():
    """Where both take the same time there is nothing to share; what one spends more is still named."""
    (one,) = winners(frame(split("a", fused_sw=(50, 0, 0, 0, 20, 0), t3=(50, 0, 20, 0, 0, 0))), COLUMNS)
    assert (one.gain, one.why.short, one.why_share) == (1.0, "reduction", None)


def test_the_map_says_why(tmp_path):
    """Below the software's name, and with T3's where it is T3 that loses."""
    table = frame(
        split("a", fused_sw=(50, 0, 0, 0, 40, 10), t3=(50, 0, 10, 0, 0, 10)),
        [{**row, "tp": 16} for row in split("b", dma_overlap=(60, 10, 0, 10, 0, 0), t3=(60, 0, 0, 40, 0, 0))],
    )
    found, drawn = winners(table, COLUMNS), []
    save_figure(tmp_path / "map.svg", lambda figure: drawn.append(draw(found, table, COLUMNS, figure) or figure))
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert texts == ["1.43\nfused-sw\nreduction", "0.80\ndma-overlap\nT3: exposed"]


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
