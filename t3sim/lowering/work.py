"""From a sublayer's operations to work: tiled GEMMs, and collectives by plan, with what can be fused marked."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from t3sim.collectives.plan import Operation, Plan
from t3sim.compiled import IntArray
from t3sim.errors import InputError, Problem
from t3sim.lowering.chunks import Chunks, TileChunks, even_chunks, resliced
from t3sim.lowering.kernel_choice import GemmRates, KernelChoice, fastest, fastest_split, tiled
from t3sim.lowering.tiling import GemmKernelSpec, MacroTile, Tiling
from t3sim.workload.operations import Collective, Gemm, Sublayer


@dataclass(frozen=True, kw_only=True, eq=False)
class GemmWork:
    """A tiled GEMM whose output is grouped into chunks."""

    op: Gemm
    plain: KernelChoice
    """The kernel when nothing is fused with it."""
    order: IntArray
    """Tiles of the plain kernel in its own dispatch order, shape (tiles,)."""
    fused: KernelChoice
    """The kernel when a collective is fused with it: one workgroup a tile."""
    tiles: TileChunks
    """Tiles of the fused kernel by chunk, in an order that staggering rotates."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CollectiveWork:
    """What one plan moves: a whole collective, or half of an all-reduce that is a reduce-scatter and an all-gather."""

    op: Collective
    plan: Plan
    chunks: Chunks
    """The parts that the plan cuts the buffer into."""
    continues: bool = False
    """Whether it is the second half of an all-reduce, and so of the kernel that the first half started."""
    producer: GemmWork | None = None
    """The GEMM this collective can be fused with: the only one it waits for, and of the same output."""

    @property
    def operation(self) -> str:
        """Name of what it does, as traffic is counted by."""
        return self.plan.operation.value

    def follows(self, other: "CollectiveWork") -> bool:
        """Whether it takes what ``other`` leaves behind, and waits for nothing else."""
        return (self.continues and self.op is other.op) or self.op.after == (other.op.id,)


Work = GemmWork | CollectiveWork
PlansOf = Callable[[str, int], tuple[Plan, ...]]
"""Chooses the plans that carry out a collective of this name and bytes, one after the other."""

FUSABLE = (Operation.REDUCE_SCATTER, Operation.ALL_TO_ALL)
"""What can take a GEMM's tiles as they are produced: each tile has a GPU to go to."""

MOST_PIECES = 2**22
"""Tiles or slices that are still simulated one by one; about a thousand times what the largest model needs."""
MOST_SLABS = 2**31
MOST_SLABS_EACH = 2**16


def lower(
    sublayer: Sublayer, kernel: GemmKernelSpec, slice_bytes: int, plans: PlansOf, rates: GemmRates | None = None
) -> tuple[Work, ...]:
    """Lower the operations of ``sublayer`` in execution order.

    ``slice_bytes``: grain of the collectives' messages. ``rates``: to choose among the kernel's macro-tiles; a kernel
    of one tile needs none. Raises ``InputError`` when operations do not fit the kernel
    or the group (see ``misfits``).
    """
    if problems := [
        problem for op in sublayer.operations for problem in misfits(op, sublayer, plans, kernel, slice_bytes)
    ]:
        raise InputError(*problems)
    works: list[Work] = []
    producers: dict[str, GemmWork] = {}
    shaped: dict[str, Chunks] = {}  # chunks of the buffer that an operation leaves behind, by its id
    for op in sublayer.operations:
        if isinstance(op, Gemm):
            producers[op.id] = _gemm(op, kernel, _parts_of(op, sublayer, plans), rates)
            works.append(producers[op.id])
            continue
        for number, plan in enumerate(plans(op.op, op.bytes)):
            producer = None if number else _producer(op, plan, producers, sublayer)
            chunks = _chunks(op, plan, producer, shaped, slice_bytes)
            shaped[op.id] = chunks
            works.append(CollectiveWork(op=op, plan=plan, chunks=chunks, continues=number > 0, producer=producer))
    return tuple(works)


def _parts_of(gemm: Gemm, sublayer: Sublayer, plans: PlansOf) -> int:
    """Parts that the output of ``gemm`` is cut into: as the collective does that takes it, or one."""
    for op in sublayer.operations:
        if isinstance(op, Collective) and op.after == (gemm.id,):
            first = plans(op.op, op.bytes)[0]
            return first.parts if first.operation in FUSABLE else sublayer.tp
    return 1


def fusable(works: Iterable[Work]) -> dict[CollectiveWork, GemmWork]:
    """Pair each collective that can be fused with the GEMM that produces its data."""
    return {work: work.producer for work in works if isinstance(work, CollectiveWork) and work.producer is not None}


def consumers(works: Sequence[Work]) -> dict[CollectiveWork, GemmWork]:
    """Pair each all-gather with the GEMM whose input it brings: all it waits for, and awaited by nothing else."""
    found: dict[CollectiveWork, GemmWork] = {}
    for work in works:
        if not isinstance(work, CollectiveWork) or work.plan.operation is not Operation.ALL_GATHER or work.continues:
            continue
        awaiting = [other for other in works if work.op.id in other.op.after]
        match awaiting:
            case [GemmWork() as gemm] if gemm.op.after == (work.op.id,) and gemm.op.input_bytes == work.op.bytes:
                found[work] = gemm
    return found


