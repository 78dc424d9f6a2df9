"""``t3sim plot``: figures from a table of results."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from t3sim.cli.app import app
from t3sim.cli.table import ResultsArgument, WhereOption, load_results
from t3sim.files import prepare_folder
from t3sim.report.plots import Plot, write_figure


class PlotKind(StrEnum):
    """Kinds of figures."""

    LINE = "line"
    BAR = "bar"
    HEATMAP = "heatmap"
    TORNADO = "tornado"


@app.command()
def plot(
    results: ResultsArgument,
    x: Annotated[str, typer.Option(help="Column on the horizontal axis; of a tornado, the changes.")],
    out: Annotated[Path, typer.Option(help="File to write: .png, .svg or .pdf.", dir_okay=False)],
    kind: Annotated[PlotKind, typer.Option(help="Kind of figure.")] = PlotKind.LINE,
    metric: Annotated[str, typer.Option(help="Column of numbers that is shown.")] = "speedup",
    by: Annotated[str, typer.Option(help="Column of lines or groups; of a heat map, the vertical axis.")] = "scheme",
    agg: Annotated[str, typer.Option(help="geomean, mean, median, min, max or sum of a mark's points.")] = "geomean",
    where: WhereOption = None,
    log_x: Annotated[bool, typer.Option("--log-x", help="Logarithmic horizontal axis.")] = False,  # noqa: FBT002
    baseline: Annotated[str, typer.Option(help="Value of --x that a tornado compares with; the first.")] = "",
    title: Annotated[str, typer.Option(help="Title of the figure.")] = "",
) -> None:
    """Draw a figure from results: lines, bars, a heat map or a tornado."""
    frame = load_results(results, where)
    prepare_folder(out.parent)
    wanted = Plot(kind.value, x, metric=metric, by=by, agg=agg, log_x=log_x, baseline=baseline, title=title)
    write_figure(frame, wanted, out)
    typer.echo(f"wrote {out}", err=True)
