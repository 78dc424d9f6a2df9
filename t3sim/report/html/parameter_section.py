"""The parameters of the systems, each with its source."""

from collections.abc import Iterator, Sequence
from typing import Any

from t3sim import units
from t3sim.report.html.material import Material
from t3sim.report.html.parts import Part, column, section, table
from t3sim.results.provenance import Provenance, provenance

_TITLE = "The system's parameters"
_HEADER = {"format", "version", "extends", "name", "description"}


def parameter_section(material: Material, axes: Sequence[str]) -> Part:
    """List every parameter: value, unit, source, and class (how it is known)."""
    if not material.systems:
        lead = "The configuration of these results is not among the systems that t3sim ships, and not in the folder."
        return section("parameters", _TITLE, lead, missing="t3sim run TRACE --system FILE --out FOLDER")
    changed = [name.removeprefix("system.") for name in axes if name.startswith("system.")]
    lead = "Class says how a value is known: " + ", ".join(_CLASSES) + "."
    if not material.systems_as_run:
        over = f" on the axes {', '.join(changed)}" if changed else ""
        lead += f" These are the values as shipped; the results were made with other ones too{over}."
    columns = [
        column("parameter", meaning="dotted key, as --set takes it"),
        column("value"),
        column("unit"),
        column("class", choose=True),
        column("source"),
    ]
    tables = [
        table(f"{data.get('name', '')}: {data.get('description', '')}", columns, list(_rows(data)))
        for data in material.systems
    ]
    return section("parameters", _TITLE, lead, tables)


_CLASSES = (
    "paper (the publication says it)",
    "datasheet",
    "measured",
    "calibrated (chosen with a published figure in view)",
    "assumed",
    "derived (from other values)",
)


def _rows(data: dict[str, Any]) -> Iterator[list[str]]:
    origins = provenance(data)
    for path, value in _leaves({key: item for key, item in data.items() if key not in _HEADER}, ()):
        key = ".".join(path)
        origin = origins.get(key, Provenance("", ""))
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        unit = units.unit_of(text)
        yield [key, text.removesuffix(unit).strip() if unit else text, unit, origin.kind, origin.source]


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict) and "class" in node and "value" in node:
        yield path, node["value"]
    elif isinstance(node, dict):
        for key, item in node.items():
            yield from _leaves(item, (*path, str(key)))
    else:
        yield path, node
