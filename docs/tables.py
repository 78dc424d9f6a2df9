"""Rewrites the tables of README and docs that stand between markers.

    python docs/tables.py                    # all of them: minutes
    python docs/tables.py parameters choices # only these kinds

A table is what its marker says, ``<!-- table: KIND WHAT -->`` to ``<!-- end -->``:

- ``parameters PATH of SYSTEM``: the keys of one part of a system, from its spec and its file;
- ``choices KIND``: what is registered under a name of its own;
- ``keys``: the keys of a model's file, from its spec;
- ``models``: the shipped models with their parameters, and how Hugging Face's types are taken: ``models hugging-face``;
- ``reproduce``: published figures beside simulated ones;
- ``validate`` and ``validate all``: errors against references, by group and by band;
- ``sides``: measured overlap whose gain or loss comes out as the other;
- ``explain TRACE SUBLAYER``: where the time went, in us, under the schemes that a machine can run;
- ``sweep NAME``: speedups from ``out/NAME``, which ``t3sim sweep NAME`` makes;
- ``slowdown NAME``: what each change of such a sweep adds to the time without;
- ``costs NAME by COLUMNS``: times of such a sweep with speedups, DRAM and link traffic.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from t3sim import units, validation
from t3sim.config import Spec
from t3sim.data import models_dir
from t3sim.experiments.explanations import explain
from t3sim.registry import get, names
from t3sim.report.pivot import pivot
from t3sim.results import Row, read_frame
from t3sim.results.comparison import SPEEDUP, Comparison
from t3sim.results.losses import BUCKETS
from t3sim.results.provenance import is_sourced, plain
from t3sim.results.published import EvaluatedTarget
from t3sim.simulation import load_system
from t3sim.simulation.run import DEFAULT_SYSTEM
from t3sim.studies import load_published, reproduce
from t3sim.units import FS_PER_US
from t3sim.workload.hugging_face_families import FAMILIES
from t3sim.workload.model_sizes import parameters as model_parameters
from t3sim.workload.models import ModelSpec, load_model

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
BLOCK = re.compile(r"<!-- table: (?P<kind>\w+)(?: (?P<what>[^\n]+?))? -->\n(?P<body>(?:\|[^\n]*\n)*)<!-- end -->")
ALL = "all"
POOLED = ("ring", "dram", "network", "contention")
"""Families of which the short table gives one line a quantity: groups agree well, or are of few figures."""
TOSS_UP = 0.05
"""Measured speedups this near to 1 may fall on either side: bars are read within 0.02, and times vary as much."""
_DIMENSIONS = {item.example: item for item in (units.SIZE, units.RATE, units.DURATION, units.FREQUENCY)}


class Parameter(NamedTuple):
    """One key of a spec, as a page shows it."""

    key: str
    meaning: str
    unit: str
    value: str
    source_class: str
    source: str


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


# Parameters


def located(what: str) -> tuple[Spec, dict[str, Any]]:
    """Find ``PATH of SYSTEM``: the spec, and the data with sources that it was read from."""
    path, system = what.split(" of ")
    loaded = load_system(system)
    spec: Any = loaded.spec
    node: Any = loaded.resolved
    for key in path.split("."):
        spec = spec[key] if isinstance(spec, dict) else getattr(spec, key)
        node = node[key]
    return spec, node


def parameters(what: str) -> list[Parameter]:
    """List the keys of a spec with their values in a system; those of specs inside it have tables of their own."""
    spec, node = located(what)
    return list(_keys(type(spec), node, ""))


def _keys(spec: type[Spec], node: dict[str, Any], prefix: str) -> Iterator[Parameter]:
    schemas = spec.model_json_schema()["properties"]
    for attribute, field in spec.model_fields.items():
        name = field.alias or attribute
        schema, data = schemas[name], node.get(name)
        if "const" in schema or (is_spec(field.annotation) and not isinstance(data, list)):
            continue
        if isinstance(data, list) and (inner := next(specs_in(field.annotation), None)):
            for index, item in enumerate(data):
                yield from _keys(inner, item, f"{prefix}{name}[{index}].")
            continue
        entries = data.items() if isinstance(data, dict) and not is_sourced(data) else [(None, data)]
        for key, entry in entries:
            label = f"`{prefix}{name}`" if key is None else f"`{prefix}{name}.{key}`"
            meaning = schema.get("description", "").replace("``", "`")
            value, kind, source = _written(entry) if name in node else (_text(field.default), "default", "")
            yield Parameter(label, meaning, _unit(schema, prefix + name), value, kind, source)


def _written(entry: Any) -> tuple[str, str, str]:
    if is_sourced(entry):
        return _text(plain(entry)), entry["class"], entry["source"]
    return _text(entry), "", ""


def _text(value: Any) -> str:
    names_of = {None: "none", (): "none", True: "yes", False: "no"}
    return names_of[value] if value is None or value == () or isinstance(value, bool) else f"{value}"


def _unit(schema: dict[str, Any], key: str) -> str:
    """Name what a value is counted in."""
    form = next((part for part in schema.get("anyOf", ()) if part["type"] != "null"), schema)
    if form.get("examples"):
        return {"size": "B", "rate": "B/s", "duration": "time"}.get(name := _DIMENSIONS[form["examples"][0]].name, name)
    if form.get("type") == "object":
        form = form["additionalProperties"]
    if re.fullmatch(r"n[A-Z]\w+|act_cycles", key):
        return "cycles"
    if form.get("type") == "number":
        return "share" if form.get("maximum") == 1 else "factor"
    return {"integer": "count", "boolean": "yes or no", "array": "list"}.get(form.get("type", ""), "name")


def specs_in(annotation: Any) -> Iterator[type[Spec]]:
    """Yield the specs that a type names."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
    for part in get_args(annotation):
        yield from specs_in(part)


