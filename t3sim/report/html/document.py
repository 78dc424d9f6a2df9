"""A report as plain data: the answer first, then what it rests on. The page draws it; nothing here knows HTML."""

from collections.abc import Sequence
from typing import Any

from t3sim.report.html.loss_section import loss_section
from t3sim.report.html.material import Material
from t3sim.report.html.outcome_section import axes_of, headline_scheme, outcome_section
from t3sim.report.html.parameter_section import parameter_section
from t3sim.report.html.parts import Part, as_json, column, scheme_style, section, table
from t3sim.report.html.published_section import published_section
from t3sim.report.html.timeline_section import timeline_section
from t3sim.results import Row, geomean
from t3sim.results.schemes import scheme_info
from t3sim.results.sublayers import namer


def build(material: Material) -> dict[str, Any]:
    """Lay the report out: title, facts, and sections with charts and tables; the same material gives the same data."""
    rows = [{str(key): as_json(value) for key, value in row.items()} for row in material.frame.to_dict("records")]
    good = [row for row in rows if row["status"] == "ok"]
    schemes = list(dict.fromkeys(str(row["scheme"]) for row in rows))
    style = scheme_style(schemes)
    return {
        "title": _answer(good),
        "question": "How much faster do Transformer sublayers get when their reduce-scatter hides behind the GEMM "
        "that produces its data, and what holds the rest back?",
        "facts": _facts(material, rows),
        "command": material.command,
        "notes": material.run.manifest.notes,
        "sections": [
            outcome_section(material, good, style),
            *_failures(rows),
            published_section(material),
            loss_section(material),
            timeline_section(material),
            parameter_section(material, axes_of(material.frame)),
        ],
    }


def _answer(rows: Sequence[Row]) -> str:
    scheme = headline_scheme(rows)
    if scheme is None:
        return f"t3sim results, rows: {len(rows)}"
    speedups = [float(row["speedup"]) for row in rows if row["scheme"] == scheme and row["speedup"] is not None]
    name = scheme_info(scheme).label
    if len(speedups) == 1:
        return f"{name} makes this sublayer {speedups[0]:.2f}x as fast"
    return f"{name} makes these sublayers {geomean(speedups):.2f}x as fast (geomean of {len(speedups)})"


def _facts(material: Material, rows: Sequence[Row]) -> list[list[str]]:
    def named(key: str) -> str:
        return ", ".join(dict.fromkeys(str(row[key]) for row in rows if row.get(key) not in {None, ""}))

    ok = sum(row["status"] == "ok" for row in rows)
    facts = [
        ["results", f"{len(rows)} rows" + (f", {len(rows) - ok} of them failed" if ok < len(rows) else "")],
        ["system", named("system")],
        ["models", named("model")],
        ["GPUs (TP)", named("tp")],
        ["schemes", named("scheme")],
        ["t3sim", named("version")],
        ["configuration", _short(named("config_hash"))],
        ["from", material.place],
    ]
    return [fact for fact in facts if fact[1]]


def _short(hashes: str) -> str:
    count = hashes.count(",") + 1
    return f"{count} different ones" if count > 1 else hashes


def _failures(rows: Sequence[Row]) -> list[Part]:
    failed = [row for row in rows if row["status"] != "ok"]
    if not failed:
        return []
    names = ("model", "tp", "sublayer", "scheme", "error_type", "error_message")
    name_of = namer(rows)
    lines = [{**row, "sublayer": name_of(row)} for row in failed]
    shown = table("Failed rows", [column(name) for name in names], [[row.get(name) for name in names] for row in lines])
    return [section("failed", f"{len(failed)} rows failed", "They are in no chart and no mean.", [shown])]
