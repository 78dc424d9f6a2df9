"""Figures from a results table and nothing else: line, bar, heat map and tornado, with a unit on every axis."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from t3sim import lazy
from t3sim.errors import InputError, Problem
from t3sim.files import replacing
from t3sim.report.pivot import Pivot, pivot, require_columns
from t3sim.report.quantities import quantity, unit_of_column

if TYPE_CHECKING:
    import matplotlib as mpl
    import pandas as pd
    from matplotlib import figure as figures
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
else:
    mpl = lazy.module("matplotlib")
    figures = lazy.module("matplotlib.figure")

FORMATS: Final = (".png", ".svg", ".pdf")
_SIZE_INCHES: Final = (7.0, 4.2)
_DPI: Final = 150
_MARKERS: Final = "osD^vPX*"
_MOST_GROWTHS: Final = 5
_MOST_MARKS: Final = 200
"""Labels on an axis, or cells of a heat map's side, beyond which nothing could be read."""


@dataclass(frozen=True, slots=True)
class Plot:
    """What to show: ``metric``, aggregated over the points that share ``x`` and ``by``."""

    kind: str
    x: str
    metric: str = "speedup"
    by: str = "scheme"
    """Lines, or groups of bars; the vertical axis of a heat map."""
    agg: str = "geomean"
    log_x: bool = False
    baseline: str = ""
    """Value of ``x`` that a tornado compares with; the first by default."""
    title: str = ""


def write_figure(frame: "pd.DataFrame", plot: Plot, path: Path) -> None:
    """Draw ``plot`` into ``path``: PNG, SVG or PDF by its suffix, the same bytes for the same table.

    Raises ``InputError`` for columns that do not exist or cannot be drawn so, another suffix, or a disk that refuses.
    """
    if plot.kind not in _KINDS:
        raise InputError(Problem(message="unknown name", key="--kind", value=plot.kind, known=tuple(_KINDS)))
    require_columns(frame, {"--x": (plot.x,), "--by": (plot.by,), "--metric": (plot.metric,)})
    save_figure(path, partial(_KINDS[plot.kind], frame, plot), grid=plot.kind == "line")


def save_figure(
    path: Path, draw: Callable[["Figure"], None], *, size: tuple[float, float] = _SIZE_INCHES, grid: bool = False
) -> None:
    """Write what ``draw`` draws, of ``size`` inches, to ``path``. Raises ``InputError`` as ``write_figure`` does."""
    if path.suffix not in FORMATS:
        raise InputError(Problem(message="unknown kind of figure", key="--out", value=path.suffix, known=FORMATS))
    # Without dates and random ids, a figure changes only when its data do.
    metadata: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
    with mpl.rc_context({"svg.hashsalt": "t3sim", "axes.grid": grid, "grid.alpha": 0.3}):
        figure = figures.Figure(figsize=size, layout="constrained")
        draw(figure)
        _grow_to_fit(figure)
        with replacing(path, binary=True) as file:
            figure.savefig(file, format=path.suffix[1:], dpi=_DPI, metadata=metadata)


def _grow_to_fit(figure: "Figure") -> None:
    """Make a figure as large as its labels need: above long names, axes may be too short for their own label."""
    for _ in range(_MOST_GROWTHS):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        drawn = figure.get_tightbbox()
        over = max(0.0, -drawn.x0, drawn.x1 - width), max(0.0, -drawn.y0, drawn.y1 - height)
        if not any(over):
            break
        # A label is in the middle of its axes, which grow by as much as the figure does, or less where it is crowded.
        figure.set_size_inches(width + 2 * over[0], height + 2 * over[1])


def _line(frame: "pd.DataFrame", plot: Plot, figure: "Figure") -> None:
    across = quantity(frame, plot.x)
    if across is None:
        raise InputError(Problem(message="a line needs numbers on its x axis; take bars", key="--x", value=plot.x))
    places = dict(zip(frame[plot.x].astype(str), across.numbers, strict=True))
    table = pivot(frame, [plot.x], [plot.by], plot.metric, plot.agg)
    axes = _axes(figure, plot, across.label)
    for number, series in enumerate(_columns(table)):
        points = sorted(
            (places[row[0]], cell.value) for (row, column), cell in table.cells.items() if row and column == series
        )
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, marker=_MARKERS[number % len(_MARKERS)], label=series[0])
    if plot.log_x:
        axes.set_xscale("log")
        axes.minorticks_off()
    if len(set(places.values())) <= _MOST_MARKS // 10:
        axes.set_xticks(sorted(set(places.values())), [f"{place:g}" for place in sorted(set(places.values()))])
    axes.set_ylabel(_metric_label(plot))
    axes.legend(title=plot.by)


