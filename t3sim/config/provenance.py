"""Where a value comes from: `key: {value: 16 MiB, source: "vendor sheet, p. 3", class: datasheet}`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from t3sim.config.source import KeyPath
from t3sim.errors import NO_VALUE

CLASSES: Final = ("paper", "datasheet", "measured", "calibrated", "assumed", "derived")
"""The ways in which a value can be known."""

_KEYS: Final = ("value", "source", "class")


@dataclass(frozen=True, slots=True)
class Provenance:
    """The source of one value, in words, and which of `CLASSES` it belongs to."""

    source: str
    kind: str


class Fault(NamedTuple):
    """Something wrong at a place in the data."""

    path: KeyPath
    message: str
    value: object = NO_VALUE
    known: tuple[str, ...] = ()


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
    return {
        ".".join(map(str, path)): Provenance(node["source"], node["class"]) for path, node in _sourced_nodes(data, ())
    }


def faults(data: Any) -> Iterator[Fault]:
    """Yield what is wrong with the sources in the data."""
    for path, node in _sourced_nodes(data, ()):
        yield from _faults_of(path, node)


def _sourced_nodes(data: Any, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if is_sourced(data):
        yield path, data
        data = data.get("value")
        if isinstance(data, dict):
            return
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, item in items:
        yield from _sourced_nodes(item, (*path, key))


def _faults_of(path: KeyPath, node: dict[str, Any]) -> Iterator[Fault]:
    for key in node:
        if key not in _KEYS:
            yield Fault((*path, key), "unknown key beside a value", known=_KEYS)
    for key in _KEYS:
        if key not in node:
            yield Fault((*path, key), "missing key; a value has 'value', 'source' and 'class'")
    if isinstance(node.get("value"), dict):
        yield Fault((*path, "value"), "must not be a mapping; give each value in it its own source")
    if "source" in node and not (isinstance(node["source"], str) and node["source"].strip()):
        yield Fault((*path, "source"), "must say in words where the value comes from", node["source"])
    if "class" in node and node["class"] not in CLASSES:
        yield Fault((*path, "class"), "unknown class", node["class"], CLASSES)
