"""What is wrong with the sources of values in a file."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from t3sim.config.source import KeyPath
from t3sim.errors import NO_VALUE
from t3sim.results.provenance import CLASSES, sourced_nodes

_KEYS: Final = ("value", "source", "class")


class Fault(NamedTuple):
    """Something wrong at a place in the data."""

    path: KeyPath
    message: str
    value: object = NO_VALUE
    known: tuple[str, ...] = ()


def source_faults(data: Any) -> Iterator[Fault]:
    """Yield what is wrong with the sources in the data."""
    for path, node in sourced_nodes(data):
        yield from _faults_of(path, node)


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