def is_spec(annotation: Any) -> bool:
    """Whether values of a type are specs or hold them."""
    return next(specs_in(annotation), None) is not None


def _parameter_table(what: str) -> str:
    header = ("key", "meaning", "unit", f"`{what.split(' of ')[1]}`", "class", "source")
    return markdown(header, parameters(what))


def _choice_table(kind: str) -> str:
    rows = []
    for name in names(kind):
        chosen = get(kind, name)
        path = chosen.__module__.replace(".", "/") + ".py"
        rows.append((f"`{name}`", chosen.__doc__.splitlines()[0].replace("``", "`"), f"[{path}](../../{path})"))
    return markdown(("name", "rule", "file"), rows)


# Models


def model_keys(spec: type[Spec] = ModelSpec, prefix: str = "") -> list[tuple[str, str, str]]:
    """List the keys of a model's file: key, meaning, default."""
    rows = []
    schemas = spec.model_json_schema()["properties"]
    for name, field in spec.model_fields.items():
        inner = next(specs_in(field.annotation), None)
        if inner is not None:
            section = (inner.__doc__ or "").splitlines()[0]
            rows += [(f"`{prefix}{name}`", section, "none"), *model_keys(inner, f"{prefix}{name}.")]
            continue
        default = "needed" if field.is_required() else _text(field.get_default(call_default_factory=True) or None)
        if field.default is False or field.default == 0:
            default = _text(field.default)
        meaning = " ".join(schemas[name].get("description", "").replace("``", "`").split())
        rows.append((f"`{prefix}{name}`", meaning, default))
    return rows


def _keys_table(_what: str) -> str:
    return markdown(("key", "meaning", "default"), model_keys())


def _models_table(what: str) -> str:
    return _families_table() if what == "hugging-face" else _shipped_models_table()


def _shipped_models_table() -> str:
    rows = []
    specs = [load_model(path.stem, folder=models_dir()).spec for path in sorted(models_dir().glob("*.yaml"))]
    for model in sorted(specs, key=model_parameters):
        heads = f"{model.heads}" + (f" ({model.kv_heads})" if model.kv_heads else "")
        mlp = f"{model.mlp_width} {model.activation}"
        if model.experts is not None:
            shared = f" + {model.experts.shared}" if model.experts.shared else ""
            mlp = f"{model.experts.active}{shared} of {model.experts.count} experts of {model.experts.intermediate}"
        sizes = (f"{model.hidden}", f"{model.layers}", heads, mlp, model.block, f"{model_parameters(model) / 1e9:.1f}")
        rows.append((f"`{model.name}`", *sizes, ", ".join(map(str, model.tp))))
    return markdown(("model", "H", "layers", "heads (of K and V)", "MLP", "block", "10^9 parameters", "TP"), rows)


def _families_table() -> str:
    rows = []
    for name, family in FAMILIES.items():
        block = (
            f"{family.block}, or `parallel` as `{family.parallel_key}` says" if family.parallel_key else family.block
        )
        if name == "opt":
            block = "pre-ln, or post-ln as `do_layer_norm_before` says"
        more = [
            *(["gate"] if family.gated else []),
            *([f"experts as {family.experts} has them"] if family.experts else []),
            *(["latent attention"] if family.latent else []),
            *(["norms of queries and keys"] if family.qk_norm else []),
            *(["learned positions"] if family.positions is not None else []),
        ]
        rows.append((f"`{name}`", block, family.norm, ", ".join(more), "; ".join(family.remarks)))
    return markdown(("`model_type`", "block", "norm", "has", "left out"), rows)


