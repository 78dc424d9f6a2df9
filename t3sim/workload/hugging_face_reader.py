"""Reads the keys of a `config.json` one by one, and remembers what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from t3sim.errors import Problem


@dataclass(slots=True)
class Reader:
    """Reads keys of a file one by one: what they become, where that came from, and what is wrong with them."""

    data: Mapping[str, Any]
    kind: str
    fields: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    """The key of the file that a field came from, by dotted field; a field without one was assumed."""
    used: set[str] = field(default_factory=lambda: {"model_type"})
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def whole(self, name: str, keys: Sequence[str], default: int | None = None, *, least: int = 1) -> int | None:
        """Take a whole number for a field; without one, the default, which is noted."""
        value = self.found(name, keys)
        if value is None:
            if default is not None and name:
                self.notes.append(f"assumed: {keys[0]} is {default}, which {self.kind} takes where its file says none")
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.refuse(keys, f"must be a whole number of at least {least}")
            return default
        return value

    def needed(self, name: str, keys: Sequence[str]) -> int:
        """Take a whole number that there has to be."""
        value = self.whole(name, keys)
        if value is None and not any(self.data.get(key) is not None for key in keys):
            said = f" (or {', '.join(keys[1:])})" if keys[1:] else ""
            self.problems.append(Problem(message=f"missing key{said}", key=keys[0]))
        return value or 1

    def flag(self, name: str, key: str, *, default: bool) -> bool:
        """Take true or false."""
        value = self.found(name, (key,))
        if isinstance(value, bool):
            return value
        if value is not None:
            self.refuse((key,), "must be true or false")
        return default

    def word(self, name: str, keys: Sequence[str], known: Mapping[str, Any], default: str) -> str:
        """Take one of some words."""
        value = self.found(name, keys)
        if value is None:
            self.notes.append(f"assumed: {keys[0]} is {default}, which the file does not say")
            return default
        if value not in known:
            self.refuse(keys, "unknown name", tuple(known))
            return default
        return str(value)

    def must_be(self, key: str, accepted: Callable[[Any], bool], message: str) -> None:
        """Refuse a key that is there with a value that no model of ours can have."""
        value = self.found("", (key,))
        if value is not None and not accepted(value):
            self.refuse((key,), message)

    def found(self, name: str, keys: Sequence[str]) -> Any:
        """Return the value of the first key that has one, and remember where the field came from."""
        there = [key for key in keys if key in self.data]
        self.used.update(there)
        for key in there:
            if self.data[key] is not None:
                if name:
                    self.origins[name] = key
                return self.data[key]
        return None

    def refuse(self, keys: Sequence[str], message: str, known: tuple[str, ...] = ()) -> None:
        """Remember that a key has an impossible value."""
        key = next(key for key in keys if self.data.get(key) is not None)
        self.problems.append(Problem(message=message, key=key, value=self.data[key], known=known))
