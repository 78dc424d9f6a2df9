"""Laying one document over another, and single values over a document."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from t3sim.config.source import Document, KeyPath, SourceLine, read_value
from t3sim.errors import InputError, Problem
from t3sim.results.provenance import Provenance, is_sourced, plain, sourced

OVERRIDE: Final = "--set"
"""Stands for the file in problems with an override, and for the source of its value."""

KINDS: Final = ("model", "policy", "mapping", "kind")
"""Keys that say which kind of part a mapping configures: keys of another kind mean nothing to it."""

_ORIGIN: Final = Provenance(OVERRIDE, "assumed")
_PLACE: Final[SourceLine] = (OVERRIDE, None)


def overlaid(base: Document, over: Document) -> Document:
    """Return `base` with the keys of `over` added to it: mappings are joined, everything else replaced."""
    replaced: set[KeyPath] = set()
    data = _joined(base.data, over.data, (), replaced)
    return Document(data, {**_without(base, replaced), **over.lines}, base.digests + over.digests)


def overridden(document: Document, assignment: str) -> Document:
    """Return the document with `a.b.c=VALUE` applied; VALUE is YAML, and replaces what was there.

    Raises InputError, with '--set' as the file, when the assignment cannot be read or leads through
    something that holds no keys. Whether the key is known is for the schema to say.
    """
    dotted, equals, text = assignment.partition("=")
    dotted = dotted.strip()
    path = tuple(dotted.split("."))
    if not equals or not all(path):
        raise InputError(Problem(message="must read KEY.KEY=VALUE", file=OVERRIDE, value=assignment))
    try:
        value = read_value(text, OVERRIDE)
    except InputError as error:
        raise InputError(*(_at(dotted, problem.message) for problem in error.problems)) from None
    return assigned(document, dotted, value)


def assigned(document: Document, dotted: str, value: Any) -> Document:
    """Return the document with plain data at a dotted key, in place of what was there.

    Raises InputError, with '--set' as the file, when the key leads through something that holds no keys.
    """
    steps, data = _assigned(document.data, dotted.split("."), sourced(value, _ORIGIN), ())
    # Mappings that the file does not have come from here as well.
    new = {steps[:length]: _PLACE for length in range(1, len(steps)) if steps[:length] not in document.lines}
    return replace(document, data=data, lines={**_without(document, {steps}), **new, steps: _PLACE})


def _joined(base: Any, over: Any, path: KeyPath, replaced: set[KeyPath]) -> Any:
    # A value with its source is one value: the parent's source must not end up beside the child's value.
    if not isinstance(base, dict) or not isinstance(over, dict) or is_sourced(base) or is_sourced(over):
        replaced.add(path)
        return over
    if "extends" in over or any(key in base and plain(over.get(key, base[key])) != plain(base[key]) for key in KINDS):
        replaced.add(path)
        return over
    fresh = {key: item for key, item in over.items() if key not in base}
    kept = {
        key: _joined(item, over[key], (*path, key), replaced) if key in over else item for key, item in base.items()
    }
    return kept | fresh


def _without(document: Document, removed: set[KeyPath]) -> dict[KeyPath, SourceLine]:
    """Return the lines of a document except those of the given places and all below them."""
    return {
        path: place
        for path, place in document.lines.items()
        if not any(path[:length] in removed for length in range(len(path) + 1))
    }


def _assigned(node: Any, path: Sequence[str], value: Any, done: KeyPath) -> tuple[KeyPath, Any]:
    """Return the path taken, with list positions as numbers, and a copy of the node that holds the value."""
    if not path:
        return done, value
    key, *rest = path
    if is_sourced(node) and isinstance(node.get("value"), list):
        steps, items = _assigned(node["value"], path, value, (*done, "value"))
        return steps, {**node, "value": items}
    if isinstance(node, list):
        position = _position(node, key, (*done, *path))
        steps, item = _assigned(node[position], rest, value, (*done, position))
        return steps, [*node[:position], item, *node[position + 1 :]]
    if node is not None and (not isinstance(node, dict) or is_sourced(node)):
        whole = ".".join(map(str, done))
        raise InputError(_at(_dotted((*done, *path)), f"{whole!r} has no keys in it; set it as a whole"))
    node = node or {}
    steps, item = _assigned(node.get(key), rest, value, (*done, key))
    return steps, {**node, key: item}


def _position(items: list[Any], key: str, path: KeyPath) -> int:
    if key.isascii() and key.isdigit() and len(key) <= len(str(len(items))) and int(key) < len(items):
        return int(key)
    raise InputError(_at(_dotted(path), f"no item {key!r} in a list of {len(items)}, counted from 0"))


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


def _at(key: str, message: str) -> Problem:
    return Problem(message=message, file=OVERRIDE, key=key)
