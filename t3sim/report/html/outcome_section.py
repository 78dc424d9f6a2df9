"""The results themselves: speedups, times and DRAM traffic of every sublayer and scheme, and over a sweep's axes."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from t3sim.report.html.material import Material
from t3sim.report.html.parts import Part, as_json, chart, column, section, series, table, view, workload_name
from t3sim.report.pivot import pivot
from t3sim.report.quantities import quantity
from t3sim.results import COLUMN_NAMES, GLOSSARY, Row, geomean
from t3sim.results.schemes import baseline
from t3sim.results.sublayers import namer

if TYPE_CHECKING:
    import pandas as pd

Style = Mapping[str, Mapping[str, Any]]
_MIB: Final = 2**20
_HEADLINES: Final = ("t3-mca", "t3")
_MOST_GROUPS: Final = 60
"""Sublayers that one chart can show; where there are more, means over a sweep's axes are shown instead."""

# Heading, unit, digits after the point, and what brings the column's own unit to this one.
_SHOWN: Final[Mapping[str, tuple[str, str, int, float]]] = {
    "speedup": ("speedup", "x sequential", 3, 1),
    "total_us": ("total", "us", 1, 1),
    "gemm_us": ("GEMM", "us", 1, 1),
    "rs_us": ("reduce-scatter", "us", 1, 1),
    "ag_us": ("all-gather", "us", 1, 1),
    "exposed_comm_us": ("exposed", "us", 1, 1),
    "pct_of_ideal": ("of ideal", "%", 0, 1),
    "dram_total_bytes": ("DRAM traffic", "MiB a GPU", 1, 1 / _MIB),
    "dram_reduction": ("DRAM saved", "%", 1, 100),
    "dram_util": ("DRAM busy", "%", 1, 100),
    "link_util": ("link busy", "%", 1, 100),
}
_HARDWARE: Final[Mapping[str, tuple[str, str, int, float]]] = {
    "dram_activates": ("rows opened", "thousands", 1, 1e-3),
    "dram_row_hits": ("row hits", "thousands", 1, 1e-3),
    "dram_row_misses": ("row misses", "thousands", 1, 1e-3),
    "dram_row_conflicts": ("row conflicts", "thousands", 1, 1e-3),
    "dram_refreshes": ("refreshes", "thousands", 1, 1e-3),
    "llc_hit_bytes": ("LLC hits", "MiB", 1, 1 / _MIB),
    "llc_missed_bytes": ("LLC misses", "MiB", 1, 1 / _MIB),
    "cu_busy_gemm_us": ("CUs held by GEMMs", "CU ms", 2, 1e-3),
    "cu_busy_collective_us": ("CUs held by collectives", "CU ms", 2, 1e-3),
    "wire_bytes": ("on all links", "MiB", 1, 1 / _MIB),
    "wire_bytes_max": ("on the busiest link", "MiB", 1, 1 / _MIB),
}
_CHARTED: Final = ("speedup", "total_us", "gemm_us", "exposed_comm_us", "dram_total_bytes", "dram_reduction")
_CAUSES: Final = {
    "dram_gemm_read_bytes": ("GEMM reads", 0, 0),
    "dram_gemm_write_bytes": ("GEMM writes", 0, 2),
    "dram_rs_read_bytes": ("reduce-scatter reads", 1, 0),
    "dram_rs_write_bytes": ("reduce-scatter writes", 1, 2),
    "dram_ag_read_bytes": ("all-gather reads", 2, 0),
    "dram_ag_write_bytes": ("all-gather writes", 2, 2),
}


def axes_of(frame: "pd.DataFrame") -> tuple[str, ...]:
    """Name the columns that a sweep added: its axes."""
    return tuple(str(name) for name in frame.columns if name not in COLUMN_NAMES)


def headline_scheme(rows: Sequence[Row]) -> str | None:
    """Pick the scheme that the report is about: T3-MCA, T3, or the first that has a speedup over another."""
    found = dict.fromkeys(str(row["scheme"]) for row in rows if row.get("speedup") is not None)
    others = [name for name in found if name != baseline()]
    return next((name for name in (*_HEADLINES, *others) if name in found), None)


def outcome_section(material: Material, rows: Sequence[Row], style: Style) -> Part:
    """Show speedups and times by sublayer or by axis, DRAM traffic by cause, means by scheme, and every row."""
    axes = axes_of(material.frame)
    points = len({_place(row, axes) for row in rows})
    charts: list[Part] = []
    if axes or points > _MOST_GROUPS:
        charts += [_over(material, name, style) for name in axes if _varies(material, name)]
    elif rows:
        charts += [_by_sublayer(material, rows, style), _traffic(material, rows)]
    tables = [_means(material, rows), _every(material, rows, axes, "Every result", _SHOWN)] if rows else []
    # Results of a version that did not count have a busiest link at most.
    if any(row.get("wire_bytes") is not None for row in rows):
        tables.append(_every(material, rows, axes, "What the hardware of a GPU did", _HARDWARE))
    lead = "A mark a scheme. Hollow marks are ideals, which no machine runs: bounds to measure the others by."
    return section("results", "Speedups, times and traffic", lead, [part for part in charts if part["views"]] + tables)


def _place(row: Row, axes: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("system", "model", "tp", "phase", "sublayer", "M", *axes))


def _value(row: Row, name: str, factor: float) -> float | None:
    value = row.get(name)
    return None if value is None else float(value) * factor


def _axis(name: str) -> str:
    heading, unit, _, _ = _SHOWN[name]
    return f"{heading} ({unit})"


def _table_command(material: Material, rows: str, metric: str, agg: str = "geomean") -> str:
    return f"t3sim table {material.place} --rows {rows} --cols scheme --metric {metric} --agg {agg}"


