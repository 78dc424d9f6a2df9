"""Bytes of a YAML file to plain data with line numbers, and back.

What is read is a safe part of YAML: text, numbers, true/false/null, lists and mappings. Anchors,
aliases and tags are refused, so a small file stays small in memory and names no Python object.
The data is built straight from the parser's events: nothing recurses, and all problems are kept.
"""

import contextlib
import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from t3sim.errors import InputError, Problem

KeyPath: TypeAlias = tuple[str | int, ...]
SourceLine: TypeAlias = tuple[str, int | None]
"""A file and a line in it, counted from 1; None where there are no lines, as on the command line."""

MAX_BYTES: Final = 4 * 2**20
MAX_DEPTH: Final = 32
MAX_KEY: Final = 100
"""Characters in a key."""
MAX_PROBLEMS: Final = 50
"""Problems after which a file is not read any further."""

# Line breaks that editors do not show as one are refused too: they would shift every line number.
_CONTROL: Final = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# A number longer than any quantity stays text, and the schema then refuses it as such.
_INT: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,39})")
_HEX: Final = re.compile(r"0x[0-9a-fA-F]{1,32}")
_FLOAT: Final = re.compile(r"[-+]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][-+]?[0-9]{1,4})?")
_WORDS: Final[Mapping[str, bool | None]] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
)


@dataclass(frozen=True, slots=True)
class Document:
    """The plain data of a file, and where each of its keys and list items was written."""

    data: dict[str, Any]
    lines: Mapping[KeyPath, SourceLine]
    digests: tuple[str, ...] = ()
    """SHA-256 of each file that was read for the data, whatever is left of it, in an order that they fix: the data
    follows from them. None: of no file."""


def read_document(path: Path) -> Document:
    """Return what a YAML file holds.

    Raises InputError when the file cannot be read, is not UTF-8 text of at most `MAX_BYTES`, or is not
    one YAML mapping within the part of YAML that this module accepts.
    """
    name = str(path)
    content = _read_bytes(path)
    text = _decode(content, name)
    builder = _build(text, name)
    if not builder.problems and not isinstance(builder.root, dict):
        message = "the file is empty" if builder.root is None else "the file must hold a mapping of keys"
        builder.problems.append(Problem(message=message, file=name, line=1))
    if builder.problems:
        raise InputError(*builder.problems)
    return Document(builder.root, builder.lines, (hashlib.sha256(content).hexdigest(),))


def read_value(text: str, name: str) -> Any:
    """Return the data that a piece of YAML stands for, such as a value given on the command line.

    Raises InputError, with `name` as the file and no line, when it is not acceptable YAML.
    """
    builder = _build(text, name)
    if builder.problems:
        raise InputError(*(Problem(message=p.message, file=name, key=p.key) for p in builder.problems))
    return builder.root


