"""Published figures beside simulated ones."""

from t3sim.report.html.material import Material
from t3sim.report.html.parts import Part, chart, column, section, series, table, view
from t3sim.results.published import EvaluatedTarget

_TITLE = "Published against simulated"


def published_section(material: Material) -> Part:
    """Show each published figure with the simulated one, and list those that are not modelled."""
    targets = material.run.targets
    if not targets:
        lead = "These results are not those of the published experiments."
        return section("published", _TITLE, lead, missing="t3sim reproduce --out out/reproduction")
    good = [target for target in targets if target.simulated is not None]
    views = [
        _view(name, [target for target in good if target.set == name]) for name in dict.fromkeys(t.set for t in good)
    ]
    columns = [
        column("figure"),
        column("set", meaning="which of the published experiments", choose=True),
        column("published", "1", digits=2),
        column("simulated", "1", digits=3),
        column("error", "1", "simulated - published", 3),
        column("calibrated", "1", "the same of the system that is calibrated on the publication", 3),
        column(
            "use", meaning="predict: had to come out by itself; calibrate: a parameter was chosen with it", choose=True
        ),
        column("status", choose=True),
    ]
    rows = [[t.id, t.set, t.published, t.simulated, t.error, t.calibrated, t.use, t.status] for t in targets]
    lead = f"Source: {material.run.source}." if material.run.source else ""
    parts = [
        chart("dots", "Each figure, published and simulated", views, material.command),
        table("Every figure", columns, rows, material.command),
    ]
    return section("published", _TITLE, lead, parts)


def _view(name: str, targets: list[EvaluatedTarget]) -> Part:
    lines = [
        series("published", [target.published for target in targets], 5, hollow=True),
        series("simulated", [target.simulated for target in targets], 0),
    ]
    return view(
        name, "ratio or share, as the figure's name says (1)", [target.id for target in targets], lines, join=True
    )
