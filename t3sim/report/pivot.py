"""Pivoted results: one metric, aggregated over all points that share the labels of a row and a column."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from rich.table import Table

from t3sim.errors import InputError, Problem
from t3sim.results import Row, geomean

if TYPE_CHECKING:
    import pandas as pd

AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "geomean": geomean,
    "mean": fmean,
    "median": median,
    "min": min,
    "max": max,
    "sum": sum,
}
_ALL = "all"
_IDENTITY = ("system", "model", "tp", "phase", "sublayer", "scheme")


@dataclass(frozen=True, slots=True)
class Cell:
    """The aggregate of the values behind one cell, and their count, smallest and largest."""

    value: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Pivot:
    """Cells by the labels of their row and column, and what was left out of them."""

    rows: tuple[str, ...]
    cols: tuple[str, ...]
    metric: str
    agg: str
    cells: dict[tuple[tuple[str, ...], tuple[str, ...]], Cell]
    """Also, under an empty row label, the aggregate of each column over all rows."""
    excluded: tuple[str, ...]
    """The points left out, each with the reason."""

    def records(self) -> list[Row]:
        """Return one plain record per cell, without those over all rows."""
        return [
            {
                **dict(zip(self.rows, row, strict=True)),
                **dict(zip(self.cols, column, strict=True)),
                f"{self.metric}_{self.agg}": cell.value,
                "n": cell.n,
                "min": cell.low,
                "max": cell.high,
            }
            for (row, column), cell in self.cells.items()
            if row or not self.rows
        ]


def pivot(frame: "pd.DataFrame", rows: Sequence[str], cols: Sequence[str], metric: str, agg: str) -> Pivot:
    """Aggregate ``metric`` over the rows of ``frame`` that share their values of ``rows`` and ``cols``.

    Labels keep the order in which they first appear. Failed points and those without the metric are left out and
    named. Raises ``InputError`` for columns that do not exist, for values that have no such aggregate, and for a sum
    that would lack a point.
    """
    require_columns(frame, {"--rows": rows, "--cols": cols, "--metric": (metric,)})
    if agg not in AGGREGATES:
        raise InputError(Problem(message="unknown name", key="--agg", value=agg, known=tuple(AGGREGATES)))
    values: dict[tuple[tuple[str, ...], tuple[str, ...]], list[float]] = {}
    excluded: dict[str, None] = {}
    for record in frame.to_dict("records"):
        value = _number(record, metric)
        if value is None:
            if agg == "sum":
                message = f"a sum needs all points: {_named(record, (*rows, *cols), metric)}"
                raise InputError(Problem(message=message, key="--agg", value=agg))
            excluded[_named(record, (*rows, *cols), metric)] = None
            continue
        row, column = (tuple(str(record[name]) for name in names) for names in (rows, cols))
        values.setdefault((row, column), []).append(value)
        if rows:
            values.setdefault(((), column), []).append(value)
    cells = {place: _cell(found, metric, agg) for place, found in values.items()}
    return Pivot(tuple(rows), tuple(cols), metric, agg, cells, tuple(excluded))


def require_columns(frame: "pd.DataFrame", wanted: Mapping[str, Sequence[str]]) -> None:
    """Raise ``InputError`` for names, by the option that gave them, that are no columns of ``frame``."""
    known = tuple(map(str, frame.columns))
    if problems := [
        Problem(message="no such column", key=option, value=name, known=known)
        for option, names in wanted.items()
        for name in names
        if name not in known
    ]:
        raise InputError(*problems)


def pivot_table(result: Pivot) -> Table:
    """Show a pivot: value, and where it stands for several points, their count, smallest and largest."""
    table = Table(title=f"{result.metric}, {result.agg} (n, min to max)", title_justify="left")
    for name in result.rows:
        table.add_column(name)
    columns = list(dict.fromkeys(column for _, column in result.cells))
    for column in columns:
        table.add_column(", ".join(column) or result.metric, justify="right")
    labels = [row for row in dict.fromkeys(row for row, _ in result.cells) if row or not result.rows]
    for row in labels:
        last = len(labels) > 1 and row == labels[-1]
        table.add_row(*row, *(_shown(result.cells.get((row, column))) for column in columns), end_section=last)
    if len(labels) > 1:
        table.add_row(
            _ALL, *("",) * (len(result.rows) - 1), *(_shown(result.cells.get(((), column))) for column in columns)
        )
    return table


def _number(record: Mapping[Any, Any], metric: str) -> float | None:
    if record["status"] != "ok":
        return None
    try:
        value = float(record[metric])
    except (TypeError, ValueError):  # empty, or text
        return None
    return None if value != value else value  # noqa: PLR0124 - NaN stands for an empty field


def _cell(values: Sequence[float], metric: str, agg: str) -> Cell:
    try:
        return Cell(AGGREGATES[agg](values), len(values), min(values), max(values))
    except ValueError:
        message = f"{metric} is not above zero everywhere: take another aggregate"
        known = tuple(name for name in AGGREGATES if name != agg)
        raise InputError(Problem(message=message, key="--agg", value=agg, known=known)) from None


def _named(record: Mapping[Any, Any], labels: Sequence[str], metric: str) -> str:
    names = dict.fromkeys((*labels, *_IDENTITY))
    place = ", ".join(f"{name}={record[name]}" for name in names if str(record.get(name, "")) not in {"", "<NA>"})
    failed = record["status"] != "ok"
    return f"{place}: {record['error_type']}: {record['error_message']}" if failed else f"{place}: no {metric}"


def _shown(cell: Cell | None) -> str:
    if cell is None:
        return ""
    if cell.n == 1:
        return f"{cell.value:.4g}"
    return f"{cell.value:.4g} ({cell.n}, {cell.low:.4g} to {cell.high:.4g})"
