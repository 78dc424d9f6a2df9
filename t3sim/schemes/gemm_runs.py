"""GEMMs as their kernels run them: which kernel, in which order of tiles, and what that moves through the LLC."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from t3sim.collectives.plan import Plan
from t3sim.execution.address_space import Dispatch, dispatch, stations
from t3sim.execution.gemm import READ, GemmRun
from t3sim.execution.gemm_stages import OwnCus, SharedCus, Stages, settled
from t3sim.hardware.compute.cu_pool import CuPool
from t3sim.hardware.compute.llc import LlcReplay, LlcSpec, LlcTraffic, gemm_traffic
from t3sim.hardware.gpu import Gpu
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.work import GemmWork
from t3sim.schemes.consumer_order import ConsumerOrder


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


def consumer_run(gpu: Gpu, work: GemmWork, order: ConsumerOrder, stage_workgroups: int) -> GemmRun:
    """Give the kernel that runs ``work`` on ``gpu`` in the order in which its input arrives: one workgroup a tile.

    A stage runs as one gang, so its workgroups wait for the last of their parts.
    """
    with_places = gpu.spec.memory.uses_places
    traffic = _consumer_traffic(gpu.spec.llc, work, order, stage_workgroups, with_places=with_places)
    return _run(gpu, work, work.fused, _own(work.fused, stage_workgroups, gpu.compute.spec.cus, traffic))


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