# Results


def reproduce_rows(targets: Sequence[EvaluatedTarget]) -> str:
    """Set each published figure that is modelled beside the simulated one."""
    rows = [
        (
            target.figure,
            target.set,
            f"{target.published:.2f}",
            f"{target.simulated:.3f}",
            f"{target.error:+.3f}",
            f"{target.calibrated:.3f}",
        )
        for target in targets
        if target.status == "ok"
    ]
    return markdown(("figure", "set", "published", "simulated", "error", "calibrated"), rows)


def short(summaries: Sequence[Row]) -> list[Row]:
    """Keep the lines over all bands, and pool the groups of the families that are `POOLED`."""
    lines = [row for row in summaries if row["band"] == ALL]
    pooled: list[Row] = []
    for against, quantity in dict.fromkeys((row["against"], row["quantity"]) for row in lines):
        members = [row for row in lines if (row["against"], row["quantity"]) == (against, quantity)]
        if against not in POOLED:
            pooled += members
            continue
        n = sum(row["n"] for row in members)
        means = {key: sum(row[key] * row["n"] for row in members) / n for key in ("mean_error", "bias")}
        worst = max(members, key=lambda row: abs(row["worst_error"]))
        pooled.append({**worst, "group": f"all {len(members)} groups", "n": n, **means})
    return pooled


def validation_rows(summaries: Sequence[Row]) -> str:
    """One line per group, quantity and band: relative errors of simulated against reference."""
    rows = []
    for row in summaries:
        errors = (f"{row['mean_error']:.1%}", f"{row['bias']:+.1%}", f"{row['worst_error']:+.1%}")
        labels = (row["against"], row["group"], row["quantity"], row["band"].replace("<", "&lt;"))
        rows.append((*labels, str(row["n"]), *errors, row["worst_case"]))
    return markdown(("check", "group", "quantity", "band", "n", "mean error", "bias", "worst", "worst case"), rows)


def side_rows(comparisons: Sequence[Comparison]) -> str:
    """One line per speedup on the wrong side of 1, with the errors of its times, as far as they were published."""
    errors = {(item.group, item.case, item.quantity, item.source): item.error for item in comparisons}
    rows = []
    for item in comparisons:
        if item.quantity != SPEEDUP or item.same_side:
            continue
        before = errors.get((item.group.split(",")[0], item.case, "sequential_us", item.source))
        at_once = errors.get((item.group, item.case, "overlapped_us", item.source))
        cells = ("" if error is None else f"{error:+.0%}" for error in (before, at_once))
        toss_up = "yes" if abs(item.reference - 1) <= TOSS_UP else ""
        speedups = f"{item.reference:.2f}", f"{item.simulated:.2f}"
        rows.append((item.group, item.case, item.band, *speedups, toss_up, *cells))
    header = ("stack", "pair", "band", "measured", "simulated", "within 5% of 1")
    return markdown((*header, "error one after the other", "error at once"), rows)


def sweep_rows(results: Path) -> str:
    """Pivot a sweep of single changes: geomean, smallest and largest speedup by scheme."""
    table = pivot(read_frame(results / "results.csv"), ("change", "change.note"), ("scheme",), "speedup", "geomean")
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in table.records():
        cell = f"{row['speedup_geomean']:.3f} ({row['min']:.2f} to {row['max']:.2f})"
        cells.setdefault((row["change"], row["change.note"] or ""), {})[row["scheme"]] = cell
    schemes = list(dict.fromkeys(scheme for row in cells.values() for scheme in row))
    rows = [(change, *(cell.get(name, "") for name in schemes), note) for (change, note), cell in cells.items()]
    return markdown(("change", *schemes, ""), rows)


def cost_rows(results: Path, columns: Sequence[str]) -> str:
    """Pivot a sweep by ``columns``: of each scheme us (speedup), then MB at the DRAM and over links, geomeans."""
    frame = read_frame(results / "results.csv")
    schemes = list(dict.fromkeys(frame["scheme"]))
    found: dict[tuple[Any, ...], dict[str, dict[str, float]]] = {}
    for metric in ("total_us", "speedup", "dram_total_bytes", "link_bytes"):
        for row in pivot(frame, columns, ("scheme",), metric, "geomean").records():
            place = tuple(row[column] for column in columns)
            found.setdefault(place, {}).setdefault(row["scheme"], {})[metric] = row[f"{metric}_geomean"]
    rows = []
    for place, costs in found.items():
        times = [
            f"{cost['total_us']:.0f} ({cost['speedup']:.2f})" if (cost := costs.get(name)) else "" for name in schemes
        ]
        traffic = [
            [f"{costs[name][key] / 10**6:.0f}" for name in schemes if name in costs]
            for key in ("dram_total_bytes", "link_bytes")
        ]
        shown = (" / ".join(cells[:1] if len(set(cells)) == 1 else cells) for cells in traffic)
        rows.append((*map(str, place), *times, *shown))
    return markdown((*columns, *schemes, "DRAM MB", "link MB"), rows)


