"""Tables of results for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from t3sim.results import Row, RunResult, geomean
from t3sim.results.published import EvaluatedTarget
from t3sim.results.schemes import baseline, is_ideal
from t3sim.results.sublayers import namer

_MIB = 2**20


def result_table(result: RunResult) -> Table:
    """One line per sublayer and scheme: times, speedup, share of the ideal, DRAM traffic."""
    table = Table(title=_title(result), title_justify="left")
    for name in ("model", "tp", "sublayer", "scheme"):
        table.add_column(name)
    numbers = ("GEMM us", "RS us", "AG us", "total us", "speedup", "% of ideal", "DRAM MiB", "DRAM saved")
    with_data = any(row.get("data_errors") is not None for row in result.rows)
    for name in (*numbers, *(("#wrong",) if with_data else ())):
        table.add_column(name, justify="right")
    tuned = any(row.get("tuned") for row in result.rows)
    if tuned:
        table.add_column("untuned us", justify="right")
        table.add_column("tuned")
    before, name_of = None, namer(result.rows)
    for row in result.rows:
        point = (row["model"], row["tp"], row["phase"], row["sublayer"])
        if before is not None and point != before:
            table.add_section()
        labels = ("", "", "") if point == before else (row["model"], str(row["tp"]), name_of(row))
        wrong = (_or_blank(row["data_errors"], "{}"),) if with_data else ()
        own = (_or_blank(row.get("untuned_us"), "{:.1f}"), row.get("tuned") or "") if tuned else ()
        table.add_row(*labels, row["scheme"], *_measures(row), *wrong, *own)
        before = point
    return table


def sublayer_table(result: RunResult) -> Table:
    """One line per sublayer: time of the baseline, speedup of every scheme, DRAM traffic saved."""
    base = baseline()
    schemes = [name for name in dict.fromkeys(row["scheme"] for row in result.rows) if name != base]
    runnable = [name for name in schemes if not is_ideal(name)]
    table = Table(title=_title(result), title_justify="left")
    for name in ("model", "tp", "sublayer"):
        table.add_column(name)
    for name in (f"{base} us", *schemes, f"DRAM MiB, {base}"):
        table.add_column(name, justify="right")
    for name in runnable:
        table.add_column(f"saved, {name}", justify="right")
    name_of = namer(result.rows)
    for rows in _by_sublayer(result).values():
        first = next(iter(rows.values()))
        before = rows[base]
        cells = [
            first["model"],
            str(first["tp"]),
            name_of(first),
            _or_blank(before["total_us"], "{:.1f}"),
        ]
        cells += [_or_blank(rows[name]["speedup"], "{:.3f}") for name in schemes]
        total = before["dram_total_bytes"]
        cells.append("" if total is None else f"{total / _MIB:.1f}")
        cells += [_or_blank(rows[name]["dram_reduction"], "{:.1%}") for name in runnable]
        table.add_row(*cells, end_section=first["sublayer"] == "ip")
    return table


def summary_table(
    result: RunResult, title: str = "speedup over sequential", published: Mapping[tuple[str, str], float] | None = None
) -> Table:
    """One line per scheme: geomean, smallest and largest speedup, and DRAM traffic saved.

    ``published``: reported speedups by (scheme, ``geomean`` or ``max``), each shown beside the simulated one.
    """
    ok = [row for row in result.rows if row["status"] == "ok" and row["speedup"] is not None]
    table = Table(title=title, title_justify="left")
    table.add_column("scheme")
    beside = ("published",) if published is not None else ()
    for name in ("n", "geomean", *beside, "min", "max", *beside, "DRAM saved, geomean", "max"):
        table.add_column(name, justify="right")
    for scheme in dict.fromkeys(row["scheme"] for row in ok):
        rows = [row for row in ok if row["scheme"] == scheme]
        speedups = [row["speedup"] for row in rows]
        saved = [row["dram_reduction"] for row in rows]
        cells = [str(len(rows)), f"{geomean(speedups):.3f}", f"{min(speedups):.3f}", f"{max(speedups):.3f}"]
        if published is not None:
            cells.insert(2, _or_blank(published.get((scheme, "geomean")), "{:.2f}"))
            cells.append(_or_blank(published.get((scheme, "max")), "{:.2f}"))
        cells += [f"{geomean(saved):.1%}", f"{max(saved):.1%}"] if min(saved) > 0 else ["", ""]
        table.add_row(scheme, *cells)
    if result.failed:
        table.caption = f"{len(result.failed)} failed rows left out"
    return table


def speedup_by_tokens(result: RunResult) -> Table:
    """One line per sublayer and size: speedup of every scheme over sequential."""
    schemes = list(dict.fromkeys(row["scheme"] for row in result.rows))
    table = Table(title=_title(result), title_justify="left")
    for name in ("model", "tp", "sublayer"):
        table.add_column(name)
    for name in ("tokens", *schemes):
        table.add_column(name, justify="right")
    sizes: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in result.rows:
        sizes.setdefault((row["model"], row["tp"], row["sublayer"], row["M"]), {})[row["scheme"]] = row
    for (model, tp, sublayer, tokens), rows in sizes.items():
        speedups = (_or_blank(rows[name]["speedup"], "{:.3f}") for name in schemes)
        table.add_row(model, str(tp), sublayer, str(tokens), *speedups)
    return table


def target_table(targets: Sequence[EvaluatedTarget]) -> Table:
    """One line per published figure, with the simulated one beside it, and that of the system calibrated on them."""
    table = Table(title="published against simulated", title_justify="left")
    for name in ("figure", "set"):
        table.add_column(name)
    for name in ("published", "simulated", "error", "calibrated"):
        table.add_column(name, justify="right")
    table.add_column("use")
    for target in targets:
        simulated = target.status if target.simulated is None else f"{target.simulated:.3f}"
        error, calibrated = _or_blank(target.error, "{:+.3f}"), _or_blank(target.calibrated, "{:.3f}")
        table.add_row(target.id, target.set, f"{target.published:.2f}", simulated, error, calibrated, target.use)
    return table


def collective_table(rows: Sequence[Row], manifest: Mapping[str, Any]) -> Table:
    """One line per size of a collective alone, with the columns that nccl-tests has, and what binds it.

    Where several seeds were run, the time is the median, and the smallest and the 99th percentile stand beside it.
    Where sizes take several algorithms, each line names its own.
    """
    first = rows[0]
    algorithms = dict.fromkeys(row["algorithm"] for row in rows)
    what = f"{first['op']}, {' or '.join(algorithms)} on {first['topology']}, {first['gpus']} GPUs"
    what += f", {first['seeds']} seeds" if first["seeds"] > 1 else ""
    table = Table(title=f"{what}; {_systems(manifest)}", title_justify="left")
    spread = {"time_us_min": "min us", "time_us_p99": "p99 us"} if first["seeds"] > 1 else {}
    times = {"time_us": "time us", **spread}
    numbers = ("algbw GB/s", "busbw GB/s", "#wrong", "wire B, busiest link", "link util")
    for name in ("size B", *times.values(), *numbers):
        table.add_column(name, justify="right")
    table.add_column("bound")
    if len(algorithms) > 1:
        table.add_column("algorithm")
    for row in rows:
        cells = (
            str(row["bytes"]),
            *(f"{row[name]:.2f}" for name in times),
            _or_blank(row["algbw_gbps"], "{:.2f}"),
            _or_blank(row["busbw_gbps"], "{:.2f}"),
            "N/A" if row["data_errors"] is None else str(row["data_errors"]),
            str(row["wire_bytes_max"]),
            f"{row['link_util']:.1%}",
        )
        named = (row["algorithm"],) if len(algorithms) > 1 else ()
        table.add_row(*cells, row["bound"] or "", *named)
    return table


def gemm_table(row: Row, manifest: Mapping[str, Any]) -> Table:
    """One GEMM alone: its kernel, what it takes, and what binds it."""
    shape = f"{row['M']} x {row['N']} x {row['K_local']} {row['dtype']}"
    table = Table(title=f"GEMM {shape} alone on one GPU; {_systems(manifest)}", title_justify="left")
    cells = {
        "macro-tile": f"{row['tile_m']} x {row['tile_n']}",
        "split K": str(row["split_k"]),
        "workgroups": str(row["workgroups"]),
        "stages": str(row["stages"]),
        "time us": f"{row['time_us']:.2f}",
        "written us": f"{row['written_us']:.2f}",
        "TFLOP/s": f"{row['tflops']:.1f}",
        "of peak": f"{row['peak_share']:.1%}",
        "DRAM read MiB": f"{row['dram_read_bytes'] / 2**20:.1f}",
        "DRAM write MiB": f"{row['dram_write_bytes'] / 2**20:.1f}",
        "bound": row["bound"] or "",
    }
    for name in cells:
        table.add_column(name, justify="left" if name == "bound" else "right")
    table.add_row(*cells.values())
    return table


def _by_sublayer(result: RunResult) -> dict[tuple[Any, ...], dict[str, Row]]:
    points: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in result.rows:
        key = (row["model"], row["tp"], row["phase"], row["sublayer"])
        points.setdefault(key, {})[row["scheme"]] = row
    return points


def _title(result: RunResult) -> str:
    return _systems(result.manifest)


def _systems(manifest: Mapping[str, Any]) -> str:
    systems = ", ".join(f"{name} ({config})" for name, config in manifest["systems"].items())
    return f"system {systems}, t3sim {manifest['t3sim']}"


def _measures(row: Row) -> list[str]:
    if row["status"] != "ok":
        return [f"{row['error_type']}", *("",) * 7]
    return [
        *(f"{row[name]:.1f}" for name in ("gemm_us", "rs_us", "ag_us", "total_us")),
        _or_blank(row["speedup"], "{:.3f}"),
        _or_blank(row["pct_of_ideal"], "{:.0f}"),
        f"{row['dram_total_bytes'] / _MIB:.1f}",
        _or_blank(row["dram_reduction"], "{:.1%}"),
    ]


def _or_blank(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)


def validation_table(summaries: Sequence[Row]) -> Table:
    """One line per group, quantity and size band: count, mean and geomean error, bias, worst case."""
    table = Table(title="simulated against reference: relative errors", title_justify="left")
    for name in ("against", "group", "quantity", "band"):
        table.add_column(name)
    for name in ("n", "mean", "geomean", "bias", "worst"):
        table.add_column(name, justify="right")
    table.add_column("worst case")
    sides = any(row["same_side"] is not None for row in summaries)
    if sides:
        table.add_column("right side of 1", justify="right")
    for row in summaries:
        errors = (f"{row['mean_error']:.1%}", f"{row['geomean_error']:.1%}", f"{row['bias']:+.1%}")
        labels = (row["against"], row["group"], row["quantity"], row["band"])
        side = "" if row["same_side"] is None else f"{row['same_side']} of {row['n']}"
        last = (row["worst_case"], side) if sides else (row["worst_case"],)
        table.add_row(*labels, str(row["n"]), *errors, f"{row['worst_error']:+.1%}", *last)
    return table
