"""From a name or a path to a checked spec: header, `extends`, overrides, sources, schema."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Generic, NoReturn, TypeVar

from pydantic import ValidationError

from t3sim.config.explain import problems_at, problems_of
from t3sim.config.layers import OVERRIDE, assigned, merged, overridden
from t3sim.config.provenance import Fault, faults, plain
from t3sim.config.quantity import FROM_FILE
from t3sim.config.source import Document, read_document
from t3sim.config.spec import Spec
from t3sim.errors import InputError, Problem, nearest

VERSION: Final = 1
"""The version of the file formats that is read and written."""

_HEADER: Final = ("format", "version", "extends")
_SUFFIXES: Final = (".yaml", ".yml")
_HASH_DIGITS: Final = 16

S = TypeVar("S", bound=Spec)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A spec and what it was made from.

    `resolved` is the plain data after `extends` and overrides, with values and sources as written; dumped
    as YAML it loads to the same spec. `config_hash` depends on the values of the spec and nothing else.
    """

    spec: S
    resolved: dict[str, Any]
    config_hash: str
    path: Path


@dataclass(frozen=True, slots=True)
class Draft:
    """A document as read, with what it extends, not checked against a schema yet; made by `draft`.

    A file is read and parsed once and checked many times, each time with other values laid over it.
    """

    document: Document
    problems: tuple[Problem, ...]
    path: Path
    format_name: str

    def assigned(self, dotted: str, value: Any) -> "Draft":
        """Return the draft with plain data at a dotted key. Raises InputError as `overridden` does."""
        return replace(self, document=assigned(self.document, dotted, value))

    def overridden(self, assignments: Sequence[str]) -> "Draft":
        """Return the draft with each `a.b.c=VALUE` applied; what cannot be read becomes a problem of it."""
        document, problems = self.document, list(self.problems)
        for assignment in assignments:
            try:
                document = overridden(document, assignment)
            except InputError as error:
                problems += error.problems
        return replace(self, document=document, problems=tuple(problems))

    def checked(self, model: type[S]) -> Loaded[S]:
        """Return the spec that the draft describes. Raises InputError with every problem of it."""
        spec, more = _validated(model, self.document)
        problems = [*self.problems, *more]
        if spec is None or problems:
            raise InputError(*sorted(problems, key=_reading_order))
        resolved = {"format": self.format_name, "version": VERSION, **self.document.data}
        return Loaded(spec, resolved, config_hash(spec), self.path)


def load(
    model: type[S], ref: str | Path, *, folder: Path, format_name: str, overrides: Sequence[str] = ()
) -> Loaded[S]:
    """Load the spec that a path, or the name of a file in `folder`, stands for.

    `overrides` are `a.b.c=VALUE` and replace what the file says. Raises InputError with every problem of
    the file, its ancestors and the overrides, in the order in which they are written.
    """
    return draft(ref, folder=folder, format_name=format_name).overridden(overrides).checked(model)


def draft(ref: str | Path, *, folder: Path, format_name: str) -> Draft:
    """Read the file that a reference stands for. Raises InputError when it cannot be read or is of another format."""
    path = _located(ref, folder)
    document, problems = _read_with_ancestors(path, folder, format_name)
    return Draft(document, tuple(problems), path, format_name)


def config_hash(spec: Spec) -> str:
    """Return 16 hexadecimal digits that are equal for specs of equal values."""
    values = spec.model_dump(mode="json", serialize_as_any=True)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def _validated(model: type[S], document: Document) -> tuple[S | None, list[Problem]]:
    source_faults = list(faults(document.data))
    problems = problems_at(source_faults, document)
    try:
        return model.model_validate(_immutable(plain(document.data)), context={FROM_FILE: True}), problems
    except ValidationError as error:
        # Where a value is missing beside its source, that it is none of the right type is no news.
        valueless = {".".join(map(str, f.path[:-1])) for f in source_faults if f.path[-1] == "value"}
        return None, problems + [p for p in problems_of(error, document) if p.key not in valueless]


def _immutable(data: Any) -> Any:
    """Return the data with tuples for its lists: a strict spec takes no list for the tuple that it holds."""
    if isinstance(data, dict):
        return {key: _immutable(item) for key, item in data.items()}
    return tuple(map(_immutable, data)) if isinstance(data, list) else data


def _reading_order(problem: Problem) -> tuple[bool, str, int]:
    return problem.file == OVERRIDE, problem.file or "", problem.line or 0


def _located(ref: str | Path, folder: Path) -> Path:
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


def _read_with_ancestors(path: Path, folder: Path, format_name: str) -> tuple[Document, list[Problem]]:
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
        raise InputError(*sorted(problems_at([*missing, *other], document), key=_reading_order))
    return problems_at(missing, document)


def _extended(document: Document, path: Path, folder: Path) -> Path:
    """Return the file that a document extends; InputError at its `extends` line when there is none."""
    ref = document.data["extends"]
    if not isinstance(ref, str) or not ref:
        _refuse_extends(document, Fault(("extends",), "must be a name or a path", ref))
    if not _is_path(ref):
        try:
            return _located(ref, folder)
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
