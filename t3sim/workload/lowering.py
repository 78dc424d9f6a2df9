"""From a sublayer's operations to work: tiled GEMMs, and collectives over chunks, with what can be fused marked."""

from dataclasses import dataclass

from t3sim.errors import InputError, Problem
from t3sim.workload.chunks import Chunks, TileChunks, even_chunks, resliced
from t3sim.workload.operations import DTYPE_BYTES, Collective, Gemm, Sublayer
from t3sim.workload.tiling import GemmKernelSpec, Tiling


@dataclass(frozen=True, kw_only=True, eq=False)
class GemmWork:
    """A tiled GEMM whose output is grouped into chunks."""

    op: Gemm
    tiles: TileChunks


@dataclass(frozen=True, kw_only=True, eq=False)
class CollectiveWork:
    """One reduce-scatter or all-gather (an all-reduce is one of each)."""

    op: Collective
    algorithm: str
    """Registered name of the step graph: ``reduce_scatter`` or ``all_gather``."""
    chunks: Chunks
    producer: GemmWork | None = None
    """The GEMM this reduce-scatter can be fused with: the only one it waits for, and of the same output."""


Work = GemmWork | CollectiveWork


def lower(sublayer: Sublayer, kernel: GemmKernelSpec, slice_bytes: int) -> tuple[Work, ...]:
    """Lower the operations of ``sublayer`` in execution order.

    ``slice_bytes``: grain of the collectives' messages. Raises ``InputError`` when an operation does not fit the
    kernel or the ring: K smaller than a slab, fewer output tiles than GPUs, fewer bytes than GPUs.
    """
    works: list[Work] = []
    producers: dict[str, GemmWork] = {}
    shaped: dict[str, Chunks] = {}  # chunks of the buffer that an operation leaves behind, by its id
    for op in sublayer.operations:
        if isinstance(op, Gemm):
            producers[op.id] = _gemm(op, kernel, sublayer.tp)
            works.append(producers[op.id])
            continue
        producer = _producer(op, producers)
        chunks = _chunks(op, producer, shaped, sublayer.tp, slice_bytes)
        shaped[op.id] = chunks
        works += _collectives(op, chunks, producer)
    return tuple(works)


def _gemm(op: Gemm, kernel: GemmKernelSpec, tp: int) -> GemmWork:
    if op.K_local < kernel.slab_k:
        raise _misfit(op, "K_local", op.K_local, f"is smaller than one K-slab of the kernel ({kernel.slab_k})")
    tiling = Tiling(
        M=op.M,
        N=op.N,
        K=op.K_local,
        element_bytes=DTYPE_BYTES[op.dtype],
        tile_m=kernel.tile_m,
        tile_n=kernel.tile_n,
        slab_k=kernel.slab_k,
    )
    if tiling.tiles < tp:
        raise _misfit(op, "M, N", f"{op.M} x {op.N}", f"makes {tiling.tiles} output tiles, too few for {tp} chunks")
    return GemmWork(op=op, tiles=TileChunks(tiling=tiling, order=tiling.dispatch_order(kernel.group_rows), count=tp))


def _producer(op: Collective, producers: dict[str, GemmWork]) -> GemmWork | None:
    if op.op == "all_gather" or len(op.after) != 1:
        return None
    producer = producers.get(op.after[0])
    return producer if producer is not None and producer.op.output_bytes == op.bytes else None


def _chunks(op: Collective, producer: GemmWork | None, shaped: dict[str, Chunks], tp: int, slice_bytes: int) -> Chunks:
    """Cut the buffer as its producer does, so that a chunk is the same bytes from GEMM to all-gather."""
    if op.bytes < tp:
        raise _misfit(op, "bytes", op.bytes, f"is less than one byte for each of {tp} chunks")
    if producer is not None:
        return resliced(producer.tiles.chunks, slice_bytes)
    for name in op.after:
        if name in shaped and shaped[name].total_bytes == op.bytes:
            return shaped[name]
    return even_chunks(op.bytes, tp, slice_bytes)


def _collectives(op: Collective, chunks: Chunks, producer: GemmWork | None) -> list[Work]:
    algorithms = ("reduce_scatter", "all_gather") if op.op == "all_reduce" else (op.op,)
    return [
        CollectiveWork(op=op, algorithm=name, chunks=chunks, producer=producer if name == "reduce_scatter" else None)
        for name in algorithms
    ]


def _misfit(op: Gemm | Collective, key: str, value: object, message: str) -> InputError:
    return InputError(Problem(message=f"{op.id}: {message}", key=key, value=value))
