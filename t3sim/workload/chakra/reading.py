"""Chakra's files as traces: which nodes are operations, what they wait for, and what could not be mapped."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from t3sim.errors import InputError, Problem
from t3sim.workload.chakra.files import find_ranks, ranks_beside, read_graph
from t3sim.workload.chakra.groups import group_of, group_sizes
from t3sim.workload.chakra.schema import PYTORCH_SCHEMAS, SCHEMAS, CommType, NodeType
from t3sim.workload.chakra.waiting import nearest_mapped
from t3sim.workload.chakra.writing import COMM_TYPES
from t3sim.workload.drafts import Draft, Imported, Moved, Place, Shape, Unmapped, as_name, trace_of
from t3sim.workload.operations import DTYPE_BYTES, Dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from t3sim.workload.chakra.files import Graph
    from t3sim.workload.chakra.schema import Node
    from t3sim.workload.drafts import CollectiveOp

_WHOLE_NUMBERS: Final = frozenset({"M", "N", "K", "comm_type", "comm_size", "buffer_size", "stream", "is_cpu_op"})
WANTED: Final = _WHOLE_NUMBERS | {"pg_name", "comm_group", "dtype", "phase", "sublayer"}
"""Attributes of nodes that are looked at."""

_OPS: Final = {kind: cast("CollectiveOp", op) for op, kind in COMM_TYPES.items()}
_COMM_TYPES: Final = frozenset(int(kind) for kind in CommType)
_LEAST_RANKS: Final = 2
_KINDS: Final = {str: "text", float: "a floating-point number"}


@dataclass(frozen=True, slots=True)
class _Group:
    """Whose collectives are mapped."""

    ranks: int
    only: str | None
    sizes: Mapping[str, int]
    """Of the groups that the file describes."""

    def misfit(self, name: str) -> str:
        """Say why a group's collectives are not; empty: they are."""
        if self.only is not None and name != self.only:
            return f"a collective of another group than {self.only}"
        size = self.sizes.get(name, self.ranks)
        return f"a collective of {size} ranks, where the group has {self.ranks}" if size != self.ranks else ""


def import_chakra(
    path: Path,
    *,
    rank: int | None = None,
    tp: int | None = None,
    group: str | None = None,
    model: str | None = None,
    dtype: Dtype = "fp16",
) -> Imported:
    """Make a trace of the file of one rank, or of one of the files of a folder: ``rank``'s, the first one's by default.

    ``tp``: GPUs of the group; where the file does not say it, as many as have a file beside it. Collectives of groups
    of another size are left out; with ``group``, a process group's name, those of all others are. ``dtype`` is that of
    collectives whose file does not say it.

    Raises:
        InputError: no such file, or one that is damaged, of an unknown version, or without any operation.

    """
    path = _file_of(path, rank)
    graph = read_graph(path, WANTED)
    _check_kinds(path, graph.nodes)
    sizes = group_sizes(path, graph.nodes)
    ranks = tp or _ranks(path, graph, sizes, group)
    unmapped = Unmapped()
    found = _found(graph.nodes, _Group(ranks, group, sizes), dtype, unmapped)
    drafts, metadata = list(found.values()), graph.metadata.attributes
    dropped = _order(path, graph, found)
    name = model or str(metadata.get("model", "")) or path.name.partition(".")[0]
    trace = trace_of(
        drafts,
        unmapped,
        path=path,
        model=as_name(name, "imported"),
        tp=ranks,
        description=str(metadata.get("description", f"imported from {path.name}")),
    )
    return Imported(trace, (*_notes(graph, drafts, dropped, dtype), *unmapped.lines()))


def _file_of(path: Path, rank: int | None) -> Path:
    if not path.is_dir():
        if rank is not None:
            raise InputError(Problem(message="chooses a file of a folder", file=str(path), key="--rank", value=rank))
        return path
    ranks = find_ranks(path)
    rank = next(iter(ranks)) if rank is None else rank
    if rank not in ranks:
        message = "no file of this rank"
        raise InputError(Problem(message=message, file=str(path), value=rank, known=tuple(map(str, ranks))))
    return ranks[rank]


def _check_kinds(path: Path, nodes: Sequence[Node]) -> None:
    """See to it that what is to be a whole number is one, whichever of Chakra's kinds of them was written."""
    for node in nodes:
        for name in _WHOLE_NUMBERS & node.attributes.keys():
            value = node.attributes[name]
            if not isinstance(value, int):
                message = f"must be a whole number, of any of Chakra's kinds, and is {_KINDS[type(value)]}"
                raise InputError(Problem(message=message, file=str(path), key=f"{node}: {name}", value=value))


def _whole(node: Node, name: str) -> int:
    """Give an attribute that was checked to be a whole number; 0 where there is none."""
    return int(node.attributes.get(name, 0))


def _ranks(path: Path, graph: Graph, groups: Mapping[str, int], group: str | None) -> int:
    """Find out how many GPUs the group has."""
    said = graph.metadata.attributes.get("tp")
    if isinstance(said, int):
        return said
    used = {group_of(node) for node in graph.nodes if node.type == NodeType.COMM_COLL}
    used &= {group} if group is not None else used
    sizes = sorted({groups[name] for name in used if groups.get(name, 0) >= _LEAST_RANKS})
    if len(sizes) == 1 and used <= groups.keys():
        return sizes[0]
    beside = ranks_beside(path)
    if sizes or beside < _LEAST_RANKS:
        message = "does not say how many GPUs the group has; give --tp"
        raise InputError(Problem(message=message, file=str(path), key="--tp", known=tuple(map(str, sizes))))
    return beside


