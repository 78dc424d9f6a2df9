"""GEMMs as their kernels run them: which kernel, in which order of tiles, and what that moves through the LLC."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t3sim.collectives.plan import Arrival, Plan, arrivals_of, part_of
from t3sim.compiled import IntArray
from t3sim.execution.address_space import Dispatch, dispatch, own_chunks, stations
from t3sim.execution.gemm import READ, GemmRun
from t3sim.execution.gemm_stages import OwnCus, SharedCus, Stages, settled
from t3sim.hardware.compute.cu_pool import CuPool
from t3sim.hardware.compute.llc import LlcReplay, LlcSpec, LlcTraffic, gemm_traffic
from t3sim.hardware.gpu import Gpu
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.work import CollectiveWork, GemmWork
from t3sim.units import FS_PER_S, ceil_div


@dataclass(frozen=True)
class Beside:
    """How a kernel runs while others do."""

    priority: int
    """Whose workgroups go first to CUs that come free: the lower one's."""
    is_displaced: bool = False
    """Whether what a collective moves drives a GEMM's operands out of the LLC."""


def plain_run(gpu: Gpu, work: GemmWork, cus: int | None = None, beside: Beside | None = None) -> GemmRun:
    """Give the plain kernel that runs ``work`` on ``gpu``, on ``cus`` CUs; ``None``: all, or those of ``beside``."""
    if beside is not None:
        return _run(gpu, work, work.plain, _shared(gpu, work, cus, beside))
    cus = gpu.compute.spec.cus if cus is None else cus
    stage_workgroups = cus * work.plain.workgroups_per_cu
    traffic = _plain_traffic(gpu.spec.llc, work, stage_workgroups, with_places=gpu.spec.memory.uses_places)
    return _run(gpu, work, work.plain, _own(work.plain, stage_workgroups, cus, traffic))


def fused_run(gpu: Gpu, work: GemmWork, plan: Plan, mechanism: TrackTriggerSpec, cus: int | None = None) -> GemmRun:
    """Give the kernel that runs ``work`` on ``gpu`` when it is fused with ``plan``, on ``cus`` CUs; ``None``: all."""
    cus = gpu.compute.spec.cus if cus is None else cus
    own = dispatch(plan, gpu.index, work.tiles.counts, staggered=mechanism.staggered)
    leaving = [station.part for station in stations(plan, gpu.index) if station.is_remote]
    bypassing = None if mechanism.updates_bypass_llc else tuple(leaving)
    stage_workgroups = cus * work.fused.workgroups_per_cu
    with_places = gpu.spec.memory.uses_places
    traffic = _fused_traffic(gpu.spec.llc, work, own, bypassing, stage_workgroups, with_places=with_places)
    return _run(gpu, work, work.fused, _own(work.fused, stage_workgroups, cus, traffic))


def consumer_run(gpu: Gpu, work: GemmWork, gather: CollectiveWork) -> tuple[GemmRun, int]:
    """Give the kernel that runs ``work`` on ``gpu`` as its input arrives, and its stage's workgroups.

    A stage runs as one gang, so its workgroups wait for the last of their parts. How many of those that fit on the CUs
    make a stage is what gives the earliest end by arithmetic: parts arrive at the link's rate, and a stage computes.
    """
    order, kernel, compute = consumer_order(gather, work, gpu.index), work.fused, gpu.compute
    most, depths = compute.spec.cus * kernel.workgroups_per_cu, kernel.tiling.slab_depths
    slab_fs = compute.slab_fs(kernel.tiling, work.op.dtype, int(depths[0]), most, compute.spec.cus)
    rate = gpu.ports.network.bytes_per_s((gpu.index + 1) % gather.plan.ranks)
    part_fs = gather.op.bytes * FS_PER_S // (rate * gather.plan.parts)
    stage_workgroups = _soonest(order, most, len(depths) * slab_fs, part_fs)
    with_places = gpu.spec.memory.uses_places
    traffic = _consumer_traffic(gpu.spec.llc, work, order, stage_workgroups, with_places=with_places)
    run = _run(gpu, work, kernel, _own(kernel, stage_workgroups, compute.spec.cus, traffic))
    return run, stage_workgroups


