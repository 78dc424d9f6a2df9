"""Where the time went: loss buckets of every scheme, and what would help."""

from collections.abc import Sequence

from t3sim.report.html.material import Explained, Material
from t3sim.report.html.parts import Part, chart, column, section, series, table, view
from t3sim.results.losses import BUCKETS, Bucket
from t3sim.results.sublayers import shown_names
from t3sim.units import FS_PER_US

_TITLE = "Where the time went"
_COLORS = {"compute": 0, "DRAM": 1, "link": 2, "latency": 3, "": 5}


def loss_section(material: Material) -> Part:
    """Show the loss buckets, which add up to the time of each sublayer and scheme, and what relaxing a part saves."""
    found = material.explanation
    if found is None or not found.rows:
        lead = "Loss buckets split each run's time, to the femtosecond. They are recorded on request."
        command = f"t3sim explain TRACE --sublayer NAME --out {material.place}"
        return section("losses", _TITLE, lead, missing=command)
    names = shown_names((row.phase, row.sublayer) for row in found.rows)
    named = [(f"{row.model} TP {row.tp} {names[row.phase, row.sublayer]}", row) for row in found.rows]
    points: dict[str, list[Explained]] = {}
    for name, row in named:
        points.setdefault(name, []).append(row)
    command = found.manifest.command
    views = [_view(name, rows) for name, rows in points.items()]
    parts = [chart("stack", "Loss buckets", views, command), _table(named, command), *_what_if(named, command)]
    lead = "The buckets of a run add up to its time. Colours say what binds; negative lengths are gains or overlap."
    return section("losses", _TITLE, lead, parts)


def _shades() -> dict[str, int]:
    """Give the buckets of one bound different shades, in their order."""
    seen: dict[str, int] = {}
    shades = {}
    for bucket in BUCKETS:
        shades[bucket.name] = seen.get(bucket.bound, 0)
        seen[bucket.bound] = shades[bucket.name] + 1
    return shades


def _view(name: str, rows: list[Explained]) -> Part:
    shades = _shades()

    def of(bucket: Bucket) -> Part:
        label = f"{bucket.name} ({bucket.bound})" if bucket.bound else bucket.name
        lengths = [row.bucket_us(bucket.name) for row in rows]
        return series(label, lengths, _COLORS[bucket.bound], shade=shades[bucket.name])

    lines = [of(bucket) for bucket in BUCKETS if any(row.bucket_us(bucket.name) for row in rows)]
    return view(name, "time (us)", [row.scheme for row in rows], lines)


def _table(named: Sequence[tuple[str, Explained]], command: str) -> Part:
    columns = [
        column("sublayer", choose=True),
        column("scheme", choose=True),
        column("bucket", choose=True),
        column("bound by", choose=True),
        column("time", "us", digits=3),
        column("share", "% of the run", digits=1),
        column("what it is"),
    ]
    rows = [
        [
            name,
            row.scheme,
            bucket.name,
            bucket.bound,
            length,
            100 * FS_PER_US * length / row.total_fs,
            bucket.meaning,
        ]
        for name, row in named
        for bucket in BUCKETS
        if (length := row.bucket_us(bucket.name))
    ]
    return table("Every bucket", columns, rows, command)


def _what_if(named: Sequence[tuple[str, Explained]], command: str) -> list[Part]:
    columns = [
        column("sublayer", choose=True),
        column("scheme", choose=True),
        column("changed to"),
        column("was"),
        column("total", "us", digits=1),
        column("time saved", "%", "against the run as configured", 1),
    ]
    rows = [
        [name, row.scheme, each.assignment, each.before, each.total_fs / FS_PER_US, 100 * each.saved]
        for name, row in named
        for each in row.what_if
    ]
    return [table("What would help: one parameter changed, run again", columns, rows, command)] if rows else []
