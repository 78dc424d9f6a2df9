"""Documents and what they extend: a file laid over its ancestors, and the parts that its sections name.

`extends: NAME` at the top names a file of the same folder. In a section it names a file of the folder that is called
as the section is: `dram: {extends: hbm2}` is `dram/hbm2.yaml` with the section's own keys laid over it.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NoReturn

from t3sim.config.layers import OVERRIDE, merged
from t3sim.config.problems import problems_at
from t3sim.config.source import Document, KeyPath, read_document
from t3sim.config.sourcing import Fault
from t3sim.errors import InputError, Problem, nearest
from t3sim.results.provenance import is_sourced, plain

VERSION: Final = 1
"""The version of the file formats that is read and written."""

_HEADER: Final = ("format", "version", "extends")
_SUFFIXES: Final = (".yaml", ".yml")


def with_parts(document: Document, root: Path) -> tuple[Document, list[Problem]]:
    """Return the document with each section that extends a file of `root` laid over that file, and what they lack.

    Raises InputError for a file that cannot be read.
    """
    problems: list[Problem] = []
    while (path := _first_part(document.data, ())) is not None:
        section: Any = document.data
        for key in path:
            section = section[key]
        part, lacks = _part(document, path, section, root)
        problems += lacks
        bare = _with(document.data, path, {key: item for key, item in section.items() if key != "extends"})
        lifted = Document(_nested(part.data, path), {(*path, *below): place for below, place in part.lines.items()})
        joined = merged(lifted, Document(bare, document.lines))
        document = Document({key: joined.data[key] for key in bare}, joined.lines)
    return document, problems


def _first_part(node: Any, path: KeyPath) -> KeyPath | None:
    """Return the path of the outermost section that extends something; sections inside it may come from there."""
    if not isinstance(node, dict) or is_sourced(node):
        return None
    if path and "extends" in node:
        return path
    below = (_first_part(item, (*path, key)) for key, item in node.items())
    return next((found for found in below if found is not None), None)


def _part(document: Document, path: KeyPath, section: dict[str, Any], root: Path) -> tuple[Document, list[Problem]]:
    ref, kind = plain(section["extends"]), str(path[-1])
    if not isinstance(ref, str) or not ref:
        _refuse_extends(document, Fault((*path, "extends"), "must be a name or a path", ref))
    try:
        return _read_part(located(ref, root / kind), root / kind, f"t3sim-{kind}")
    except InputError as error:
        if any(problem.line for problem in error.problems):
            raise
        problem = error.problems[0]
        _refuse_extends(document, Fault((*path, "extends"), problem.message, ref, problem.known))


@lru_cache(maxsize=64)
def _read_part(path: Path, folder: Path, format_name: str) -> tuple[Document, list[Problem]]:
    return read_with_ancestors(path, folder, format_name)


def _nested(data: Any, path: KeyPath) -> Any:
    for key in reversed(path):
        data = {key: data}
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


def read_with_ancestors(path: Path, folder: Path, format_name: str) -> tuple[Document, list[Problem]]:
    """Return a document laid over those that it extends, without header, and what their headers lack."""
    document = read_document(path)
    problems = _check_header(document, format_name)
    body, chain = _body(document), [path]
    while "extends" in document.data:
        path = _extended(document, path, folder)
        _refuse_cycle(document, [*chain, path])
        chain.append(path)
        document = read_document(path)
        problems += _check_header(document, format_name)
        body = merged(_body(document), body)
    return body, problems


def _body(document: Document) -> Document:
    return Document({key: item for key, item in document.data.items() if key not in _HEADER}, document.lines)


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


def _extended(document: Document, path: Path, folder: Path) -> Path:
    """Return the file that a document extends; InputError at its `extends` line when there is none."""
    ref = document.data["extends"]
    if not isinstance(ref, str) or not ref:
        _refuse_extends(document, Fault(("extends",), "must be a name or a path", ref))
    if not _is_path(ref):
        try:
            return located(ref, folder)
        except InputError as error:
            (problem,) = error.problems
            _refuse_extends(document, Fault(("extends",), problem.message, ref, problem.known))
    target = path.parent / ref
    if not os.path.exists(target):  # noqa: PTH110  Path.exists raises where this says no
        _refuse_extends(document, Fault(("extends",), "no such file", ref))
    return target


def _refuse_cycle(document: Document, chain: list[Path]) -> None:
    if chain[-1].resolve() in [path.resolve() for path in chain[:-1]]:
        circle = " -> ".join(map(str, chain))
        _refuse_extends(document, Fault(("extends",), f"files extend each other: {circle}"))


def _refuse_extends(document: Document, fault: Fault) -> NoReturn:
    raise InputError(*problems_at([fault], document))


def reading_order(problem: Problem) -> tuple[bool, str, int]:
    """Sort key of problems: in the order in which they are written, overrides last."""
    return problem.file == OVERRIDE, problem.file or "", problem.line or 0
