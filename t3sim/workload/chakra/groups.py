"""Process groups of a trace: how many ranks each has, so that a tensor-parallel group's collectives can be told."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from t3sim.errors import InputError, Problem
from t3sim.workload.chakra.files import prefix_of
from t3sim.workload.chakra.schema import NodeType
from t3sim.workload.packed import unpacking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from t3sim.workload.chakra.schema import Node

_COMMON_FILE: Final = "comm_group.json"
_ALL_RANKS: Final = ("", "0")
_MOST_BYTES: Final = 2**24


def group_of(node: Node) -> str:
    """Name the group of a collective: as a string or, by other writers, as a number; empty is all ranks."""
    return str(node.attributes.get("pg_name", node.attributes.get("comm_group", "")))


def group_sizes(path: Path, nodes: Sequence[Node]) -> dict[str, int]:
    """Find out how many ranks groups have, by name.

    Where nodes name groups, from the file of them beside the trace, as ASTRA-sim reads and STAGE writes it:
    ``PREFIX.json`` or ``comm_group.json``. And from the metadata nodes that PyTorch's traces have for it. Raises:
        InputError: that file is none.

    """
    sizes: dict[str, int] = {}
    beside = (path.parent / name for name in (f"{prefix_of(path)}.json", _COMMON_FILE))
    are_named = any(group_of(node) not in _ALL_RANKS for node in nodes)
    if are_named and (file := next((name for name in beside if name.is_file()), None)) is not None:
        sizes.update(_from_file(file))
    for node in nodes:
        text = node.inputs
        # A list of one string, as Python prints it.
        if node.type == NodeType.METADATA and text.startswith(("['", '["')):
            with suppress(ValueError, KeyError, TypeError, RecursionError):  # it can be about something else
                groups = json.loads(text[2:-2])
                sizes.update({str(group["pg_name"]): len(group["ranks"]) for group in groups if group["ranks"]})
    return sizes


def _from_file(path: Path) -> dict[str, int]:
    """Read a file of groups: by name, the list of ranks."""
    with unpacking(path, _MOST_BYTES) as file:
        data = b"".join(iter(lambda: file.read(2**20), b""))
    try:
        groups = json.loads(data)
    except (ValueError, RecursionError) as error:
        message = f"groups of the trace beside it: not valid JSON: {str(error) or type(error).__name__}"
        raise InputError(Problem(message=message, file=str(path))) from None
    if not isinstance(groups, dict) or not all(isinstance(ranks, list) for ranks in groups.values()):
        message = "groups of the trace beside it: must be a mapping of names to lists of ranks"
        raise InputError(Problem(message=message, file=str(path)))
    return {name: len(ranks) for name, ranks in groups.items()}
