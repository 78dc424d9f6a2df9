"""Where the time went: loss buckets of every scheme, and what would help."""

from t3sim.report.html.material import Explained, ExplanationFile, Material
from t3sim.report.html.parts import Part, chart, column, point_name, section, series, table, view
from t3sim.results.losses import BUCKETS, Bucket
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
    points: dict[str, list[Explained]] = {}
    for row in found.rows:
        points.setdefault(_point(row), []).append(row)
    command = found.manifest.command
    views = [_view(name, rows) for name, rows in points.items()]
    parts = [chart("stack", "Loss buckets", views, command), _table(found), *_what_if(found)]
    lead = "The buckets of a run add up to its time. Colours say what binds; negative lengths are gains or overlap."
    return section("losses", _TITLE, lead, parts)


def _point(row: Explained) -> str:
    return point_name({"model": row.model, "tp": row.tp, "sublayer": row.sublayer})


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


def _table(found: ExplanationFile) -> Part:
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
            _point(row),
            row.scheme,
            bucket.name,
            bucket.bound,
            length,
            100 * FS_PER_US * length / row.total_fs,
            bucket.meaning,
        ]
        for row in found.rows
        for bucket in BUCKETS
        if (length := row.bucket_us(bucket.name))
    ]
    return table("Every bucket", columns, rows, found.manifest.command)


def _what_if(found: ExplanationFile) -> list[Part]:
    columns = [
        column("sublayer", choose=True),
        column("scheme", choose=True),
        column("changed to"),
        column("was"),
        column("total", "us", digits=1),
        column("time saved", "%", "against the run as configured", 1),
    ]
    rows = [
        [_point(row), row.scheme, each.assignment, each.before, each.total_fs / FS_PER_US, 100 * each.saved]
        for row in found.rows
        for each in row.what_if
    ]
    return (
        [table("What would help: one parameter changed, run again", columns, rows, found.manifest.command)]
        if rows
        else []
    )
