"""Where a value comes from: `key: {value: 16 MiB, source: "vendor sheet, p. 3", class: datasheet}`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

CLASSES: Final = ("paper", "datasheet", "measured", "calibrated", "assumed", "derived")
"""The ways in which a value can be known."""

_Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The source of one value, in words, and which of `CLASSES` it belongs to."""

    source: str
    kind: str


def is_sourced(node: Any) -> bool:
    """Return whether this is a value together with its source, and not a mapping of keys."""
    return isinstance(node, dict) and ("value" in node or "class" in node)


def sourced(value: Any, origin: Provenance) -> Any:
    """Return the value with a source at each place in it that does not have one."""
    if is_sourced(value):
        return value
    if isinstance(value, dict):
        return {key: sourced(item, origin) for key, item in value.items()}
    return {"value": value, "source": origin.source, "class": origin.kind}


def plain(data: Any) -> Any:
    """Return the data with the bare values in place of values with their sources."""
    if is_sourced(data):
        return plain(data.get("value"))
    if isinstance(data, dict):
        return {key: plain(item) for key, item in data.items()}
    return [plain(item) for item in data] if isinstance(data, list) else data


def provenance(data: Any) -> dict[str, Provenance]:
    """Return the source of every value that has one, by dotted path; for data without faults."""
    return {".".join(map(str, path)): Provenance(node["source"], node["class"]) for path, node in sourced_nodes(data)}


def sourced_nodes(data: Any, path: _Path = ()) -> Iterator[tuple[_Path, dict[str, Any]]]:
    """Yield every value with a source, sound or not, with the place where it stands."""
    if is_sourced(data):
        yield path, data
        data = data.get("value")
        if isinstance(data, dict):
            return
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        yield from sourced_nodes(item, (*path, key))
