"""A trace as Chakra's files, one a rank: what ASTRA-sim reads, and beside it what only t3sim does.

ASTRA-sim's readers look at the kinds of values, older ones strictly: ``is_cpu_op`` is a bool, ``num_ops``,
``comm_type`` and ``comm_size`` are int64, ``tensor_size`` is uint64, ``comm_priority``, ``comm_src``, ``comm_dst`` and
``comm_tag`` int32, ``pg_name`` a string. It counts an all-gather by what one rank puts in, every other collective by
the whole buffer (``msg_size`` in ``Ring.cc`` of astra-sim 518bd51), runs a node of type ``COMP`` for its
``duration_micros`` or, with its roofline, by ``num_ops`` and ``tensor_size``, and a broadcast for its
``duration_micros`` alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from t3sim.units import ceil_div
from t3sim.workload.chakra.schema import (
    VERSIONS,
    Attribute,
    CommType,
    NodeType,
    ValueType,
    encoded_metadata,
    encoded_node,
)
from t3sim.workload.chakra.wire import delimited
from t3sim.workload.operations import DTYPE_BYTES, Collective, Gemm, Trace, TracedOperation

COMM_TYPES: Final = {
    "all_reduce": CommType.ALL_REDUCE,
    "all_gather": CommType.ALL_GATHER,
    "reduce_scatter": CommType.REDUCE_SCATTER,
    "all_to_all": CommType.ALL_TO_ALL,
    "broadcast": CommType.BROADCAST,
}
SCHEMA: Final = "t3sim-trace-1"
RECEIVED: Final = ".recv"
"""Ends the name of the node that receives what one of the same name sends."""

# All ranks are one group, which needs no file of groups.
_ALL_RANKS: Final = Attribute("pg_name", ValueType.STRING, "0")


def rank_files(trace: Trace, durations_us: Mapping[str, int] | None = None) -> Iterator[bytes]:
    """Yield the file of each rank; ``durations_us``: how long GEMMs take, by id."""
    metadata = _metadata(trace)
    ranks_differ = any(operation.op == "send" for operation in trace.operations)
    for rank in range(trace.tp):
        if ranks_differ or not rank:
            nodes = b"".join(map(delimited, _nodes(trace, rank, durations_us or {})))
        yield metadata + nodes


def gemm_bytes(gemm: Gemm) -> int:
    """Bytes of both operands and of the output."""
    return gemm.input_bytes + gemm.K_local * gemm.N * DTYPE_BYTES[gemm.dtype] + gemm.output_bytes


def _metadata(trace: Trace) -> bytes:
    attributes = [
        Attribute("schema", ValueType.STRING, SCHEMA),
        Attribute("model", ValueType.STRING, trace.model),
        Attribute("tp", ValueType.INT64, trace.tp),
        Attribute("description", ValueType.STRING, trace.description),
    ]
    return delimited(encoded_metadata(VERSIONS[0], attributes))


def _nodes(trace: Trace, rank: int, durations_us: Mapping[str, int]) -> Iterator[bytes]:
    """Yield the nodes of a rank in the trace's order; a send is two, of which others wait for the second."""
    numbers = _numbers(trace.operations)
    for operation in trace.operations:
        number = numbers[operation.id]
        after = [numbers[name] for name in operation.after]
        if isinstance(operation, Gemm):
            duration = durations_us.get(operation.id, 0)
            yield encoded_node(number, operation.id, NodeType.COMP, after, _of_gemm(operation), duration)
        elif operation.op == "send":
            to, of = (rank + 1) % trace.tp, (rank - 1) % trace.tp
            sent, received = _of_message(operation, number, rank, to), _of_message(operation, number, of, rank)
            yield encoded_node(number - 1, operation.id, NodeType.COMM_SEND, after, sent)
            yield encoded_node(number, operation.id + RECEIVED, NodeType.COMM_RECV, [number - 1], received)
        else:
            attributes = _of_collective(operation, trace.tp)
            yield encoded_node(number, operation.id, NodeType.COMM_COLL, after, attributes)


def _numbers(operations: Sequence[TracedOperation]) -> dict[str, int]:
    """Give, by operation, the number of the node for which others wait."""
    numbers, last = {}, -1
    for operation in operations:
        last += 2 if operation.op == "send" else 1
        numbers[operation.id] = last
    return numbers


def _of_gemm(gemm: Gemm) -> list[Attribute]:
    return [
        Attribute("is_cpu_op", ValueType.BOOL, value=False),
        Attribute("num_ops", ValueType.INT64, gemm.flop),
        Attribute("tensor_size", ValueType.UINT64, gemm_bytes(gemm)),
        Attribute("M", ValueType.INT64, gemm.M),
        Attribute("N", ValueType.INT64, gemm.N),
        Attribute("K", ValueType.INT64, gemm.K_local),
        *_ours(gemm),
    ]


def _of_collective(collective: Collective, ranks: int) -> list[Attribute]:
    nbytes, share = collective.bytes, ceil_div(collective.bytes, ranks)
    gathers = collective.op == "all_gather"
    return [
        Attribute("is_cpu_op", ValueType.BOOL, value=False),
        Attribute("comm_type", ValueType.INT64, COMM_TYPES[collective.op]),
        Attribute("comm_size", ValueType.INT64, share if gathers else nbytes),
        Attribute("comm_priority", ValueType.INT32, 0),
        _ALL_RANKS,
        # Where ranks cannot share the buffer evenly, the shares do not say how large it is.
        *([Attribute("buffer_size", ValueType.INT64, nbytes)] if gathers and nbytes != share * ranks else []),
        *_ours(collective),
    ]


def _of_message(collective: Collective, tag: int, source: int, destination: int) -> list[Attribute]:
    return [
        Attribute("is_cpu_op", ValueType.BOOL, value=False),
        Attribute("comm_size", ValueType.INT64, collective.bytes),
        Attribute("comm_src", ValueType.INT32, source),
        Attribute("comm_dst", ValueType.INT32, destination),
        Attribute("comm_tag", ValueType.INT32, tag),
        *_ours(collective),
    ]


def _ours(operation: TracedOperation) -> list[Attribute]:
    """Give what of an operation no other program asks for."""
    return [
        Attribute("dtype", ValueType.STRING, operation.dtype),
        Attribute("phase", ValueType.STRING, operation.phase),
        Attribute("sublayer", ValueType.STRING, operation.sublayer),
    ]
