"""Chakra's messages: what of a global metadata and of a node t3sim writes and reads.

Numbers of fields and values of enums are those of ``schema/protobuf/et_def.proto`` of github.com/mlcommons/chakra
(21585d8; the same in the package mlc-chakra 1.0.0). Lists as values of attributes are stepped over.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from t3sim.workload.chakra.wire import (
    DELIMITED,
    FIXED32,
    FIXED64,
    KINDS,
    VARINT,
    Field,
    WireError,
    bytes_field,
    fields,
    number_field,
    read_varint,
    signed,
    unpacked,
    varint,
    zigzag,
)

VERSIONS: Final = ("0.0.4", "1.0.0")
"""Versions of the schema whose files have been read; the messages of both are the same."""
PYTORCH_SCHEMAS: Final = (
    "1.0.1",
    "1.0.2-chakra.0.0.4",
    "1.0.3-chakra.0.0.4",
    "1.1.0-chakra.0.0.4",
    "1.1.1-chakra.0.0.4",
)
"""What the metadata's attribute ``schema`` says in traces of PyTorch, as the package's converter lists it."""
SCHEMAS: Final = ("t3sim-trace-1", *PYTORCH_SCHEMAS, "symbolic_tensor_network")
"""What it says in all that is known: ours, PyTorch's, STAGE's."""

Value = bool | int | float | str
"""What an attribute holds, lists aside."""
_MOST_NAME: Final = 200


class NodeType(IntEnum):
    """What a node does."""

    INVALID = 0
    METADATA = 1
    MEM_LOAD = 2
    MEM_STORE = 3
    COMP = 4
    COMM_SEND = 5
    COMM_RECV = 6
    COMM_COLL = 7


class CommType(IntEnum):
    """Which collective a node of type ``COMM_COLL`` is."""

    ALL_REDUCE = 0
    REDUCE = 1
    ALL_GATHER = 2
    GATHER = 3
    SCATTER = 4
    BROADCAST = 5
    ALL_TO_ALL = 6
    REDUCE_SCATTER = 7
    REDUCE_SCATTER_BLOCK = 8
    BARRIER = 9


class ValueType(IntEnum):
    """Under which field an attribute's value is written; readers look at what it is."""

    INT32 = 7
    INT64 = 9
    UINT64 = 13
    BOOL = 27
    STRING = 29


class Attribute(NamedTuple):
    """A named value to write."""

    name: str
    type: ValueType
    value: Value


@dataclass(slots=True)
class Metadata:
    """The first message of a file."""

    version: str = ""
    attributes: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Node:
    """One node as read."""

    at: int
    """Byte of the file at which it begins."""
    id: int = 0
    name: str = ""
    type: int = 0
    waits_for: array[int] = field(default_factory=lambda: array("Q"))
    """Ids: of data dependencies, then of control dependencies, each as the file orders them."""
    start_us: int = 0
    inputs: str = ""
    """The values of its inputs, where it is metadata: PyTorch's process groups stand there."""
    attributes: dict[str, Value] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"node {self.id} ({self.name!r}, byte {self.at})"


def encoded_metadata(version: str, attributes: Iterable[Attribute]) -> bytes:
    """Write the first message of a file."""
    return _text(1, version) + b"".join(bytes_field(2, _encoded(attribute)) for attribute in attributes)


def encoded_node(
    number: int,
    name: str,
    kind: NodeType,
    waits_for: Iterable[int],
    attributes: Iterable[Attribute],
    duration_us: int = 0,
) -> bytes:
    """Write a node; what has its default is left out, as proto3 has it."""
    packed = b"".join(map(varint, waits_for))
    return b"".join(
        [
            _number(1, number),
            _text(2, name),
            _number(3, kind),
            bytes_field(5, packed) if packed else b"",
            _number(7, duration_us),
            *(bytes_field(10, _encoded(attribute)) for attribute in attributes),
        ]
    )


def decoded_metadata(data: memoryview, base: int) -> Metadata:
    """Read the first message of a file. Raises ``WireError``."""
    found = Metadata()
    for entry in fields(data, base):
        if entry.number == 1:
            found.version = _read_text(entry, "version")
        elif entry.number == 2:  # noqa: PLR2004  attr
            _read_attribute(entry, found.attributes, None)
    return found


