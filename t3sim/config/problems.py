"""Validation errors as problems: in our words, at the line where the value was written."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from t3sim.config import spec
from t3sim.config.source import Document, KeyPath, SourceLine
from t3sim.config.sourcing import Fault
from t3sim.errors import NO_VALUE, Problem
from t3sim.registry import UnknownNameError
from t3sim.results.provenance import is_sourced, plain

_SHOULD: Final = re.compile(r"^(?:[A-Z]\w*) should ")
_QUOTED: Final = re.compile(r"'([^']*)'")
# The words of pydantic that name Python types and not what a file holds.
_WORDS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type", "dataclass_type"), "must be a mapping"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type"), "must be a list"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    "string_type": "must be text",
}


def problems_of(error: ValidationError, document: Document) -> list[Problem]:
    """Return one problem for each place that the error names, in words for the author of the document."""
    data = plain(document.data)
    by_path: dict[KeyPath, Fault] = {}
    for detail in error.errors(include_url=False):
        fault = _fault(detail, data)
        other = by_path.get(fault.path)
        # The members of a union each complain about the same value.
        if other is not None and fault.message not in other.message:
            fault = fault._replace(message=f"{other.message}, or {fault.message}")
        elif other is not None:
            fault = other
        by_path[fault.path] = fault
    return problems_at(by_path.values(), document)


def problems_at(faults: Iterable[Fault], document: Document) -> list[Problem]:
    """Return the faults as problems, each with the place of its key or of the nearest mapping around it."""
    return [_problem(fault, document) for fault in faults]


def _problem(fault: Fault, document: Document) -> Problem:
    file, line = place_of(fault.path, document)
    key = ".".join(map(str, fault.path)) or None
    return Problem(message=fault.message, file=file, line=line, key=key, value=fault.value, known=fault.known)


def place_of(path: KeyPath, document: Document) -> SourceLine:
    """Return where a key was written, or the nearest mapping around it."""
    written = tuple(_written(path, document.data))
    inside = next(length for length in range(len(written), -1, -1) if written[:length] in document.lines)
    return document.lines[written[:inside]]


def _written(path: KeyPath, node: Any) -> Iterator[str | int]:
    """Yield the path as it is in the file, where a value may stand under `value` beside its source."""
    for key in path:
        if is_sourced(node) and key not in node:
            yield "value"
            node = node.get("value")
        yield key
        node = _child(node, key)


def _fault(detail: ErrorDetails, data: Any) -> Fault:
    context = detail.get("ctx", {})
    path, node = _path_in_data(detail["loc"], data)
    match detail["type"]:
        case "missing":
            return Fault((*path, detail["loc"][-1]), "missing key")
        case spec.UNKNOWN_KEY:
            message = ": ".join(filter(None, ("unknown key", context["elsewhere"])))
            return Fault(path, message, known=tuple(context["known"]))
        case "union_tag_not_found" | "union_tag_invalid":
            return _tag_fault(path, node, detail)
        case "literal_error" | "enum" if known := _names(context["expected"]):
            return Fault(path, "unknown name", node, known)
        case "value_error" if isinstance(unknown := context["error"], UnknownNameError):
            return Fault(path, f"unknown {unknown.what}", unknown.name, unknown.known)
    return _worded(path, node, detail)


def _tag_fault(path: KeyPath, node: Any, detail: ErrorDetails) -> Fault:
    """Return what is wrong with the key that says which member of a union is meant."""
    context = detail["ctx"]
    key = _names(context["discriminator"])
    if not key:  # a function chooses the member, by no single key
        return _worded(path, node, detail)
    if "tag" not in context:
        return Fault((*path, *key), "missing key")
    return Fault((*path, *key), "unknown name", context["tag"], _names(context["expected_tags"]))


def _worded(path: KeyPath, node: Any, detail: ErrorDetails) -> Fault:
    """Return the fault in the words of the validator, with the value unless they show it already."""
    if detail["type"] in _WORDS:
        return Fault(path, _WORDS[detail["type"]], node)
    if _SHOULD.match(detail["msg"]):
        return Fault(path, _SHOULD.sub("must ", detail["msg"]), node)
    message = str(detail.get("ctx", {}).get("error", detail["msg"]))
    shown = isinstance(node, dict | list) or repr(node) in message
    return Fault(path, message, NO_VALUE if shown else node)


def _path_in_data(location: tuple[str | int, ...], data: Any) -> tuple[KeyPath, Any]:
    """Return the part of an error's location that is in the data, and the value there.

    The rest names members of unions and validators, which the author of a file never wrote.
    """
    path: list[str | int] = []
    for key in location:
        child = _child(data, key)
        if child is not NO_VALUE:
            path.append(key)
            data = child
    return tuple(path), data


def _child(node: Any, key: str | int) -> Any:
    if isinstance(node, dict):
        return node.get(str(key), NO_VALUE)
    if isinstance(node, list) and isinstance(key, int) and key < len(node):
        return node[key]
    return NO_VALUE


def _names(expected: str) -> tuple[str, ...]:
    return tuple(_QUOTED.findall(expected))
