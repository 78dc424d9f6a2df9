"""What operations of a Chakra graph wait for, where other nodes stand between them.

A node that is no operation hands on what it waits for. PyTorch's linked traces lack dependencies between kernels of one
stream (mlcommons/chakra, issue 215), which run in the order in which they were started: where nodes name a stream, each
waits for the one before it too.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final

from t3sim.errors import InputError, Problem
from t3sim.workload.chakra.schema import NodeType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from t3sim.workload.chakra.schema import Node

_MOST_HELD: Final = 2**24
_SHOWN: Final = 5


def nearest_mapped(path: Path, nodes: Sequence[Node], draft_of: array[int]) -> list[tuple[int, ...]]:
    """Find for each draft the drafts it waits for; ``draft_of``: number of each node's draft, -1 where it has none.

    Raises:
        InputError: a node waits for one that is not there, nodes wait for each other, or what they wait for is more
            than can be held.

    """
    before, order = _ordered(path, nodes)
    # By node, what waiting for it means: itself if it is an operation, what it waits for if it is none.
    means: list[tuple[int, ...]] = [()] * len(nodes)
    found: list[tuple[int, ...]] = [()] * sum(number >= 0 for number in draft_of)
    held = 0
    for i in order:
        waits = _joined(before[i], means)
        held += len(waits)
        if held > _MOST_HELD:
            message = f"nodes that are no operations hand on more than {_MOST_HELD} dependencies"
            raise InputError(Problem(message=message, file=str(path)))
        number = draft_of[i]
        if number >= 0:
            found[number] = waits
        means[i] = (number,) if number >= 0 else waits
    return found


def _ordered(path: Path, nodes: Sequence[Node]) -> tuple[list[array[int]], list[int]]:
    """Find what each node waits for, those before it in its stream with it, and an order in which they could run."""
    before = _before(path, nodes)
    if len(order := _in_order(before)) < len(nodes):
        raise _stuck(path, nodes, order, "nodes wait for each other")
    for waits, previous in zip(before, _in_streams(nodes), strict=True):
        if previous >= 0 and previous not in waits:
            waits.append(previous)
    if len(order := _in_order(before)) < len(nodes):
        raise _stuck(path, nodes, order, "kernels of a stream start in another order than they wait for each other")
    return before, order


def _joined(before: array[int], means: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Join what nodes mean, in their order and each once; the tuple of one of them where it has all."""
    if len(before) == 1:
        return means[before[0]]
    joined = tuple(dict.fromkeys(number for place in before for number in means[place]))
    return next((means[place] for place in before if means[place] == joined), joined)


def _before(path: Path, nodes: Sequence[Node]) -> list[array[int]]:
    """Give places in the list of nodes instead of ids."""
    place = {node.id: i for i, node in enumerate(nodes)}
    found = []
    for node in nodes:
        unknown = next((number for number in node.waits_for if number not in place), None)
        if unknown is not None:
            message = f"{node} waits for node {unknown}, which is not in the file"
            raise InputError(Problem(message=message, file=str(path)))
        found.append(array("Q", [place[number] for number in dict.fromkeys(node.waits_for)]))
    return found


def _in_streams(nodes: Sequence[Node]) -> list[int]:
    """Find the node before each in its stream, by the time at which they started; -1: none, or no stream is named."""
    previous = [-1] * len(nodes)
    last: dict[int, int] = {}
    kernels = (
        i
        for i, node in enumerate(nodes)
        if "stream" in node.attributes
        and node.type in (NodeType.COMP, NodeType.COMM_COLL, NodeType.COMM_SEND, NodeType.COMM_RECV)
        and not node.attributes.get("is_cpu_op", 0)
    )
    for i in sorted(kernels, key=lambda i: (nodes[i].start_us, i)):
        stream = int(nodes[i].attributes["stream"])
        previous[i] = last.get(stream, -1)
        last[stream] = i
    return previous


def _in_order(before: Sequence[array[int]]) -> list[int]:
    """Order the places so that each comes after all that it waits for; those in circles, or after one, are left out."""
    left = [len(waits) for waits in before]
    following: list[array[int]] = [array("Q") for _ in before]
    for i, waits in enumerate(before):
        for place in waits:
            following[place].append(i)
    ready = [i for i, count in enumerate(left) if not count]
    for i in ready:  # grows while it is gone through
        for after in following[i]:
            left[after] -= 1
            if not left[after]:
                ready.append(after)
    return ready


def _stuck(path: Path, nodes: Sequence[Node], order: Sequence[int], why: str) -> InputError:
    """Name some of the nodes that are in no order."""
    placed = set(order)
    stuck = [str(node) for i, node in enumerate(nodes) if i not in placed]
    message = f"{why}: {', '.join(stuck[:_SHOWN])}{' and others' if len(stuck) > _SHOWN else ''}"
    return InputError(Problem(message=message, file=str(path)))