def decoded_node(data: memoryview, base: int, wanted: frozenset[str]) -> Node:
    """Read a node, and of its attributes those that are ``wanted``. Raises ``WireError``."""
    node = Node(base)
    control = array("Q")
    for entry in fields(data, base):
        match entry.number:
            case 1 | 3 | 6:
                setattr(node, _NUMBERS[entry.number], _read_number(entry, _NUMBERS[entry.number]))
            case 2:
                node.name = _read_text(entry, "name", _MOST_NAME)
            case 4 | 5:
                _read_numbers(entry, control if entry.number == 4 else node.waits_for)  # noqa: PLR2004
            case 8 if node.type == NodeType.METADATA:
                node.inputs = "".join(_read_text(part, "values") for part in _inside(entry, "inputs") if part[0] == 1)
            case 10:
                _read_attribute(entry, node.attributes, wanted)
    node.waits_for.extend(control)
    return node


_NUMBERS: Final = {1: "id", 3: "type", 6: "start_us"}
"""Fields of a node that are whole numbers, as ``Node`` calls them."""


def _number(number: int, value: int) -> bytes:
    return number_field(number, value) if value else b""


def _text(number: int, value: str) -> bytes:
    return bytes_field(number, value) if value else b""


def _encoded(attribute: Attribute) -> bytes:
    """Write an attribute, its value also where that is 0: which of its kinds it has says that it is there."""
    if isinstance(attribute.value, str):
        return _text(1, attribute.name) + bytes_field(attribute.type, attribute.value)
    return _text(1, attribute.name) + number_field(attribute.type, int(attribute.value))


_VALUES: Final[Mapping[int, tuple[int, Callable[[int], Value] | str]]] = {
    3: (FIXED64, "<d"),
    5: (FIXED32, "<f"),
    7: (VARINT, lambda value: signed(value, 32)),
    9: (VARINT, lambda value: signed(value, 64)),
    11: (VARINT, lambda value: value % 2**32),
    13: (VARINT, lambda value: value),
    15: (VARINT, zigzag),
    17: (VARINT, zigzag),
    19: (FIXED32, "<I"),
    21: (FIXED64, "<Q"),
    23: (FIXED32, "<i"),
    25: (FIXED64, "<q"),
    27: (VARINT, bool),
}
"""Wire type of each kind of value, and how it is read: with ``struct`` where it is fixed."""


def _read_attribute(entry: Field, into: dict[str, Value], wanted: frozenset[str] | None) -> None:
    """Read an attribute into a mapping; ``wanted``: names of which only these are kept, all where there are none."""
    name, value = "", None
    for part in _inside(entry, "attr"):
        if part.number == 1:
            name = _read_text(part, "name of an attribute", _MOST_NAME)
        elif part.number in _VALUES or part.number == ValueType.STRING:
            value = part
    # Text of attributes that nobody asked for can be long.
    if value is not None and (wanted is None or name in wanted):
        into[name] = _read_text(value, name) if value.number == ValueType.STRING else _read_value(value)


def _read_value(part: Field) -> Value:
    kind, how = _VALUES[part.number]
    if part.kind != kind:
        raise WireError(f"the value of an attribute is {KINDS[part.kind]} instead of {KINDS[kind]}", part.at)
    if isinstance(how, str):
        assert isinstance(part.value, memoryview)
        return unpacked(how, part.value)
    assert isinstance(part.value, int)
    return how(part.value)


def _inside(entry: Field, name: str) -> Iterable[Field]:
    if not isinstance(entry.value, memoryview) or entry.kind != DELIMITED:
        raise WireError(f"{name} is {KINDS[entry.kind]} where a message belongs", entry.at)
    return fields(entry.value, entry.at)


def _read_number(entry: Field, name: str) -> int:
    if not isinstance(entry.value, int):
        raise WireError(f"{name} is {KINDS[entry.kind]} where a whole number belongs", entry.at)
    return entry.value


def _read_text(entry: Field, name: str, most: int | None = None) -> str:
    if not isinstance(entry.value, memoryview) or entry.kind != DELIMITED:
        raise WireError(f"{name} is {KINDS[entry.kind]} where text belongs", entry.at)
    if most is not None and len(entry.value) > most:
        # A kernel's name can be as long as its template arguments; what is cut off may be part of a character.
        return bytes(entry.value[:most]).decode(errors="ignore") + "..."
    try:
        return bytes(entry.value).decode()
    except UnicodeDecodeError as error:
        raise WireError(f"{name} is not UTF-8", entry.at + error.start) from None


def _read_numbers(entry: Field, into: array[int]) -> None:
    """Read dependencies: packed, as proto3 writes them, or one by one."""
    if isinstance(entry.value, int):
        into.append(entry.value)
        return
    if entry.kind != DELIMITED:
        raise WireError(f"dependencies are {KINDS[entry.kind]} where whole numbers belong", entry.at)
    at = 0
    while at < len(entry.value):
        value, at = read_varint(entry.value, at, entry.at)
        into.append(value)
