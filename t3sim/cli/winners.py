"""``t3sim winners``: the fastest scheme of every point, and T3's gain over the best software."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from t3sim import schemes  # noqa: F401 - registers those whose roles are asked for
from t3sim.cli.app import Format, FormatOption, app
from t3sim.cli.output import print_tables
from t3sim.cli.table import ResultsArgument, WhereOption, load_results
from t3sim.files import prepare_folder
from t3sim.report.plots import save_figure
from t3sim.report.text import rows_csv, to_json
from t3sim.report.winners import Winner, draw, winners
from t3sim.results import Row

_PANEL_INCHES = (3.6, 4.2)


@app.command("winners")
def winners_command(
    results: ResultsArgument,
    rows: Annotated[str, typer.Option(help="Column of the map's rows.")] = "M",
    cols: Annotated[str, typer.Option(help="Column of the map's columns.")] = "tp",
    by: Annotated[str, typer.Option(help="Column of which every value has a map of its own.")] = "sublayer",
    where: WhereOption = None,
    out: Annotated[Path | None, typer.Option(help="File for the map: .png, .svg or .pdf.", dir_okay=False)] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """Say of every point which scheme is fastest, what T3 gains over the best software, and why.

    Why: where the slower of the two loses most time, in us and as a share of how far they are apart. Sweeps tell it of
    the schemes that their setting `losses` names.
    """
    frame = load_results(results, where)
    columns = (by, rows, cols)
    found = winners(frame, columns)
    lines: list[Row] = [{**dict(zip(columns, one.labels, strict=True)), **_measured(one)} for one in found]
    if out is not None:
        prepare_folder(out.parent)
        panels = len({one.labels[0] for one in found})
        size = (_PANEL_INCHES[0] * panels + 1.2, _PANEL_INCHES[1])
        save_figure(out, partial(draw, found, frame, columns), size=size)
        typer.echo(f"wrote {out}", err=True)
    if form is Format.JSON:
        typer.echo(to_json({"rows": lines}), nl=False)
    elif form is Format.CSV:
        typer.echo(rows_csv(lines, tuple(lines[0])), nl=False)
    else:
        shown = Table(title="T3 over the best software", title_justify="left")
        for name in lines[0]:
            shown.add_column(name)
        for line in lines:
            shown.add_row(*map(_shown, line.values()))
        print_tables([shown])


def _measured(one: Winner) -> Row:
    return {
        "software": one.software,
        "hardware": one.hardware,
        "gain": one.gain,
        "fastest": one.hardware if one.gain > 1 else one.software,
        "points": one.points,
        "why": one.why and one.why.words,
        "why_us": one.why_us,
        "why_share": one.why_share,
    }


def _shown(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)
