"""Figures as T3's evaluation shows them, drawn from result rows: sublayer times, speedups, DRAM accesses and traffic.

Each function gives one figure as SVG text; the same rows give the same text. matplotlib is imported when one is drawn.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from t3sim import lazy
from t3sim.results import Row, geomean
from t3sim.results.schemes import baseline
from t3sim.results.timeline import Counter
from t3sim.units import FS_PER_US

if TYPE_CHECKING:
    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    mpl = lazy.module("matplotlib")
    plt = lazy.module("matplotlib.pyplot")

_OPERATIONS = {"gemm_us": "GEMM", "rs_us": "reduce-scatter", "ag_us": "all-gather"}
_CAUSES = {
    "dram_gemm_read_bytes": "GEMM read",
    "dram_gemm_write_bytes": "GEMM write",
    "dram_rs_read_bytes": "RS read",
    "dram_rs_write_bytes": "RS write",
    "dram_ag_read_bytes": "AG read",
    "dram_ag_write_bytes": "AG write",
}

Points = Mapping[str, Mapping[str, Row]]
"""Rows by sublayer, as the axis names it, and scheme."""


def by_point(rows: Sequence[Row]) -> dict[str, dict[str, Row]]:
    """Sort rows that are ok by sublayer and scheme; sublayers without a baseline are left out."""
    points: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row["status"] == "ok":
            points.setdefault(f"{row['model']}\nTP {row['tp']} {row['sublayer']}", {})[row["scheme"]] = row
    return {name: schemes for name, schemes in points.items() if baseline() in schemes}


def sublayer_times(points: Points) -> str:
    """Draw how a sublayer's time divides into its operations one after the other (T3's Figure 15)."""
    reference = baseline()
    figure, axes = _wide(len(points), f"share of the sublayer's time, {reference}")
    base = [0.0] * len(points)
    for column, name in _OPERATIONS.items():
        shares = [schemes[reference][column] / schemes[reference]["total_us"] for schemes in points.values()]
        axes.bar(range(len(points)), shares, bottom=base, label=name)
        base = [low + share for low, share in zip(base, shares, strict=True)]
    return _finished(figure, axes, list(points))


def speedups(points: Points) -> str:
    """Draw every scheme's speedup over sequential, with the geometric means (T3's Figure 16)."""
    reference = baseline()
    schemes = list(dict.fromkeys(name for rows in points.values() for name in rows if name != reference))
    figure, axes = _wide(len(points) + 1, f"speedup over {reference}")
    width = 0.8 / len(schemes)
    for number, scheme in enumerate(schemes):
        values = [rows[scheme]["speedup"] if scheme in rows else 0.0 for rows in points.values()]
        mean = geomean(value for value in values if value)
        places = [place + (number - (len(schemes) - 1) / 2) * width for place in range(len(points) + 1)]
        axes.bar(places, [*values, mean], width, label=f"{scheme} ({mean:.3f})")
    axes.axhline(1, color="black", linewidth=0.5)
    return _finished(figure, axes, [*points, "geomean"])


def dram_accesses(points: Points, scheme: str) -> str:
    """Draw DRAM bytes by cause, sequential on the left and ``scheme`` on the right (T3's Figure 18)."""
    points = {name: rows for name, rows in points.items() if scheme in rows}
    reference = baseline()
    figure, axes = _wide(len(points), f"DRAM bytes / {reference}'s; left: {reference}, right: {scheme}")
    for side, name in ((-0.2, reference), (0.2, scheme)):
        base = [0.0] * len(points)
        for number, (column, cause) in enumerate(_CAUSES.items()):
            shares = [rows[name][column] / rows[reference]["dram_total_bytes"] for rows in points.values()]
            label = cause if name == reference else None
            places = [place + side for place in range(len(points))]
            axes.bar(places, shares, 0.36, bottom=base, color=f"C{number}", label=label)
            base = [low + share for low, share in zip(base, shares, strict=True)]
    return _finished(figure, axes, list(points))


def dram_traffic(title: str, counters: Mapping[str, Counter]) -> str:
    """Draw DRAM traffic over time by cause, one panel a scheme (T3's Figure 17)."""
    figure, panels = _pyplot().subplots(len(counters), 1, sharex=True, squeeze=False, figsize=(10, 2.4 * len(counters)))
    for axes, (scheme, counter) in zip(panels[:, 0], counters.items(), strict=True):
        times = [start / FS_PER_US for start in counter.starts_fs]
        columns = [list(values) for values in zip(*counter.values, strict=True)]
        axes.stackplot(times, *columns, labels=counter.series, step="post")
        axes.set_ylabel(f"{scheme}\nDRAM GB/s")
    panels[0, 0].set_title(title, loc="left", pad=24)
    panels[0, 0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=6, fontsize="small", frameon=False)
    panels[-1, 0].set_xlabel("time, us")
    return _svg(figure)


def _pyplot() -> Any:
    """Set matplotlib up for files alone, so that it needs no display, and so that SVG ids hold no random salt."""
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "t3sim"
    return plt


def _wide(places: int, label: str) -> "tuple[Figure, Axes]":
    figure, axes = _pyplot().subplots(figsize=(max(5, 0.8 * places + 2), 4))
    axes.set_ylabel(label)
    return figure, axes


def _finished(figure: "Figure", axes: "Axes", labels: Sequence[str]) -> str:
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize="small")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.15), ncols=6, fontsize="small", frameon=False)
    return _svg(figure)


def _svg(figure: "Figure") -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    _pyplot().close(figure)
    return text.getvalue()
