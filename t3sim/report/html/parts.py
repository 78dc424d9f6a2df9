"""The vocabulary of a report's document: columns, tables and charts as plain data that the page knows how to draw."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from t3sim.results import Row
from t3sim.results.schemes import is_ideal

Part = dict[str, Any]


def column(name: str, unit: str = "", meaning: str = "", digits: int | None = None, *, choose: bool = False) -> Part:
    """Describe a column of a table: ``digits`` after the point make it one of numbers, ``choose`` gives it a list."""
    return {"name": name, "unit": unit, "meaning": meaning, "digits": digits, "choose": choose}


def table(caption: str, columns: Sequence[Part], rows: Sequence[Sequence[Any]], command: str = "") -> Part:
    """Make a table; an empty cell is ``None``."""
    cells = [[as_json(cell) for cell in row] for row in rows]
    return {"caption": caption, "columns": list(columns), "rows": cells, "command": command}


def chart(kind: str, title: str, views: Sequence[Part], command: str, note: str = "") -> Part:
    """Make a chart, of which one view at a time is shown: ``dots``, ``stack``, ``lines`` or ``timeline``."""
    return {"kind": kind, "title": title, "views": list(views), "command": command, "note": note}


def view(label: str, axis: str, groups: Sequence[str], series: Sequence[Part], **more: Any) -> Part:
    """Make a view of dots or stacked bars: a line for each of ``groups``, a mark for each of ``series``."""
    return {"label": label, "axis": axis, "groups": list(groups), "series": list(series), **more}


def series(name: str, values: Sequence[Any], color: int, *, shade: int = 0, hollow: bool = False) -> Part:
    """Make a series: a value, or ``None``, for each group; ``color`` and ``shade`` index the page's palette."""
    return {
        "name": name,
        "values": [as_json(value) for value in values],
        "color": color,
        "shade": shade,
        "hollow": hollow,
    }


def section(name: str, title: str, lead: str, parts: Sequence[Part] = (), missing: str = "") -> Part:
    """Make a section: its charts and tables, or the command (``missing``) that would give it some."""
    charts = [part for part in parts if "views" in part]
    tables = [part for part in parts if "rows" in part]
    return {"id": name, "title": title, "lead": lead, "charts": charts, "tables": tables, "missing": missing}


def as_json(value: Any) -> Any:
    """Give a cell as JSON has it: pandas' and IEEE's missing numbers are ``None``, and floats short."""
    if isinstance(value, str | bool | int) or value is None:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None if str(value) == "<NA>" else str(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else float(f"{number:.7g}")


def scheme_style(schemes: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Give every scheme a colour for the whole report; ideals, which no machine runs, are hollow."""
    return {name: {"color": number, "hollow": is_ideal(name)} for number, name in enumerate(schemes)}


def workload_name(row: Row) -> str:
    """Name what the sublayer of a row is of."""
    return f"{row['model']} TP {row['tp']}"