def dump_yaml(data: Any) -> str:
    """Return plain data as YAML text that `read_document` reads back as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


def scalar(text: str) -> str | int | float | bool | None:
    """Return what an unquoted YAML word stands for, by YAML 1.2: yes, on, 010 and 1:30 are text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    # An infinite number is none that a configuration can mean, so 1e999 is text.
    if _FLOAT.fullmatch(text) and not _is_octal_like(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _is_octal_like(text: str) -> bool:
    return text.lstrip("+-").isdigit()


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(Problem(message="no such file", file=str(path))) from None
    except IsADirectoryError:
        raise InputError(Problem(message="this is a directory, not a file", file=str(path))) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(Problem(message=f"the file cannot be read: {reason}", file=str(path))) from None
    if len(content) > MAX_BYTES:
        raise InputError(Problem(message=f"the file is larger than {MAX_BYTES} bytes", file=str(path)))
    return content


def _decode(content: bytes, name: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(Problem(message=f"not UTF-8 text: byte 0x{byte:02x}", file=name, line=line)) from None
    bad = _CONTROL.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        raise InputError(Problem(message=_control_message(bad[0]), file=name, line=line))
    return text


def _control_message(character: str) -> str:
    return f"control character U+{ord(character):04X}"


def _line(mark: Any) -> int | None:
    """Return the number of the line that a mark of the parser is in."""
    return None if mark is None else int(mark.line) + 1


def _build(text: str, name: str) -> "_Builder":
    builder = _Builder(name)
    if not _UNLIKE.search(text):
        with contextlib.suppress(yaml.YAMLError, ValueError, OverflowError):
            _parse(builder, text, _FAST_PARSER)
            return builder
    # What is wrong is said by the parser in Python: its messages are the same on every machine.
    builder = _Builder(name)
    with contextlib.suppress(_StopReadingError):
        _diagnose(builder, text)
    return builder


def _parse(builder: "_Builder", text: str, parser: Any) -> None:
    with contextlib.suppress(_StopReadingError):
        for event in yaml.parse(text, Loader=parser):
            builder.add(event)


def _diagnose(builder: "_Builder", text: str) -> None:
    try:
        _parse(builder, text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        said = ", ".join(filter(None, (error.context, error.problem)))
        builder.report(f"not valid YAML: {said}", _line(error.problem_mark or error.context_mark))
    except yaml.YAMLError as error:
        builder.report(f"not valid YAML: {error}", None)
    except (ValueError, OverflowError):
        # The parser lets int() and chr() fail on numbers that nobody writes.
        builder.report("not valid YAML: an impossible number in an escape or a directive", None)


_FAST_PARSER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The one in C takes a twentieth of the time; not every build of PyYAML has it."""
_UNLIKE: Final = re.compile(r"[^\n\x20-\x7e]|[|>?]|^(?:---|\.\.\.|%)", re.MULTILINE)
"""What the two do not take quite alike: other line ends, tabs, block scalars, marks of keys and documents."""


class _StopReadingError(Exception):
    """The rest of the text would only repeat the problem that was just reported."""


@dataclass(slots=True)
class _Level:
    """A list or mapping that is being filled; `key` waits for its value."""

    content: dict[str, Any] | list[Any]
    path: KeyPath
    key: str | None = None


@dataclass(slots=True)
class _Builder:
    """Takes parser events and grows the data, the line of every key, and the problems."""

    name: str
    root: Any = None
    lines: dict[KeyPath, SourceLine] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    stack: list[_Level] = field(default_factory=list)
    documents: int = 0

    def add(self, event: yaml.Event) -> None:
        handle: Callable[[_Builder, Any], None] | None = _HANDLERS.get(type(event))
        if handle is not None:
            handle(self, event)

    def report(self, message: str, line: int | None, path: KeyPath = ()) -> None:
        key = ".".join(map(str, path)) or None
        self.problems.append(Problem(message=message, file=self.name, line=line, key=key))
        if len(self.problems) == MAX_PROBLEMS:
            raise _StopReadingError

    def start_document(self, event: yaml.DocumentStartEvent) -> None:
        self.documents += 1
        if self.documents > 1:
            self.report("a second document; one file holds one", _line(event.start_mark))
            raise _StopReadingError

    def alias(self, event: yaml.AliasEvent) -> None:
        self.report(f"alias *{event.anchor}: aliases are not accepted", _line(event.start_mark), self._here())
        self._put(None, event)

    def scalar(self, event: yaml.ScalarEvent) -> None:
        self._refuse_marks(event)
        bad = _CONTROL.search(event.value)  # from an escape such as "\0"
        if bad is not None:
            self.report(_control_message(bad[0]), _line(event.start_mark), self._here())
        level = self.stack[-1] if self.stack else None
        if level is not None and isinstance(level.content, dict) and level.key is None:
            self._start_key(level, level.content, event)
        else:
            self._put(scalar(event.value) if event.implicit[0] else event.value, event)

    def start_collection(self, event: yaml.CollectionStartEvent) -> None:
        self._refuse_marks(event)
        if len(self.stack) == MAX_DEPTH:
            self.report(f"nested deeper than {MAX_DEPTH} levels", _line(event.start_mark))
            raise _StopReadingError
        content: dict[str, Any] | list[Any] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.stack.append(_Level(content, self._put(content, event)))

    def end_collection(self, _: yaml.CollectionEndEvent) -> None:
        self.stack.pop()

    def _start_key(self, level: _Level, mapping: dict[str, Any], event: yaml.ScalarEvent) -> None:
        key = str(event.value)
        path = (*level.path, key)
        level.key = key
        if not key:
            self.report("an empty key", _line(event.start_mark), level.path)
        elif len(key) > MAX_KEY:
            message = f"a key of {len(key)} characters; at most {MAX_KEY} are accepted"
            self.report(message, _line(event.start_mark), level.path)
        elif key in mapping:
            first = self.lines[path][1]
            self.report(f"duplicate key; first on line {first}", _line(event.start_mark), path)
        else:
            self.lines[path] = (self.name, _line(event.start_mark))

    def _put(self, value: Any, event: yaml.Event) -> KeyPath:
        """Put a value where the reading stands, and return its path."""
        path = self._here()
        if not self.stack:
            self.root = value
            self.lines[()] = (self.name, _line(event.start_mark))
            return path
        level = self.stack[-1]
        if isinstance(level.content, list):
            self.lines[path] = (self.name, _line(event.start_mark))
            level.content.append(value)
        elif level.key is None:
            self.report("a key must be a single word", _line(event.start_mark), level.path)
            raise _StopReadingError
        else:
            level.content[level.key] = value
            level.key = None
        return path

    def _here(self) -> KeyPath:
        if not self.stack:
            return ()
        level = self.stack[-1]
        if isinstance(level.content, list):
            return (*level.path, len(level.content))
        return level.path if level.key is None else (*level.path, level.key)

    def _refuse_marks(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.anchor is not None:
            self.report(f"anchor &{event.anchor}: anchors are not accepted", _line(event.start_mark), self._here())
        if event.tag is not None:
            self.report(f"tag {event.tag}: tags are not accepted", _line(event.start_mark), self._here())


_HANDLERS: Final[Mapping[type[yaml.Event], Callable[[_Builder, Any], None]]] = {
    yaml.DocumentStartEvent: _Builder.start_document,
    yaml.AliasEvent: _Builder.alias,
    yaml.ScalarEvent: _Builder.scalar,
    yaml.MappingStartEvent: _Builder.start_collection,
    yaml.SequenceStartEvent: _Builder.start_collection,
    yaml.MappingEndEvent: _Builder.end_collection,
    yaml.SequenceEndEvent: _Builder.end_collection,
}


class _Dumper(yaml.SafeDumper):
    """Writes only what this module reads."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that occurs twice twice: aliases are not read."""
        del data
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # YAML 1.1, which the dumper knows, takes words such as 1e9 for text and would not quote them.
    style = '"' if scalar(text) != text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