def _found(nodes: Sequence[Node], group: _Group, dtype: Dtype, unmapped: Unmapped) -> dict[int, Draft]:
    """Make drafts of the nodes that are operations, by their place in the file."""
    found: dict[int, Draft] = {}
    for i, node in enumerate(nodes):
        draft = _draft(node, group, dtype)
        if isinstance(draft, str):
            unmapped.add(node.name or f"node {node.id}", draft)
        elif draft is not None:
            found[i] = draft
    return found


def _order(path: Path, graph: Graph, found: Mapping[int, Draft]) -> int:
    """Let drafts wait for each other as nodes do; how many dependencies of circles were left out for that."""
    draft_of = array("q", [-1]) * len(graph.nodes)
    for number, place in enumerate(found):
        draft_of[place] = number
    mends = graph.metadata.attributes.get("schema") in PYTORCH_SCHEMAS
    waits = nearest_mapped(path, graph.nodes, draft_of, mends=mends)
    for draft, after in zip(found.values(), waits.after, strict=True):
        draft.after = after
    return waits.dropped


def _draft(node: Node, group: _Group, dtype: Dtype) -> Draft | str | None:
    """Make a draft of a node; text: why it is none; none: it is none, and nothing is lost by that."""
    said = node.attributes.get("dtype")
    of_node = cast("Dtype", said) if said in DTYPE_BYTES else dtype
    what: Shape | Moved | str
    match node.type:
        case NodeType.COMP if not _whole(node, "is_cpu_op"):
            what = _gemm(node)
        case NodeType.COMM_COLL:
            what = _collective(node, group)
        case NodeType.COMM_SEND if "sublayer" in node.attributes:
            what = Moved("send", _whole(node, "comm_size"))
        case NodeType.COMM_RECV if "sublayer" in node.attributes:
            return None  # the other half of a send of ours
        case _:
            return _why_not(node)
    if isinstance(what, str):
        return what
    return Draft(node.name or f"node.{node.id}", what, of_node, place=_place(node), origin=str(node))


def _gemm(node: Node) -> Shape | str:
    if not {"M", "N", "K"} <= node.attributes.keys():
        return "compute without the shape of a GEMM (attributes M, N, K)"
    if node.attributes.get("dtype") not in DTYPE_BYTES:
        return f"a GEMM of no dtype that is known (attribute dtype: {', '.join(DTYPE_BYTES)})"
    return Shape(_whole(node, "M"), _whole(node, "N"), _whole(node, "K"))


def _collective(node: Node, group: _Group) -> Moved | str:
    if "comm_type" not in node.attributes or "comm_size" not in node.attributes:
        return "a collective without comm_type or comm_size"
    kind, size = _whole(node, "comm_type"), _whole(node, "comm_size")
    if kind not in _OPS:
        name = CommType(kind).name.lower() if kind in _COMM_TYPES else f"of type {kind}"
        return f"a collective {name}, which t3sim has not"
    if other := group.misfit(group_of(node)):
        return other
    if size <= 0:
        return "a collective of no bytes"
    op = _OPS[CommType(kind)]
    return Moved(op, _whole(node, "buffer_size") or (size * group.ranks if op == "all_gather" else size))


def _place(node: Node) -> Place | None:
    phase, sublayer = node.attributes.get("phase"), node.attributes.get("sublayer")
    return Place(str(phase), str(sublayer)) if phase is not None and sublayer is not None else None


def _why_not(node: Node) -> str:
    match node.type:
        case NodeType.COMP:
            return "work of the CPU"
        case NodeType.METADATA | NodeType.INVALID:
            return "metadata, or nothing"
        case NodeType.MEM_LOAD | NodeType.MEM_STORE:
            return "a load from other memory, or a store"
        case NodeType.COMM_SEND | NodeType.COMM_RECV:
            return "a message from GPU to GPU"
        case _:
            return f"type {node.type}, which is not known"


def _notes(graph: Graph, drafts: Sequence[Draft], dropped: int, dtype: Dtype) -> Iterator[str]:
    nodes, schema = graph.nodes, graph.metadata.attributes.get("schema", "")
    if schema and schema not in SCHEMAS:
        yield f"written by the schema {schema!r}, which is not known; known: {', '.join(SCHEMAS)}"
    types = Counter(node.type for node in nodes)
    gemms = sum(isinstance(draft.what, Shape) for draft in drafts)
    yield (
        f"{len(nodes)} nodes, {types[NodeType.COMP]} of them compute and {types[NodeType.COMM_COLL]} collectives; "
        f"mapped: {gemms} GEMMs and {len(drafts) - gemms} collectives"
    )
    ids = {node.id for node in nodes}
    if missing := sum(number not in ids for node in nodes for number in node.waits_for):
        yield f"{missing} dependencies on nodes that are not in the file are left out"
    if dropped:
        yield f"nodes wait for each other: {dropped} dependencies on what started later, or on itself, are left out"
    if any(node.type == NodeType.COMM_COLL and node.attributes.get("dtype") not in DTYPE_BYTES for node in nodes):
        yield f"collectives do not say their dtype; {dtype} is taken (--dtype), which changes no bytes"
