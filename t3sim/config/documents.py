"""Documents and what they extend: a file laid over its ancestors, and the parts that its sections name.

`extends: NAME` at the top names a shipped file of the same kind. In a section it names one of the kind that is called
as the section is: `dram: {extends: hbm2}` is `dram/hbm2.yaml` with the section's own keys laid over it. In both places
a path is relative to the file that says it; what no file says, as on the command line, to the working directory.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from t3sim.config.layers import KINDS, OVERRIDE, overlaid
from t3sim.config.problems import place_of, problems_at
from t3sim.config.source import MAX_DEPTH, Document, KeyPath
from t3sim.config.sourcing import Fault
from t3sim.errors import NO_VALUE, InputError, Problem, nearest
from t3sim.results.provenance import is_sourced, plain

Read: TypeAlias = Callable[[Path], Document]
"""Reads one file: `read_document`, or something that remembers what it read."""

VERSION: Final = 1
"""The version of the file formats that is read and written."""

_HEADER: Final = ("format", "version", "extends")
_SUFFIXES: Final = (".yaml", ".yml")


def with_parts(document: Document, root: Path, read: Read) -> tuple[Document, list[Problem]]:
    """Return the document with each section that extends a file laid over that file, and what they lack.

    `root` has a folder of shipped files for each kind of section. Raises InputError for a file that cannot be read.
    """
    problems: list[Problem] = []
    while (path := _first_part(document.data, ())) is not None:
        part, lacks = _part(document, path, root, read)
        problems += lacks
        section = _at(document.data, path)
        bare = _with(document.data, path, {key: item for key, item in section.items() if key != "extends"})
        lines = {(*path, *below): place for below, place in part.lines.items()}
        joined = overlaid(Document(_nested(part.data, path), lines, part.digests), replace(document, data=bare))
        document = replace(joined, data={key: joined.data[key] for key in bare})
    return document, problems


def may_change_parts(dotted: str, value: Any) -> bool:
    """Say whether a value at a dotted key may lead to files that a document is otherwise not read from.

    It does as a mapping, which may extend one, and beside or inside `extends` or the name of a kind; a number or a
    word elsewhere is a value among those that the files give.
    """
    steers = not {"extends", *KINDS}.isdisjoint(dotted.split("."))
    return steers or not isinstance(value, str | int | float)


def _first_part(node: Any, path: KeyPath) -> KeyPath | None:
    """Return the path of the outermost section that extends something; sections inside it may come from there."""
    if not isinstance(node, dict) or is_sourced(node):
        return None
    if path and "extends" in node:
        return path
    # A dotted key is a setting of a sweep: what it extends is a part of a system, and read with that.
    below = (_first_part(item, (*path, key)) for key, item in node.items() if "." not in key)
    return next((found for found in below if found is not None), None)


def _part(document: Document, path: KeyPath, root: Path, read: Read) -> tuple[Document, list[Problem]]:
    kind = str(path[-1])
    if len(path) > MAX_DEPTH:
        _refuse_extends(document, path, f"sections extend each other: nested deeper than {MAX_DEPTH} levels")
    file, part = _extended(document, path, root / kind, read)
    return _with_ancestors(file, part, root / kind, f"t3sim-{kind}", read)


def _nested(data: Any, path: KeyPath) -> Any:
    for key in reversed(path):
        data = {key: data}
    return data


def _at(data: Any, path: KeyPath) -> Any:
    for key in path:
        data = data[key]
    return data


def _with(data: Any, path: KeyPath, item: Any) -> Any:
    if not path:
        return item
    return {key: _with(value, path[1:], item) if key == path[0] else value for key, value in data.items()}


def located(ref: str | Path, folder: Path) -> Path:
    """Return the file that a reference means; InputError for an unknown name."""
    if isinstance(ref, Path) or _is_path(ref):
        return Path(ref)
    named = {path.stem: path for suffix in _SUFFIXES for path in sorted(folder.glob(f"*{suffix}"))}
    if ref not in named:
        known = tuple(sorted(named))
        near = nearest(ref, known)
        ordered = (*near, *(name for name in known if name not in near))
        raise InputError(Problem(message=f"unknown name in {folder}", value=ref, known=ordered))
    return named[ref]


def _is_path(ref: str) -> bool:
    separators = {os.sep, os.altsep} - {None}
    return ref.endswith(_SUFFIXES) or any(str(separator) in ref for separator in separators)


def read_with_ancestors(path: Path, folder: Path, format_name: str, read: Read) -> tuple[Document, list[Problem]]:
    """Return a document laid over those that it extends, without header, and what their headers lack."""
    return _with_ancestors(path, read(path), folder, format_name, read)


def _with_ancestors(
    path: Path, document: Document, folder: Path, format_name: str, read: Read
) -> tuple[Document, list[Problem]]:
    problems = _check_header(document, format_name)
    body, chain = _body(document), [path]
    while "extends" in document.data:
        path, extended = _extended(document, (), folder, read)
        _refuse_cycle(document, [*chain, path])
        chain.append(path)
        document = extended
        problems += _check_header(document, format_name)
        body = overlaid(_body(document), body)
    return body, problems


def _body(document: Document) -> Document:
    return replace(document, data={key: item for key, item in document.data.items() if key not in _HEADER})


def _check_header(document: Document, format_name: str) -> list[Problem]:
    """Return problems for a missing format or version; raise InputError for another one.

    What the keys of another format mean is unknown, so there is nothing more to report about them.
    """
    accepted = {"format": format_name, "version": VERSION}
    missing, other = [], []
    for key, right in accepted.items():
        value = document.data.get(key)
        if key not in document.data:
            missing.append(Fault((key,), f"missing key; this t3sim reads {key}: {right}"))
        elif value != right or type(value) is not type(right):
            other.append(Fault((key,), f"must be {right} to be read here", value))
    if other:
        raise InputError(*sorted(problems_at([*missing, *other], document), key=reading_order))
    return problems_at(missing, document)


def _extended(document: Document, section: KeyPath, folder: Path, read: Read) -> tuple[Path, Document]:
    """Read the file that a section extends, or the whole document; InputError at its `extends` when there is none."""
    ref = plain(_at(document.data, (*section, "extends")))
    if not isinstance(ref, str) or not ref:
        _refuse_extends(document, section, "must be a name or a path", ref=ref)
    said_in, _ = place_of((*section, "extends"), document)
    try:
        # The command line stands for a file without a folder: a path in it starts at the working directory.
        path = Path(said_in).parent / ref if _is_path(ref) else located(ref, folder)
        return path, read(path)
    except InputError as error:
        if any(problem.line for problem in error.problems):
            raise
        _refuse_extends(document, section, error.problems[0].message, ref=ref, known=error.problems[0].known)


def _refuse_cycle(document: Document, chain: list[Path]) -> None:
    if chain[-1].resolve() in [path.resolve() for path in chain[:-1]]:
        circle = " -> ".join(map(str, chain))
        _refuse_extends(document, (), f"files extend each other: {circle}")


def _refuse_extends(
    document: Document, section: KeyPath, message: str, *, ref: object = NO_VALUE, known: tuple[str, ...] = ()
) -> NoReturn:
    raise InputError(*problems_at([Fault((*section, "extends"), message, ref, known)], document))


def reading_order(problem: Problem) -> tuple[bool, str, int]:
    """Sort key of problems: in the order in which they are written, overrides last."""
    return problem.file == OVERRIDE, problem.file or "", problem.line or 0
