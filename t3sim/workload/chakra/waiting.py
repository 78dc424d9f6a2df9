"""What operations of a Chakra graph wait for, where other nodes stand between them.

A node that is no operation hands on what it waits for. PyTorch's linked traces lack dependencies between kernels of one
stream (mlcommons/chakra, issue 215), which run in the order in which they were started: where nodes name a stream, each
waits for the one before it too. Such traces also name nodes that their linker has left out, for which nothing can wait,
and have circles (the ResNet-50 among the schema's tests is one): in a circle, what started later is not waited for.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Final, NamedTuple

from t3sim import lazy
from t3sim.errors import InputError, Problem
from t3sim.workload.chakra.schema import NodeType

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import networkx as nx

    from t3sim.workload.chakra.schema import Node
else:
    nx = lazy.module("networkx")

_MOST_HELD: Final = 2**24
_SHOWN: Final = 5


class Waits(NamedTuple):
    """What drafts wait for."""

    after: list[tuple[int, ...]]
    """By draft, other drafts."""
    dropped: int
    """How many dependencies of circles were left out."""


def nearest_mapped(path: Path, nodes: Sequence[Node], draft_of: array[int], *, mends: bool) -> Waits:
    """Find for each draft the drafts it waits for; ``draft_of``: number of each node's draft, -1 where it has none.

    ``mends``: whether circles are mended. Raises:
        InputError: nodes wait for each other, or what they wait for is more than can be held.

    """
    before = _before(nodes)
    order = _in_order(before)
    if not mends and len(order) < len(nodes):
        raise _stuck(path, nodes, order, "nodes wait for each other")
    for waits, previous in zip(before, _in_streams(nodes), strict=True):
        if previous >= 0 and previous not in waits:
            waits.append(previous)
    dropped = 0
    if len(order := _in_order(before)) < len(nodes):
        if not mends:
            raise _stuck(path, nodes, order, "kernels of a stream start in another order than they wait for each other")
        dropped = _mend(before, nodes, set(order))
        order = _in_order(before)
    return Waits(_handed_on(path, before, order, draft_of), dropped)


def _mend(before: Sequence[array[int]], nodes: Sequence[Node], ordered: set[int]) -> int:
    """Leave out of every circle what waits for something that started later, or for itself; say how many those are."""
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from((j, i) for i, waits in enumerate(before) if i not in ordered for j in waits)
    dropped = 0
    for circle in nx.strongly_connected_components(graph):
        for i in circle:
            waits, mine = before[i], (nodes[i].start_us, i)
            kept = [j for j in waits if j not in circle or (nodes[j].start_us, j) < mine]
            dropped += len(waits) - len(kept)
            waits[:] = array("Q", kept)
    return dropped


def _handed_on(
    path: Path, before: Sequence[array[int]], order: Sequence[int], draft_of: array[int]
) -> list[tuple[int, ...]]:
    """Find for each draft the drafts that it waits for through nodes that have none."""
    # By node, what waiting for it means: itself if it is an operation, what it waits for if it is none.
    means: list[tuple[int, ...]] = [()] * len(before)
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


def _joined(before: array[int], means: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Join what nodes mean, in their order and each once; the tuple of one of them where it has all."""
    if len(before) == 1:
        return means[before[0]]
    joined = tuple(dict.fromkeys(number for place in before for number in means[place]))
    return next((means[place] for place in before if means[place] == joined), joined)


def _before(nodes: Sequence[Node]) -> list[array[int]]:
    """Give places in the list of nodes instead of ids, of those that are there."""
    place = {node.id: i for i, node in enumerate(nodes)}
    return [
        array("Q", [place[number] for number in dict.fromkeys(node.waits_for) if number in place]) for node in nodes
    ]


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
