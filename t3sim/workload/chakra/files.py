"""Files of Chakra's messages: read one after the other with bounded memory, and found in a folder by rank."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from t3sim.errors import InputError, Problem
from t3sim.workload.chakra.schema import VERSIONS, Metadata, Node, decoded_metadata, decoded_node
from t3sim.workload.chakra.wire import WireError
from t3sim.workload.packed import Limited, unpacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_MESSAGE: Final = 2**25
MOST_NODES: Final = 2**20
MOST_DEPENDENCIES: Final = 2**24

_RANKED: Final = re.compile(r"(?P<prefix>.+)\.(?P<rank>[0-9]{1,9})\.et(\.gz)?")
_LONGEST_LENGTH: Final = 5  # bytes of a varint of 32 bits


@dataclass(frozen=True, slots=True)
class Graph:
    """What a file holds."""

    metadata: Metadata
    nodes: tuple[Node, ...]


def read_graph(path: Path, wanted: frozenset[str]) -> Graph:
    """Read a file, and of its nodes' attributes those that are ``wanted``.

    Raises:
        InputError: the file cannot be read, is damaged, is of a version that is not known, or says two things of
            one node; with the byte at which that is.

    """
    try:
        with unpacking(path) as file:
            messages = _messages(file)
            metadata = _metadata(path, messages)
            return Graph(metadata, tuple(_nodes(path, messages, wanted)))
    except WireError as error:
        message = f"byte {error.at}: {error.message}"
        raise InputError(Problem(message=message, file=str(path))) from None


def find_ranks(folder: Path) -> dict[int, Path]:
    """Find the files ``PREFIX.RANK.et`` of a folder, by rank. Raises ``InputError``: none, or of several prefixes."""
    found: dict[str, dict[int, Path]] = {}
    try:
        names = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(Problem(message=error.strerror or str(error), file=str(folder))) from None
    for path in names:
        if match := _RANKED.fullmatch(path.name):
            found.setdefault(match["prefix"], {})[int(match["rank"])] = path
    if not found:
        raise InputError(Problem(message="no file in it is called PREFIX.RANK.et", file=str(folder)))
    if len(found) > 1:
        message = "has traces of several names; give the file of one rank"
        raise InputError(Problem(message=message, file=str(folder), known=tuple(found)))
    (ranks,) = found.values()
    return dict(sorted(ranks.items()))


def prefix_of(path: Path) -> str:
    """Give what the names of all files of a trace begin with; empty: this name is of no such file."""
    match = _RANKED.fullmatch(path.name)
    return match["prefix"] if match is not None else ""


def ranks_beside(path: Path) -> int:
    """Count the files of the trace to which the file of one rank belongs; 0: its name does not say that it is one."""
    if not (prefix := prefix_of(path)):
        return 0
    beside = (_RANKED.fullmatch(other.name) for other in path.parent.iterdir())
    return len({other["rank"] for other in beside if other is not None and other["prefix"] == prefix})


def _messages(file: Limited) -> Iterator[tuple[memoryview, int]]:
    """Yield each message and where in the file it begins."""
    while (size := _length(file)) is not None:
        start = file.at
        if size > MOST_MESSAGE:
            raise WireError(f"a message of {size} bytes, where none has more than {MOST_MESSAGE}", start)
        data = file.read(size)
        if len(data) < size:
            raise WireError(f"the file ends {size - len(data)} bytes before its last message of {size} does", start)
        yield memoryview(data), start


def _length(file: Limited) -> int | None:
    """Read the length of the next message; none: the file ends."""
    value = 0
    for place in range(_LONGEST_LENGTH):
        byte = file.read(1)
        if not byte and not place:
            return None
        if not byte:
            raise WireError("the file ends inside the length of a message", file.at)
        value |= (byte[0] & 0x7F) << (7 * place)
        if byte[0] < 0x80:  # noqa: PLR2004  the bit that says that more follow
            return value
    raise WireError("the length of a message has more than 32 bits", file.at - _LONGEST_LENGTH)


def _metadata(path: Path, messages: Iterator[tuple[memoryview, int]]) -> Metadata:
    first = next(messages, None)
    if first is None:
        raise InputError(Problem(message="is empty", file=str(path)))
    try:
        metadata = decoded_metadata(*first)
    except WireError as error:
        raise WireError(f"the file does not begin with Chakra's metadata: {error.message}", error.at) from None
    # STAGE writes none.
    if metadata.version and metadata.version not in VERSIONS:
        message = "a version of Chakra's schema that is not known"
        raise InputError(
            Problem(message=message, file=str(path), key="version", value=metadata.version, known=VERSIONS)
        )
    return metadata


def _nodes(path: Path, messages: Iterator[tuple[memoryview, int]], wanted: frozenset[str]) -> Iterator[Node]:
    """Yield the nodes, and see to it that no two are the same and that they are not too many to hold."""
    seen: set[int] = set()
    dependencies = 0
    for message in messages:
        node = decoded_node(*message, wanted)
        if node.id in seen:
            raise InputError(Problem(message=f"{node} has the id of another node", file=str(path)))
        seen.add(node.id)
        dependencies += len(node.waits_for)
        if len(seen) > MOST_NODES or dependencies > MOST_DEPENDENCIES:
            message_ = f"has more than {MOST_NODES} nodes or {MOST_DEPENDENCIES} dependencies: cut it to one step"
            raise InputError(Problem(message=message_, file=str(path)))
        yield node
