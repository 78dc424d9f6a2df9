"""GEMMs, collectives, and the trace that orders them, as one rank of a tensor-parallel group sees them."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from t3sim import lazy
from t3sim.config import PositiveBytes, Spec
from t3sim.errors import InputError, Problem, nearest
from t3sim.results.sublayers import Place, full_name, shown_names
from t3sim.workload.faults import fault, refuse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import networkx as nx
    from pydantic_core import InitErrorDetails
else:
    nx = lazy.module("networkx")

Dtype = Literal["fp32", "fp16", "bf16", "fp8"]
DTYPE_BYTES: Mapping[str, int] = MappingProxyType({"fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1})
"""Bytes of one element of each dtype."""

MOST_GPUS = 2**16
MOST_EXTENT = 2**28
"""Far more rows than any GEMM has, and few enough for byte addresses to stay within 64 bits."""

_MOST_HINTS = 10

# No blanks, commas or brackets: a name stands unquoted in `after: [...]` and in `--sublayer op,fc2`.
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_./-]*$")]
# No control characters, which no YAML file may hold, and nothing that ends a line.
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]*$")]

Extent = Annotated[int, Field(gt=0, le=MOST_EXTENT)]
Degree = Annotated[int, Field(ge=2, le=MOST_GPUS)]


class Gemm(Spec):
    """One GPU's share of a matrix product: what it multiplies itself, an M x N output summed over K_local terms.

    `M` is the number of tokens (output rows), `N` the output columns, and `K_local` the reduction length, each
    as one GPU has it. Where tensor parallelism slices K, `K_local` is the whole K divided by its degree, and
    the outputs of all GPUs are to be summed; where it slices the columns, `N` is all of them divided by the
    degree, and `K_local` is whole.
    """

    op: Literal["gemm"] = "gemm"
    id: Name
    phase: Name
    sublayer: Name
    M: Extent
    N: Extent
    K_local: Extent
    dtype: Dtype
    after: tuple[Name, ...] = ()

    @property
    def input_bytes(self) -> int:
        """Bytes of the M x K_local input, which is also the buffer of the all-gather that brings it together."""
        return self.M * self.K_local * DTYPE_BYTES[self.dtype]

    @property
    def output_bytes(self) -> int:
        """Bytes of the output, which is also the buffer of the collective that reduces it."""
        return self.M * self.N * DTYPE_BYTES[self.dtype]

    @property
    def flop(self) -> int:
        """Floating-point operations on one GPU: a multiplication and an addition per term."""
        return 2 * self.M * self.N * self.K_local


class Collective(Spec):
    """A collective over the tensor-parallel group; `bytes` is the whole buffer and not one GPU's share.

    That is what goes into a reduce-scatter or all-reduce on each GPU, what comes out of an all-gather, what each GPU
    has for all others in an all-to-all, and what is broadcast or sent on to the next GPU.
    """

    op: Literal["reduce_scatter", "all_gather", "all_reduce", "all_to_all", "broadcast", "send"]
    id: Name
    phase: Name
    sublayer: Name
    bytes: PositiveBytes
    dtype: Dtype
    after: tuple[Name, ...] = ()


TracedOperation = Annotated[Gemm | Collective, Field(discriminator="op")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sublayer:
    """The operations of a trace that share a phase and a sublayer, each after all that it waits for."""

    model: str
    phase: str
    sublayer: str
    tp: int
    operations: tuple[TracedOperation, ...]
    shown: str = ""
    """Its name for people, where that is not ``sublayer``."""

    @property
    def label(self) -> str:
        """Model, TP degree and name, for people."""
        return f"{self.model} tp{self.tp} {self.shown or self.sublayer}"


class Trace(Spec):
    """The operations of one rank and what each waits for; `tp` is the number of GPUs in the group.

    Raises:
        ValidationError: an id is used twice, `after` names no operation, operations or sublayers wait for
            each other, or there is no operation at all. Every such fault carries its place in the trace.

    """

    model: Name
    tp: Degree
    description: Line = ""
    operations: tuple[TracedOperation, ...]

    def sublayers(self) -> tuple[Sublayer, ...]:
        """Group the operations by phase and sublayer, in order of first appearance."""
        ordered = [self.operations[i] for i in _in_order(_awaited(self.operations))]
        names = shown_names(_groups(self.operations))
        return tuple(
            Sublayer(
                model=self.model,
                phase=phase,
                sublayer=sublayer,
                tp=self.tp,
                operations=tuple(o for o in ordered if (o.phase, o.sublayer) == (phase, sublayer)),
                shown=shown,
            )
            for (phase, sublayer), shown in names.items()
        )

    @model_validator(mode="after")
    def _operations_can_run(self) -> Self:
        if not self.operations:
            refuse(self, [fault(("operations",), "a trace needs at least one operation", ())])
        # A cycle means something only once every id stands for exactly one operation.
        faults = [*_repeated_ids(self.operations), *_unknown_names(self.operations)]
        faults = faults or list(_operation_cycles(self.operations))
        faults = faults or list(_sublayer_cycles(self.operations))
        refuse(self, faults)
        return self


def picked(places: Sequence[Place], wanted: Sequence[str], key: str) -> tuple[Place, ...]:
    """Pick sublayers by name, which means both phases of it, or by phase and name (``backward/fc2``).

    In the order of ``wanted``, each once; none wanted: all. Raises ``InputError`` naming the known ones.
    """
    answers: dict[str, list[Place]] = {}
    for place in places:
        for name in (place[1], full_name(place)):
            answers.setdefault(name, []).append(place)
    if unknown := [name for name in dict.fromkeys(wanted) if name not in answers]:
        known = tuple(dict.fromkeys([*(name for _, name in places), *shown_names(places).values()]))
        raise InputError(*(Problem(message="unknown name", key=key, value=name, known=known) for name in unknown))
    return tuple(dict.fromkeys(place for name in wanted for place in answers[name])) or tuple(places)


def _repeated_ids(operations: Sequence[TracedOperation]) -> Iterator[InitErrorDetails]:
    first: dict[str, int] = {}
    for i, operation in enumerate(operations):
        if first.setdefault(operation.id, i) != i:
            message = f"operation {first[operation.id] + 1} of the trace already has this id"
            yield fault(("operations", i, "id"), message, operation.id)


def _unknown_names(operations: Sequence[TracedOperation]) -> Iterator[InitErrorDetails]:
    ids = tuple(operation.id for operation in operations)
    known = set(ids)
    unknown = [
        (i, j, name)
        for i, operation in enumerate(operations)
        for j, name in enumerate(operation.after)
        if name not in known
    ]
    for number, (i, j, name) in enumerate(unknown):
        # Looking for the nearest name takes long in a long trace, so not for thousands of them.
        near = nearest(name, ids) if number < _MOST_HINTS else ()
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        message = f"{ids[i]!r} waits for {name!r}, which is no operation{hint}"
        yield fault(("operations", i, "after", j), message, name)


def _operation_cycles(operations: Sequence[TracedOperation]) -> Iterator[InitErrorDetails]:
    for cycle in _cycles(_awaited(operations)):
        first = operations[cycle[0]]
        message = f"operations wait for each other: {_ring([operations[i].id for i in cycle])}"
        yield fault(("operations", cycle[0], "after"), message, first.after)


def _sublayer_cycles(operations: Sequence[TracedOperation]) -> Iterator[InitErrorDetails]:
    groups = _groups(operations)
    number = {group: i for i, group in enumerate(groups)}
    member = [number[operation.phase, operation.sublayer] for operation in operations]
    between: dict[int, set[int]] = {}
    for i, awaited in _awaited(operations).items():
        between.setdefault(member[i], set()).update({member[before] for before in awaited} - {member[i]})
    for cycle in _cycles(between):
        message = f"sublayers wait for each other: {_ring([' '.join(groups[group]) for group in cycle])}"
        first = member.index(cycle[0])
        yield fault(("operations", first), message, operations[first].id)


def _groups(operations: Sequence[TracedOperation]) -> list[Place]:
    """(phase, sublayer) of each group, in order of first appearance."""
    return list(dict.fromkeys((operation.phase, operation.sublayer) for operation in operations))


def _awaited(operations: Sequence[TracedOperation]) -> dict[int, list[int]]:
    """Positions of the operations that each operation waits for, by its own position."""
    # Positions instead of ids: sets of small integers iterate in the same order in every process.
    position = {operation.id: i for i, operation in enumerate(operations)}
    return {i: [position[name] for name in operation.after] for i, operation in enumerate(operations)}


def _in_order(awaited: Mapping[int, Collection[int]]) -> Iterator[int]:
    """Each node after all that it waits for, and the lowest first of those that could be next."""
    sorter = TopologicalSorter(awaited)
    sorter.prepare()
    ready = list(sorter.get_ready())
    heapify(ready)
    while ready:
        node = heappop(ready)
        yield node
        sorter.done(node)
        for following in sorter.get_ready():
            heappush(ready, following)


def _cycles(awaited: Mapping[int, Collection[int]]) -> Iterator[list[int]]:
    """One cycle out of each set of nodes that wait for each other, lowest node first."""
    try:
        TopologicalSorter(awaited).prepare()
    except CycleError:
        pass
    else:
        return
    graph: nx.DiGraph[int] = nx.DiGraph()
    graph.add_edges_from((before, node) for node, nodes in awaited.items() for before in nodes)
    for knot in sorted(sorted(nodes) for nodes in nx.strongly_connected_components(graph)):
        if len(knot) > 1 or graph.has_edge(knot[0], knot[0]):
            cycle = [edge[0] for edge in nx.find_cycle(graph.subgraph(knot), source=knot[0])]
            lowest = cycle.index(min(cycle))
            yield cycle[lowest:] + cycle[:lowest]


def _ring(names: Sequence[str]) -> str:
    return " -> ".join([*names, names[0]])