def _soonest(order: "ConsumerOrder", most: int, stage_fs: int, part_fs: int) -> int:
    """Choose how many workgroups, up to ``most``, make a stage of ``stage_fs`` where parts come ``part_fs`` apart."""
    of_part = max(1, len(order.tiles) // len(order.parts))
    sizes: list[int] = [most, *range(of_part * (most // of_part), 0, -of_part)]
    if of_part > most:
        sizes = [most, ceil_div(of_part, ceil_div(of_part, most))]

    def end_fs(size: int) -> int:
        now = 0
        for first in range(0, len(order.needed), size):
            needed = int(order.needed[first : first + size].max())
            now = max(now, (needed - order.own) * part_fs) + stage_fs
        return int(now)

    return min(sizes, key=end_fs)


@dataclass(frozen=True, eq=False)
class ConsumerOrder:
    """The tiles of a GEMM as a GPU makes them whose input arrives part by part."""

    tiles: IntArray
    """Shape (tiles,), in dispatch order."""
    needed: IntArray
    """By workgroup, shape (tiles,): how many of ``parts`` have to be there."""
    parts: tuple[int, ...]
    """Of the gathered buffer, in the order in which they arrive: what the GPU has itself first."""
    own: int
    """How many of them it has itself."""


@lru_cache(maxsize=256)
def consumer_order(gather: CollectiveWork, work: GemmWork, rank: int) -> ConsumerOrder:
    """Order the tiles of ``work`` by when the rows of its input are there that they need."""
    tiling = work.fused.tiling
    parts, own = arriving_parts(gather, rank)
    place_of = np.argsort(parts)
    row_bytes, ends = work.op.input_bytes // work.op.M, np.cumsum(gather.chunks.chunk_bytes)
    last_row = np.cumsum(tiling.row_heights)
    first = np.searchsorted(ends, (last_row - tiling.row_heights) * row_bytes, side="right")
    last = np.searchsorted(ends, last_row * row_bytes - 1, side="right")
    of_rows = np.array([place_of[low : high + 1].max() + 1 for low, high in zip(first, last, strict=True)])
    tiles = tiling.dispatch_order(_rows_together(work, len(parts)))
    needed = of_rows[tiles // tiling.grid_n]
    by_arrival = np.argsort(needed, kind="stable")
    return ConsumerOrder(tiles[by_arrival], needed[by_arrival], parts, own)


def _rows_together(work: GemmWork, parts: int) -> int:
    """Rows of tiles that are dispatched together: the fused kernel's, or what of them divides a part of whole rows.

    Groups that reach into another part would be cut differently on each GPU, by what it has itself.
    """
    tiling = work.fused.tiling
    usual = max(1, int(np.argmax(work.tiles.order % tiling.grid_n > 0)))
    rows, left = divmod(tiling.grid_m, parts)
    if left or not rows:
        return usual
    return max(number for number in range(1, min(rows, usual) + 1) if rows % number == 0)


def arriving_parts(gather: CollectiveWork, rank: int) -> tuple[tuple[int, ...], int]:
    """List the parts of what is gathered in the order in which ``rank`` has them; of how many it has them itself."""
    plan = gather.plan
    own = [part_of(plan, chunk) for chunk in sorted(own_chunks(plan, rank))]
    others = sorted(arrivals_of(plan, rank), key=lambda each: _when(plan, each))
    return (*own, *(part_of(plan, each.chunk) for each in others)), len(own)


def _when(plan: Plan, arrival: Arrival) -> tuple[int, int]:
    move = plan.moves[arrival.move.number]
    return move.step, move.lane


def _run(gpu: Gpu, work: GemmWork, kernel: KernelChoice, stages: Stages) -> GemmRun:
    return GemmRun(kernel=kernel, dtype=work.op.dtype, stages=stages, prefetch_slabs=gpu.spec.gemm.prefetch_slabs)


def _own(kernel: KernelChoice, resident: int, cus: int, traffic: LlcTraffic) -> OwnCus:
    return OwnCus(workgroups=kernel.workgroups, resident=resident, cus=cus, traffic=traffic)


def _shared(gpu: Gpu, work: GemmWork, cus: int | None, beside: Beside) -> SharedCus:
    """Form stages as CUs come free; of a fixed share, if it has one."""
    kernel, memory = work.plain, gpu.memory
    replay = LlcReplay(
        gpu.spec.llc,
        kernel.tiling,
        work.order,
        write_allocate=kernel.split_k == 1,
        split_k=kernel.split_k,
        with_places=memory.spec.uses_places,
    )
    pool = gpu.pool if cus is None else CuPool(gpu.env, cus)
    if not beside.is_displaced:
        return SharedCus(kernel, replay, pool, beside.priority)

    def strange_bytes() -> int:
        return sum(nbytes for cause, nbytes in memory.submitted.items() if cause.operation != READ.operation)

    return SharedCus(kernel, replay, pool, beside.priority, strange_bytes)


@lru_cache(maxsize=64)
def _fused_traffic(
    llc: LlcSpec,
    work: GemmWork,
    own: Dispatch,
    bypassing: tuple[int, ...] | None,
    stage_workgroups: int,
    *,
    with_places: bool,
) -> LlcTraffic:
    """Traffic of a fused kernel that produces its output in the order of ``own``.

    Parts in ``bypassing``, or all of them, bypass the LLC; the others are written through it.
    """
    allocates = np.zeros(len(own.parts), np.bool_) if bypassing is None else ~np.isin(own.parts, bypassing)
    return gemm_traffic(
        llc,
        work.fused.tiling,
        work.tiles.tiles_of(own.parts, own.pieces),
        stage_workgroups,
        write_allocate=allocates,
        with_places=with_places,
    ).written_through()


@lru_cache(maxsize=64)
def _plain_traffic(llc: LlcSpec, work: GemmWork, stage_workgroups: int, *, with_places: bool) -> LlcTraffic:
    """Traffic of the plain kernel, whose output allocates in the LLC."""
    kernel = work.plain
    traffic = gemm_traffic(
        llc,
        kernel.tiling,
        work.order,
        stage_workgroups,
        write_allocate=kernel.split_k == 1,
        split_k=kernel.split_k,
        with_places=with_places,
    )
    return settled(traffic, kernel)


@lru_cache(maxsize=64)
def _consumer_traffic(
    llc: LlcSpec, work: GemmWork, order: ConsumerOrder, stage_workgroups: int, *, with_places: bool
) -> LlcTraffic:
    """Traffic of a kernel whose output allocates in the LLC, in the order of ``order``."""
    return gemm_traffic(
        llc, work.fused.tiling, order.tiles, stage_workgroups, write_allocate=True, with_places=with_places
    )
