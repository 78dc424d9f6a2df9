"""From a name or a path to a checked spec: header, `extends`, overrides, sources, schema."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from pydantic import ValidationError

from t3sim.config.documents import VERSION, Read, located, read_with_ancestors, reading_order, with_parts
from t3sim.config.layers import assigned, overridden
from t3sim.config.problems import problems_at, problems_of
from t3sim.config.quantity import FROM_FILE
from t3sim.config.source import Document, read_document
from t3sim.config.sourcing import source_faults
from t3sim.config.spec import Spec
from t3sim.errors import InputError, Problem
from t3sim.results.provenance import plain

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

    A file is read and parsed once and checked many times, each time with other values laid over it. `read` reads the
    files that its sections extend.
    """

    document: Document
    problems: tuple[Problem, ...]
    path: Path
    format_name: str
    folder: Path
    read: Read = read_document

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

    def digests(self) -> tuple[str, ...]:
        """Return a digest of each file that the draft describes its spec with: it and values laid over it fix the spec.

        Raises InputError when one of them cannot be read.
        """
        return with_parts(self.document, self.folder.parent, self.read)[0].digests

    def checked(self, model: type[S]) -> Loaded[S]:
        """Return the spec that the draft describes. Raises InputError with every problem of it."""
        document, missing = with_parts(self.document, self.folder.parent, self.read)
        spec, more = _validated(model, document)
        problems = [*self.problems, *missing, *more]
        if spec is None or problems:
            raise InputError(*sorted(problems, key=reading_order))
        resolved = {"format": self.format_name, "version": VERSION, **document.data}
        return Loaded(spec, resolved, config_hash(spec), self.path)


def load(
    model: type[S], ref: str | Path, *, folder: Path, format_name: str, overrides: Sequence[str] = ()
) -> Loaded[S]:
    """Load the spec that a path, or the name of a file in `folder`, stands for.

    `overrides` are `a.b.c=VALUE` and replace what the file says. Raises InputError with every problem of
    the file, its ancestors and the overrides, in the order in which they are written.
    """
    return draft(ref, folder=folder, format_name=format_name).overridden(overrides).checked(model)


def draft(ref: str | Path, *, folder: Path, format_name: str, read: Read = read_document) -> Draft:
    """Read the file that a reference stands for. Raises InputError when it cannot be read or is of another format."""
    path = located(ref, folder)
    document, problems = read_with_ancestors(path, folder, format_name, read)
    return Draft(document, tuple(problems), path, format_name, folder, read)


def config_hash(spec: Spec) -> str:
    """Return 16 hexadecimal digits that are equal for specs of equal values."""
    values = spec.model_dump(mode="json", serialize_as_any=True)
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_DIGITS]


def _validated(model: type[S], document: Document) -> tuple[S | None, list[Problem]]:
    unsourced = list(source_faults(document.data))
    problems = problems_at(unsourced, document)
    try:
        return model.model_validate(_immutable(plain(document.data)), context={FROM_FILE: True}), problems
    except ValidationError as error:
        # Where a value is missing beside its source, that it is none of the right type is no news.
        valueless = {".".join(map(str, f.path[:-1])) for f in unsourced if f.path[-1] == "value"}
        return None, problems + [p for p in problems_of(error, document) if p.key not in valueless]


def _immutable(data: Any) -> Any:
    """Return the data with tuples for its lists: a strict spec takes no list for the tuple that it holds."""
    if isinstance(data, dict):
        return {key: _immutable(item) for key, item in data.items()}
    return tuple(map(_immutable, data)) if isinstance(data, list) else data