def _cost_table(what: str) -> str:
    name, columns = what.split(" by ")
    return cost_rows(ROOT / "out" / name, columns.split(","))


def slowdown_rows(results: Path) -> str:
    """Give the times without a change, in us, and what each change adds to them, by sublayer."""
    table = pivot(
        read_frame(results / "results.csv"), ("change", "change.note", "sublayer"), ("scheme",), "total_us", "mean"
    )
    times: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in table.records():
        by_scheme = times.setdefault((row["change"], row["change.note"] or ""), {})
        by_scheme.setdefault(row["scheme"], []).append(row["total_us_mean"])
    usual = next(iter(times.values()))
    rows = [
        [change, *map(_added, by_scheme.values(), usual.values()), note] for (change, note), by_scheme in times.items()
    ]
    rows[0][1:-1] = [" / ".join(f"{time:.1f} us" for time in found) for found in usual.values()]
    return markdown(("change", *usual, ""), rows)


def _added(times: Sequence[float], usual: Sequence[float]) -> str:
    return " / ".join(f"{time / base - 1:+.1%}" for time, base in zip(times, usual, strict=True))


def explain_rows(what: str) -> str:
    """One line per bucket of time that any of the schemes has, in us; then the total, and what would help."""
    trace, sublayer = what.split()
    schemes = ("sequential", "t3", "t3-mca")
    rows = explain(trace, system=DEFAULT_SYSTEM, sublayers=(sublayer,), schemes=schemes).rows()
    lengths = {bucket.name: [row[f"{bucket.name}_fs"] for row in rows] for bucket in BUCKETS}
    lengths = {name: line for name, line in lengths.items() if any(line)} | {"total": [row["total_fs"] for row in rows]}
    body = [(name, *(f"{fs / FS_PER_US:.1f}" if fs else "" for fs in line)) for name, line in lengths.items()]
    helps = (f"`{row['helps_most']}`, {row['helps_most_saves']:.1%} less" for row in rows)
    return markdown(("bucket", *schemes), [*body, ("helps most", *helps)])


def _reproduce_table(_what: str) -> str:
    published = load_published().spec
    return reproduce_rows(reproduce(published, load_system(DEFAULT_SYSTEM), tuple(published.sets)).targets)


@cache
def _comparisons(name: str) -> list[Comparison]:
    return validation.checks()[name].compare()


@cache
def _summaries() -> tuple[Row, ...]:
    return tuple(row for name in validation.checks() for row in validation.summary(name, _comparisons(name)))


def _validation_table(what: str) -> str:
    return validation_rows(_summaries() if what == ALL else short(_summaries()))


TABLES: dict[str, Callable[[str], str]] = {
    "parameters": _parameter_table,
    "choices": _choice_table,
    "keys": _keys_table,
    "models": _models_table,
    "reproduce": _reproduce_table,
    "validate": _validation_table,
    "sides": lambda _what: side_rows([*_comparisons("overlap"), *_comparisons("sublayers")]),
    "explain": explain_rows,
    "costs": _cost_table,
    "sweep": lambda name: sweep_rows(ROOT / "out" / name),
    "slowdown": lambda name: slowdown_rows(ROOT / "out" / name),
}


def blocks() -> Iterator[tuple[Path, str, str, str]]:
    """Yield every table that stands in a page: page, kind, what, body."""
    for page in PAGES:
        for match in BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield page, match["kind"], match["what"] or "", match["body"]


def rewrite(page: Path, kinds: Sequence[str]) -> None:
    """Make the tables of ``kinds`` in ``page`` anew."""

    def renewed(match: re.Match[str]) -> str:
        kind, what = match["kind"], match["what"] or ""
        if kind not in kinds:
            return match[0]
        head = f"<!-- table: {kind} {what}".rstrip() + " -->\n"
        return f"{head}{TABLES[kind](what)}<!-- end -->"

    text = page.read_text(encoding="utf-8")
    page.write_text(BLOCK.sub(renewed, text), encoding="utf-8")


if __name__ == "__main__":
    for path in PAGES:
        rewrite(path, sys.argv[1:] or tuple(TABLES))
