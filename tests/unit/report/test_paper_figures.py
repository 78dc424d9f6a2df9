"""Figures: that every sublayer, scheme and cause is drawn, at its height, and the same each time."""

import re
import xml.etree.ElementTree as ET

import pytest

from t3sim.report.paper_figures import by_point, dram_accesses, dram_traffic, speedups, sublayer_times
from t3sim.results.timeline import Counter


def row(sublayer, scheme, times, speedup, scale=1, status="ok"):
    gemm, scatter, gather = times
    parts = ("gemm_read", "gemm_write", "rs_read", "rs_write", "ag_read", "ag_write")
    nbytes = {f"dram_{part}_bytes": scale * (number + 1) for number, part in enumerate(parts)}
    return {
        "status": status,
        "model": "toy",
        "tp": 2,
        "sublayer": sublayer,
        "scheme": scheme,
        "gemm_us": gemm,
        "rs_us": scatter,
        "ag_us": gather,
        "total_us": sum(times),
        "speedup": speedup,
        "dram_total_bytes": sum(nbytes.values()),
        **nbytes,
    }


@pytest.fixture
def points():
    """Give two sublayers under two schemes, and a third whose baseline failed."""
    rows = [
        row("op", "sequential", (4, 3, 3), 1.0, scale=2),
        row("op", "t3", (4, 3, 3), 2.0),
        row("fc2", "sequential", (8, 1, 1), 1.0, scale=2),
        row("fc2", "t3", (8, 1, 1), 0.5),
        row("ip", "sequential", (8, 1, 1), 1.0, status="failed"),
        row("ip", "t3", (8, 1, 1), 1.5),
    ]
    return by_point(rows)


def bars(svg):
    """Give the heights of the bars, in the order in which they are drawn, in points."""
    tree = ET.fromstring(svg)
    found = []
    for group in tree.iter("{http://www.w3.org/2000/svg}g"):
        if group.get("id", "").startswith("patch_"):
            for path in group.iter("{http://www.w3.org/2000/svg}path"):
                numbers = [float(number) for number in re.findall(r"-?[0-9.]+", path.get("d"))]
                if path.get("clip-path"):
                    found.append(max(numbers[1::2]) - min(numbers[1::2]))
    return found


def test_sublayers_without_a_baseline_are_left_out(points):
    """What cannot be compared is not drawn."""
    assert list(points) == ["toy\nTP 2 op", "toy\nTP 2 fc2"]


def test_times_are_drawn_as_shares(points):
    """A bar a sublayer, in three parts: GEMM, reduce-scatter, all-gather."""
    drawn = bars(sublayer_times(points))
    gemm, scatter, gather = drawn[0:2], drawn[2:4], drawn[4:6]
    assert gemm[1] / gemm[0] == pytest.approx(8 / 4, rel=1e-4)
    assert scatter[0] / gemm[0] == pytest.approx(3 / 4, rel=1e-4)
    assert gather[1] / gemm[1] == pytest.approx(1 / 8, rel=1e-4)


def test_speedups_are_drawn_with_their_mean(points):
    """A bar a sublayer and scheme and one for the geometric mean, which the legend gives too."""
    svg = speedups(points)
    assert "t3 (1.000)" in svg
    op, fc2, mean = bars(svg)
    assert op / fc2 == pytest.approx(4, rel=1e-4)
    assert mean / fc2 == pytest.approx(2, rel=1e-4)


def test_accesses_are_drawn_by_cause(points):
    """Six causes a bar: the baseline's full, the scheme's as large as its bytes are."""
    drawn = bars(dram_accesses(points, "t3"))
    assert len(drawn) == 2 * 2 * 6
    sequential, scheme = drawn[:12], drawn[12:]
    assert sum(scheme) / sum(sequential) == pytest.approx(0.5, rel=1e-4)
    assert sequential[2] / sequential[0] == pytest.approx(2, rel=1e-4)


def test_traffic_is_drawn_by_scheme():
    """A panel a scheme, with every cause."""
    counter = Counter(
        "DRAM GB/s", ("gemm read", "rs read"), [0, 10**9, 2 * 10**9], [(1.0, 2.0), (3.0, 0.0), (0.0, 0.0)]
    )
    svg = dram_traffic("toy", {"t3": counter, "t3-mca": counter})
    for word in ("toy", "gemm read", "rs read", "time, us"):
        assert f"<!-- {word}" in svg


def test_the_same_rows_give_the_same_text(points):
    """No date and no random id is in a figure."""
    assert speedups(points) == speedups(points)
