"""What a sensitivity study found, as tables and as a tornado."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from t3sim import lazy
from t3sim.report.plots import Plot, write_figure
from t3sim.results import Row

if TYPE_CHECKING:
    import pandas as pd
else:
    pd = lazy.module("pandas")

_MOST_BARS = 12


def tornado_tables(rows: Sequence[Row], metric: str) -> Iterator[Table]:
    """Yield the ranked parameters, a line each; then those without any effect, and the changes not made."""
    yield _ranking(rows, metric)
    inert = list(dict.fromkeys((row["parameter"], row["value"]) for row in rows if row["status"] == "no effect"))
    if inert:
        table = Table("parameter", "value", title="no effect on any outcome", title_justify="left")
        for names in inert:
            table.add_row(*names)
        yield table
    if left_out := [row for row in rows if row["reason"]]:
        table = Table("parameter", "value", "change", "why not", title="changes not made", title_justify="left")
        for row in left_out:
            table.add_row(row["parameter"], row["value"], row["change"], row["reason"])
        yield table


def write_tornado(rows: Sequence[Row], metric: str, path: Path) -> bool:
    """Draw the parameters of the largest effects; whether there was one to draw.

    Raises ``InputError`` as ``write_figure``.
    """
    shown = [row for row in rows if row["status"] == "ok" and row["rank"] <= _MOST_BARS]
    if not shown:
        return False
    # Every bar starts from what its scheme reaches unchanged.
    bars = {(row["scheme"], row["change"]): row["before"] for row in shown}
    frame = pd.DataFrame(
        [("nothing", f"{scheme} {change}", before) for (scheme, change), before in bars.items()]
        + [(row["parameter"], f"{row['scheme']} {row['change']}", row["after"]) for row in shown],
        columns=["parameter", "scheme", metric],
    )
    frame["status"] = "ok"
    plot = Plot("tornado", "parameter", metric=metric, by="scheme", baseline="nothing")
    write_figure(frame, plot, path)
    return True


def _ranking(rows: Sequence[Row], metric: str) -> Table:
    tried = [row for row in rows if row["status"] == "ok"]
    columns = list(dict.fromkeys((row["scheme"], row["change"]) for row in tried))
    columns.sort(key=lambda column: [row["scheme"] for row in tried].index(column[0]))
    table = Table(title=f"change of {metric} (geomean), one parameter at a time", title_justify="left")
    for name in ("rank", "parameter", "value", *(f"{scheme} {change}" for scheme, change in columns)):
        table.add_column(name, justify="left" if name in ("parameter", "value") else "right")
    for (rank, parameter, value), group in groupby(tried, lambda row: (row["rank"], row["parameter"], row["value"])):
        effects = {(row["scheme"], row["change"]): row["effect"] for row in group}
        cells = (f"{effects[column]:+.2%}" if column in effects else "" for column in columns)
        table.add_row(str(rank), parameter, value, *cells)
    return table
