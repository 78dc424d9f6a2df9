"""What specs and work say, as a hash: equal for equal content, whatever objects hold it."""

import dataclasses
import hashlib
import json
from enum import Enum
from typing import Any

import numpy as np

from t3sim.config import Spec

_PLAIN = frozenset((bool, int, float, str, type(None)))


class NotPlainError(Exception):
    """Something of a type whose content is not known, or whose code is not t3sim's own."""


def digest(*things: object) -> str:
    """Return 64 hexadecimal digits over the content of ``things``.

    They are numbers, text, arrays, specs and dataclasses of t3sim, and sequences and mappings of these; the order of a
    mapping counts. Raises ``NotPlainError`` for anything else: what the code of others does may change.
    """
    text = json.dumps([_plain(thing) for thing in things], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(thing: Any) -> Any:
    """Give the same as lists of numbers and text, each with the name of its type where that says what it means."""
    kind = type(thing)
    if kind in _PLAIN:
        return thing
    if isinstance(thing, Enum):
        return [name_of(kind), thing.name]
    if isinstance(thing, tuple | list):
        return list(thing) if _PLAIN.issuperset(map(type, thing)) else [_plain(item) for item in thing]
    if isinstance(thing, dict):
        return [[_plain(key), _plain(value)] for key, value in thing.items()]
    if isinstance(thing, np.ndarray) and not thing.dtype.hasobject:
        return [thing.dtype.str, thing.shape, hashlib.sha256(thing.tobytes()).hexdigest()]
    return [name_of(kind), [[name, _plain(getattr(thing, name))] for name in _fields(kind)]]


def name_of(kind: Any) -> str:
    """Return where a type of t3sim is defined, and its name. Raises ``NotPlainError`` for a type of others."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if not name.startswith("t3sim."):
        raise NotPlainError(name)
    return name


def _fields(kind: Any) -> tuple[str, ...]:
    """List the fields of a spec or a dataclass."""
    if issubclass(kind, Spec):
        return tuple(kind.model_fields)
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    raise NotPlainError(kind.__qualname__)
