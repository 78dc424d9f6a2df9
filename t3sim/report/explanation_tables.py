"""Explanations and the glossary for a terminal."""

from collections.abc import Sequence

from rich.table import Table

from t3sim.results import Column, Row
from t3sim.results.losses import BOUNDS, BUCKETS
from t3sim.units import FS_PER_US

_SHOWN = 5


def bucket_table(rows: Sequence[Row]) -> Table:
    """Show where the time of one sublayer went: a line a bucket, a column a scheme, us; empty buckets are left out."""
    table = Table(title=f"{_label(rows[0])} on {rows[0]['system']}: us of", title_justify="left")
    table.add_column("bucket")
    for row in rows:
        table.add_column(row["scheme"], justify="right")
    table.add_column("what it is")
    for bucket in BUCKETS:
        lengths = [row[f"{bucket.name}_fs"] for row in rows]
        if any(lengths):
            bound = f" ({bucket.bound})" if bucket.bound else ""
            table.add_row(bucket.name, *map(_us, lengths), bucket.meaning + bound)
    table.add_section()
    table.add_row("total", *(_us(row["total_fs"]) for row in rows), "sum of the buckets, to the fs")
    for bound in BOUNDS:
        lengths = [row["bound"] and row[f"bound_by_{bound.lower()}_fs"] for row in rows]
        table.add_row(f"bound by {bound}", *map(_us, lengths), "")
    table.add_row("bound", *(row["bound"] or "" for row in rows), "what takes most of the time")
    return table


def what_if_table(row: Row) -> Table:
    """Show which parameters would help a scheme most, measured by running it with each of them relaxed."""
    title = f"{_label(row)}, {row['scheme']}: what would help (run again with each changed)"
    table = Table(title=title, title_justify="left")
    table.add_column("--set")
    for name in ("now", "total us", "time saved"):
        table.add_column(name, justify="right")
    for found in row["what_if"][:_SHOWN]:
        table.add_row(found["assignment"], found["before"], _us(found["total_fs"]), f"{found['saved']:+.1%}")
    return table


def metric_text(column: Column) -> str:
    """Say what a column means, in lines of text."""
    lines = [f"{column.name}: {column.meaning}"]
    lines += [f"unit: {column.unit}"] if column.unit else [f"type: {column.kind.__name__}"]
    lines += [f"formula: {column.formula}"] if column.formula else []
    return "\n".join(lines)


def _label(row: Row) -> str:
    return f"{row['model']} tp{row['tp']} {row['sublayer']}"


def _us(length_fs: int | None) -> str:
    return f"{length_fs / FS_PER_US:.3f}" if length_fs else ""
