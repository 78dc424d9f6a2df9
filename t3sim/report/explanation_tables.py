"""Explanations and the glossary for a terminal."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from t3sim.results import GLOSSARY, Column, Row
from t3sim.results.activity import ACTIVITY_COLUMNS
from t3sim.results.losses import BOUNDS, BUCKETS
from t3sim.units import FS_PER_US

_SHOWN = 5


def bucket_table(rows: Sequence[Row], name: str) -> Table:
    """Show where the time of one sublayer went: a line a bucket, a column a scheme, us; empty buckets are left out.

    ``name``, here and below: the sublayer's for people.
    """
    table = Table(title=f"{_label(rows[0], name)} on {rows[0]['system']}: us of", title_justify="left")
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


def hardware_table(rows: Sequence[Row], name: str) -> Table:
    """Show what the hardware of a GPU did: a line a counter, a column a scheme; counters that stayed 0 are left out."""
    title = f"{_label(rows[0], name)}: what the hardware of a GPU did (--metric NAME says what is counted)"
    table = Table(title=title, title_justify="left")
    for heading in ("counter", "unit"):
        table.add_column(heading)
    for row in rows:
        table.add_column(row["scheme"], justify="right")
    for column in ACTIVITY_COLUMNS:
        counts = [row.get(column) for row in rows]
        if any(counts):
            table.add_row(column, GLOSSARY[column].unit, *map(_count, counts))
    table.add_row("busiest link", "B", *(_busiest(row["hardware"]["links"]) for row in rows))
    return table


def what_if_table(row: Row, name: str) -> Table:
    """Show which parameters would help a scheme most, measured by running it with each of them relaxed."""
    title = f"{_label(row, name)}, {row['scheme']}: what would help (run again with each changed)"
    table = Table(title=title, title_justify="left")
    table.add_column("--set")
    for heading in ("now", "total us", "time saved"):
        table.add_column(heading, justify="right")
    for found in row["what_if"][:_SHOWN]:
        table.add_row(found["assignment"], found["before"], _us(found["total_fs"]), f"{found['saved']:+.1%}")
    return table


def metric_text(column: Column) -> str:
    """Say what a column means, in lines of text."""
    lines = [f"{column.name}: {column.meaning}"]
    lines += [f"unit: {column.unit}"] if column.unit else [f"type: {column.kind.__name__}"]
    lines += [f"formula: {column.formula}"] if column.formula else []
    return "\n".join(lines)


def _label(row: Row, name: str) -> str:
    return f"{row['model']} tp{row['tp']} {name}"


def _count(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:,}" if isinstance(value, int) else f"{value:,.3f}"


def _busiest(links: Mapping[str, Row]) -> str:
    """Name the link that carried most, and what it did."""
    name = max(links, key=lambda name: int(links[name]["sent_bytes"]), default="")
    return f"{name} {links[name]['sent_bytes']:,}" if name else ""


def _us(length_fs: int | None) -> str:
    return f"{length_fs / FS_PER_US:.3f}" if length_fs else ""
