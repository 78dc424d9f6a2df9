"""Tables of whole iterations: what each scheme takes, and which kernels take it."""

from collections.abc import Sequence

from rich.table import Table

from t3sim.results import Row
from t3sim.results.schemes import scheme_info

_AFTER_KINDS = "optimizer_ms"
"""Column after which those of kinds of kernels stand."""


def iteration_table(rows: Sequence[Row]) -> Table:
    """Show time, rate and speedup of an iteration under each scheme."""
    first = rows[0]
    table = Table(
        title=f"{first['model']}, {first['phase']} on {first['gpus']} {first['system']}", title_justify="left"
    )
    table.add_column("scheme")
    for name in ("time (ms)", "speedup", "tokens/s/GPU", "MFU", "communication added", "by itself (ms)"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            scheme_info(str(row["scheme"])).label,
            f"{row['total_ms']:.4g}",
            f"{row['speedup']:.3f}",
            f"{row['tokens_per_s_gpu']:.4g}",
            f"{row['mfu']:.1%}",
            f"{row['communication_share']:.1%}",
            f"{row['communication_alone_ms']:.4g}",
        )
    return table


def kinds_table(rows: Sequence[Row]) -> Table:
    """Show where the time of the busiest stage goes, by kind of kernel, and what comes beside it."""
    names = list(rows[0])
    kinds = names[names.index(_AFTER_KINDS) + 1 :]
    beside = ("bubble_ms", "gradients_ms", "optimizer_ms")
    shown = [name for name in (*kinds, *beside) if any(row.get(name) for row in rows)]
    table = Table(title="where the time goes (ms)", title_justify="left")
    table.add_column("")
    for row in rows:
        table.add_column(scheme_info(str(row["scheme"])).label, justify="right")
    for name in sorted(shown, key=lambda name: -float(rows[0].get(name) or 0)):
        times = [float(row.get(name) or 0) for row in rows]
        table.add_row(
            name.removesuffix("_ms").replace("_", " "),
            *(f"{time:.4g} ({time / float(row['total_ms']):.0%})" for time, row in zip(times, rows, strict=True)),
        )
    return table


def latency_table(rows: Sequence[Row]) -> Table:
    """Show what each part of each layer takes; layers that follow each other and are alike share a line."""
    table = Table(title="forward, us", title_justify="left")
    table.add_column("layers")
    for name in list(rows[0])[1:]:
        table.add_column(name.removesuffix("_us"), justify="left" if name == "part" else "right")
    for first, last, parts in _alike(rows):
        for part in parts:
            layers = str(first) if first == last else f"{first}-{last}"
            table.add_row(layers, *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in part))
    return table


def _alike(rows: Sequence[Row]) -> list[tuple[int, int, list[tuple[object, ...]]]]:
    """Put layers together that follow each other and have equal rows: first, last, what each row has but its layer."""
    by_layer: dict[int, list[tuple[object, ...]]] = {}
    for row in rows:
        by_layer.setdefault(int(row["layer"]), []).append(tuple(list(row.values())[1:]))
    found: list[tuple[int, int, list[tuple[object, ...]]]] = []
    for layer, parts in by_layer.items():
        if found and found[-1][1] == layer - 1 and found[-1][2] == parts:
            found[-1] = (found[-1][0], layer, parts)
        else:
            found.append((layer, layer, parts))
    return found