def _by_sublayer(material: Material, rows: Sequence[Row], style: Style) -> Part:
    points: dict[str, dict[str, Row]] = {}
    name_of = namer(rows)
    for row in rows:
        points.setdefault(f"{workload_name(row)} {name_of(row)}", {})[row["scheme"]] = row
    shared = any(name_of(row) != row["sublayer"] for row in rows)
    labels = f"model,tp,{'phase,' if shared else ''}sublayer"
    views = []
    for metric in _CHARTED:
        lines = [
            series(name, [_value(found.get(name, {}), metric, _SHOWN[metric][3]) for found in points.values()], **look)
            for name, look in style.items()
            if not (metric in {"speedup", "dram_reduction"} and name == baseline())
        ]
        lines = [line for line in lines if any(value is not None for value in line["values"])]
        if lines:
            # Every cell of this table is one row: any aggregate gives its value.
            command = _table_command(material, labels, metric, "mean")
            more = {"reference": 1} if metric == "speedup" else {}
            views.append(view(_SHOWN[metric][0], _axis(metric), list(points), lines, command=command, **more))
    return chart("dots", "By sublayer", views, material.command)


def _traffic(material: Material, rows: Sequence[Row]) -> Part:
    views = []
    name_of = namer(rows)
    for name in dict.fromkeys(map(workload_name, rows)):
        chosen = [row for row in rows if workload_name(row) == name and row.get("dram_total_bytes")]
        lines = [
            series(cause, [float(row[key] or 0) / _MIB for row in chosen], color, shade=shade)
            for key, (cause, color, shade) in _CAUSES.items()
        ]
        groups = [f"{name_of(row)} · {row['scheme']}" for row in chosen]
        if groups:
            views.append(
                view(name, "DRAM traffic of a GPU (MiB)", groups, [line for line in lines if any(line["values"])])
            )
    return chart("stack", "DRAM traffic by cause", views, material.command)


def _varies(material: Material, name: str) -> bool:
    return not name.endswith(".note") and len(set(material.frame[name])) > 1


def _over(material: Material, name: str, style: Style) -> Part:
    """Show metrics over one axis of a sweep, as means over all other axes and sublayers."""
    frame = material.frame
    across = quantity(frame, name)
    places = dict(zip(frame[name].astype(str), across.numbers, strict=True)) if across is not None else {}
    views = []
    for metric in _CHARTED:
        agg = "geomean" if metric == "speedup" else "mean"
        found = pivot(frame, [name], ["scheme"], metric, agg)
        labels = list(dict.fromkeys(row[0] for row, _ in found.cells if row))
        factor = _SHOWN[metric][3]
        lines = []
        for scheme, look in style.items():
            cells = [found.cells.get(((label,), (scheme,))) for label in labels]
            if any(cells) and not (metric in {"speedup", "dram_reduction"} and scheme == baseline()):
                lines.append(series(scheme, [cell.value * factor if cell else None for cell in cells], **look))
        if lines:
            xs = [as_json(places[label]) for label in labels] if places else None
            label = across.label if across is not None else name
            command = (
                f"t3sim plot {material.place} --x {shlex.quote(name)} --metric {metric} --agg {agg} --out figure.png"
            )
            command += "" if xs else " --kind bar"
            title, axis = f"{_SHOWN[metric][0]}, {agg}", f"{_axis(metric)}, {agg}"
            views.append(view(title, axis, labels, lines, xs=xs, x_axis=label, command=command))
    return chart("lines" if places else "dots", f"Over {name}", views, material.command)


def _means(material: Material, rows: Sequence[Row]) -> Part:
    columns = [
        column("scheme"),
        column("rows", "n", digits=0),
        *(column(name, "x sequential", "over all rows of the scheme", 3) for name in ("geomean", "min", "max")),
        column("DRAM saved, mean", "%", GLOSSARY["dram_reduction"].meaning, 1),
    ]
    found = []
    for scheme in dict.fromkeys(row["scheme"] for row in rows):
        chosen = [row for row in rows if row["scheme"] == scheme and row.get("speedup") is not None]
        speedups = [float(row["speedup"]) for row in chosen]
        saved = [float(row["dram_reduction"]) * 100 for row in chosen if row.get("dram_reduction") is not None]
        if speedups:
            means = [len(speedups), geomean(speedups), min(speedups), max(speedups)]
            found.append([scheme, *means, sum(saved) / len(saved) if saved else None])
    command = f"t3sim table {material.place} --rows '' --cols scheme --metric speedup"
    return table("Speedup by scheme", columns, found, command)


def _every(
    material: Material,
    rows: Sequence[Row],
    axes: Sequence[str],
    caption: str,
    of: Mapping[str, tuple[str, str, int, float]],
) -> Part:
    """Show the columns ``of`` the results, a line a row; those that are empty in every row are left out."""
    labels = [name for name in ("system", "model", "tp", "phase", "sublayer", "scheme", *axes) if name in rows[0]]
    several = [name for name in labels if name in {"sublayer", "scheme"} or len({row[name] for row in rows}) > 1]
    shown = {name: look for name, look in of.items() if any(row.get(name) is not None for row in rows)}
    columns = [column(name, meaning=_meaning(name), choose=True) for name in several]
    columns += [column(title, unit, _meaning(name), digits) for name, (title, unit, digits, _) in shown.items()]
    return table(
        caption,
        columns,
        [
            [*(row[name] for name in several), *(_value(row, name, look[3]) for name, look in shown.items())]
            for row in rows
        ],
        material.command,
    )


def _meaning(name: str) -> str:
    return f"{name}: {GLOSSARY[name].meaning}" if name in GLOSSARY else "axis of the sweep"