def _bar(frame: "pd.DataFrame", plot: Plot, figure: "Figure") -> None:
    table = pivot(frame, [plot.x], [plot.by], plot.metric, plot.agg)
    labels, groups = _rows(table, plot), _columns(table)
    axes = _axes(figure, plot, _label(frame, plot.x))
    width = 0.8 / len(groups)
    for number, group in enumerate(groups):
        heights = [_value(table, label, group) for label in labels]
        offset = (number - (len(groups) - 1) / 2) * width
        axes.bar([place + offset for place in range(len(labels))], heights, width, label=group[0])
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(len(row[0]) for row in labels) > 12 else {}  # noqa: PLR2004
    axes.set_xticks(range(len(labels)), [row[0] for row in labels], **slanted)
    axes.set_ylabel(_metric_label(plot))
    # Below the axes: inside there is no place that no bar needs.
    figure.legend(title=plot.by, loc="outside lower center", ncols=len(groups))


def _heatmap(frame: "pd.DataFrame", plot: Plot, figure: "Figure") -> None:
    table = pivot(frame, [plot.x], [plot.by], plot.metric, plot.agg)
    across, down = _sorted(frame, plot.x, _rows(table, plot)), _sorted(frame, plot.by, _columns(table))
    axes = _axes(figure, plot, _label(frame, plot.x))
    values = [[_value(table, column, row) for column in across] for row in down]
    image = axes.imshow(values, aspect="auto", origin="lower", cmap="viridis")
    axes.set_xticks(range(len(across)), [label[0] for label in across])
    axes.set_yticks(range(len(down)), [label[0] for label in down])
    axes.set_ylabel(_label(frame, plot.by))
    low, high = image.get_clim()
    for y, row in enumerate(values):
        for x, value in enumerate(row):
            if value == value and len(across) * len(down) <= _MOST_MARKS:  # noqa: PLR0124 - not NaN
                ink = "white" if value < (low + high) / 2 else "black"
                axes.text(x, y, f"{value:.3g}", ha="center", va="center", color=ink)
    figure.colorbar(image, label=_metric_label(plot))


def _tornado(frame: "pd.DataFrame", plot: Plot, figure: "Figure") -> None:
    table = pivot(frame, [plot.x], [plot.by], plot.metric, plot.agg)
    labels, groups = _rows(table, plot), _columns(table)
    base = (plot.baseline or labels[0][0],)
    if base not in labels:
        known = tuple(label[0] for label in labels)
        raise InputError(Problem(message="unknown name", key="--baseline", value=base[0], known=known))
    changes = {
        label: [_value(table, label, group) - _value(table, base, group) for group in groups]
        for label in labels
        if label != base
    }
    order = sorted(changes, key=lambda label: max(map(abs, changes[label])))
    axes = _axes(figure, plot, f"{_metric_label(plot)},\nchange against {base[0]!r}")
    axes.locator_params(axis="x", nbins=6)
    height = 0.8 / len(groups)
    for number, group in enumerate(groups):
        offset = ((len(groups) - 1) / 2 - number) * height
        places = [place + offset for place in range(len(order))]
        axes.barh(places, [changes[label][number] for label in order], height, label=group[0])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(order)), [label[0] for label in order])
    axes.set_ylabel(f"{plot.x} (one at a time)")
    axes.legend(title=plot.by)


_KINDS: Mapping[str, Callable[["pd.DataFrame", Plot, "Figure"], None]] = {
    "line": _line,
    "bar": _bar,
    "heatmap": _heatmap,
    "tornado": _tornado,
}


def _axes(figure: "Figure", plot: Plot, x_label: str) -> "Axes":
    axes = figure.subplots()
    axes.set_title(plot.title)
    axes.set_xlabel(x_label)
    return axes


def _rows(table: Pivot, plot: Plot) -> list[tuple[str, ...]]:
    rows = list(dict.fromkeys(row for row, _ in table.cells if row))
    if not 0 < len(rows) <= _MOST_MARKS:
        message = f"has {len(rows)} values with a {plot.metric}; 1 to {_MOST_MARKS} can be shown"
        raise InputError(Problem(message=message, key="--x", value=plot.x))
    return rows


def _columns(table: Pivot) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(column for _, column in table.cells))


def _value(table: Pivot, row: tuple[str, ...], column: tuple[str, ...]) -> float:
    cell = table.cells.get((row, column))
    return cell.value if cell is not None else float("nan")


def _sorted(frame: "pd.DataFrame", name: str, labels: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Order labels by the numbers they stand for; text stays as it came."""
    found = quantity(frame, name)
    if found is None:
        return list(labels)
    places = dict(zip(frame[name].astype(str), found.numbers, strict=True))
    return sorted(labels, key=lambda label: places[label[0]])


def _label(frame: "pd.DataFrame", name: str) -> str:
    """Name an axis of labels; quantities show their own units, other numbers get theirs here."""
    found = quantity(frame, name)
    bare = found is not None and not str(frame[name].iloc[0]).endswith(found.unit)
    return found.label if found is not None and bare else name


def _metric_label(plot: Plot) -> str:
    return f"{plot.metric}, {plot.agg} ({unit_of_column(plot.metric)})"
