"""``t3sim table``: results, pivoted."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from t3sim.cli.app import Format, FormatOption, app, listed
from t3sim.cli.output import print_tables
from t3sim.errors import InputError, Problem
from t3sim.report.pareto import pareto_front
from t3sim.report.pivot import pivot, pivot_table, require_columns
from t3sim.report.text import rows_csv, to_json
from t3sim.results import COLUMN_NAMES, Row, read_frame

if TYPE_CHECKING:
    import pandas as pd

_TABLES = ("results.csv", "results.parquet")
_EXCLUDED_SHOWN = 20
_IDENTITY = ("system", "model", "tp", "phase", "sublayer", "scheme")

ResultsArgument = Annotated[Path, typer.Argument(help="Folder of results, or its results.csv or results.parquet.")]
WhereOption = Annotated[
    list[str] | None, typer.Option("--where", help="Only rows with this value: column=value, or value|value.")
]


@app.command()
def table(
    results: ResultsArgument,
    rows: Annotated[str, typer.Option(help="Columns whose values label the rows, comma-separated.")] = "model,tp",
    cols: Annotated[str, typer.Option(help="Columns whose values label the columns.")] = "scheme",
    metric: Annotated[str, typer.Option(help="Column of numbers.")] = "speedup",
    agg: Annotated[str, typer.Option(help="geomean, mean, median, min, max or sum of a cell's points.")] = "geomean",
    where: WhereOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Pivot results: a metric over all points with the same labels, with their number, smallest and largest."""
    result = pivot(load_results(results, where), listed(rows), listed(cols), metric, agg)
    if form is Format.JSON:
        document = {"metric": metric, "agg": agg, "cells": result.records(), "excluded": list(result.excluded)}
        typer.echo(to_json(document), nl=False)
    elif form is Format.CSV:
        columns = (*result.rows, *result.cols, f"{metric}_{agg}", "n", "min", "max")
        typer.echo(rows_csv(result.records(), columns), nl=False)
    else:
        print_tables([pivot_table(result)])
    for line in result.excluded[:_EXCLUDED_SHOWN]:
        typer.echo(f"excluded: {line}", err=True)
    if len(result.excluded) > _EXCLUDED_SHOWN:
        typer.echo(f"and {len(result.excluded) - _EXCLUDED_SHOWN} more excluded", err=True)


@app.command()
def pareto(
    results: ResultsArgument,
    least: Annotated[str, typer.Option("--min", help="Columns that are better small, comma-separated.")] = "",
    most: Annotated[str, typer.Option("--max", help="Columns that are better large.")] = "",
    where: WhereOption = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Pick the points that no other beats in every metric; a metric may be an axis, such as system.link.bandwidth."""
    metrics = (*listed(least), *listed(most))
    frame = load_results(results, where)
    front = pareto_front(frame, listed(least), listed(most))
    axes = [name for name in frame.columns if name not in COLUMN_NAMES and name not in metrics]
    columns = [*_IDENTITY, *axes, *(name for name in metrics if name not in _IDENTITY)]
    plain = front[columns].astype(object).where(front[columns].notna(), None)
    rows: list[Row] = [dict(zip(columns, row, strict=True)) for row in plain.itertuples(index=False)]
    if form is Format.JSON:
        typer.echo(to_json({"min": listed(least), "max": listed(most), "rows": rows}), nl=False)
    elif form is Format.CSV:
        typer.echo(rows_csv(rows, columns), nl=False)
    else:
        shown = Table(title=f"{len(rows)} of {len(frame)} points are on the front", title_justify="left")
        for name in columns:
            shown.add_column(name)
        for row in rows:
            shown.add_row(*(f"{row[name]:.4g}" if isinstance(row[name], float) else str(row[name]) for name in columns))
        print_tables([shown])


def load_results(path: Path, where: list[str] | None) -> "pd.DataFrame":
    """Read a table of results, and keep the rows that every ``column=value|value`` names.

    Raises ``InputError`` when there is no such table or column, or nothing is left.
    """
    if path.is_dir():
        found = [path / name for name in _TABLES if (path / name).exists()]
        if not found:
            raise InputError(Problem(message=f"holds no {' or '.join(_TABLES)}", file=str(path)))
        path = found[0]
    frame = read_frame(path)
    for condition in where or ():
        column, equals, values = condition.partition("=")
        if not equals:
            raise InputError(Problem(message="must read column=value", key="--where", value=condition))
        require_columns(frame, {"--where": (column,)})
        known = tuple(map(str, frame[column].astype(str).unique()))
        frame = frame[frame[column].astype(str).isin(values.split("|"))]
        if frame.empty:
            raise InputError(Problem(message=f"no row has this {column}", key="--where", value=values, known=known))
    return frame