def misfits(
    op: Gemm | Collective, sublayer: Sublayer, plans: PlansOf, kernel: GemmKernelSpec, slice_bytes: int
) -> Iterator[Problem]:
    """Say why ``op`` of ``sublayer`` cannot run on the kernel by these plans: too small to cut up, or too large."""
    if isinstance(op, Collective):
        if op.bytes > MOST_PIECES * slice_bytes:
            yield _misfit(op, "bytes", op.bytes, f"makes more than {MOST_PIECES} slices of {slice_bytes} B")
        return
    if op.K_local < kernel.slab_k:
        yield _misfit(op, "K_local", op.K_local, f"is smaller than one K-slab of the kernel ({kernel.slab_k})")
    parts = _parts_of(op, sublayer, plans)
    if not _fitting(op, kernel, parts):
        yield from _tile_misfits(op, tiled(op, kernel, kernel.macro_tiles[0]).tiling, parts)


def _tile_misfits(op: Gemm, tiling: Tiling, parts: int) -> Iterator[Problem]:
    """Say why ``op`` cannot run in these tiles, with an output of so many parts."""
    if tiling.slabs > MOST_SLABS_EACH:
        yield _misfit(op, "K_local", op.K_local, f"makes {tiling.slabs} K-slabs, too many to simulate one by one")
    if tiling.tiles < parts:
        yield _misfit(op, "M", f"{op.M} x {op.N}", f"makes {tiling.tiles} output tiles, too few for {parts} chunks")
    if tiling.tiles > MOST_PIECES or tiling.tiles * tiling.slabs > MOST_SLABS:
        size = f"{op.M} x {op.N} x {op.K_local}"
        yield _misfit(op, "M", size, f"makes {tiling.tiles} output tiles, too many to simulate one by one")


def group_rows(grid_m: int, count: int, configured: int) -> tuple[int, int]:
    """Choose how many tile rows are dispatched together: by the plain kernel, and by the staggered one.

    Staggering wants groups inside chunks: then all GPUs run the same program on other chunks. Where a chunk is
    whole tile rows, the staggered kernel takes the most rows, up to those configured, that divide it. Where there
    are fewer tile rows than chunks, both kernels take all rows, so that a chunk is a block of columns.
    """
    rows, left = divmod(grid_m, count)
    if not rows:
        return grid_m, grid_m
    return configured, configured if left else max(n for n in range(1, min(rows, configured) + 1) if rows % n == 0)


def _fitting(op: Gemm, kernel: GemmKernelSpec, parts: int) -> tuple[MacroTile, ...]:
    """Macro-tiles that ``op`` can be cut into for an output of so many parts, in the kernel's order."""
    return tuple(
        tile for tile in kernel.macro_tiles if not any(_tile_misfits(op, tiled(op, kernel, tile).tiling, parts))
    )


def _gemm(op: Gemm, kernel: GemmKernelSpec, parts: int, rates: GemmRates | None) -> GemmWork:
    tiles = _fitting(op, kernel, parts)
    plain, fused = fastest_split(op, kernel, tiles, rates), fastest(op, kernel, tiles, rates)
    plain_rows, _ = group_rows(plain.tiling.grid_m, parts, kernel.group_rows)
    _, inside_chunks = group_rows(fused.tiling.grid_m, parts, kernel.group_rows)
    return GemmWork(
        op=op,
        plain=plain,
        order=plain.tiling.dispatch_order(plain_rows),
        fused=fused,
        tiles=TileChunks(tiling=fused.tiling, order=fused.tiling.dispatch_order(inside_chunks), count=parts),
    )


def whole_row_kernels(work: GemmWork, kernel: GemmKernelSpec, parts: int) -> Iterator[GemmWork]:
    """List ``work`` with every fused kernel whose rows of tiles end where those of ``parts`` equal parts of M do."""
    for tile in _fitting(work.op, kernel, parts):
        if work.op.M % (parts * tile.tile_m) == 0:
            fused = tiled(work.op, kernel, tile)
            _, rows = group_rows(fused.tiling.grid_m, parts, kernel.group_rows)
            order = fused.tiling.dispatch_order(rows)
            yield replace(work, fused=fused, tiles=TileChunks(tiling=fused.tiling, order=order, count=work.tiles.count))


def _producer(op: Collective, plan: Plan, producers: dict[str, GemmWork], sublayer: Sublayer) -> GemmWork | None:
    """Find the GEMM that ``op`` can be fused with: all that it waits for, and awaited by nothing else."""
    if plan.operation not in FUSABLE or len(op.after) != 1:
        return None
    producer = producers.get(op.after[0])
    if producer is None or (producer.op.output_bytes, producer.op.dtype) != (op.bytes, op.dtype):
        return None
    awaited_by = [other.id for other in sublayer.operations if producer.op.id in other.after]
    return producer if awaited_by == [op.id] and producer.tiles.count == plan.parts else None


def _chunks(
    op: Collective, plan: Plan, producer: GemmWork | None, shaped: dict[str, Chunks], slice_bytes: int
) -> Chunks:
    """Cut the buffer as its producer does, so that a chunk is the same bytes from GEMM to all-gather."""
    if producer is not None:
        return resliced(producer.tiles.chunks, slice_bytes)
    for name in (op.id, *op.after):
        if name in shaped and (shaped[name].total_bytes, shaped[name].count) == (op.bytes, plan.parts):
            return shaped[name]
    return even_chunks(op.bytes, plan.parts, slice_bytes)


def _misfit(op: Gemm | Collective, key: str, value: object, message: str) -> Problem:
    return Problem(message=f"{op.id}: {message}", key=key, value=value)
