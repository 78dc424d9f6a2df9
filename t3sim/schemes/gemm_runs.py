"""GEMMs as their kernels run them: which kernel, in which order of tiles, and what that moves through the LLC."""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from t3sim.collectives.plan import Plan
from t3sim.execution.address_space import Dispatch, dispatch, stations
from t3sim.execution.gemm import GemmRun
from t3sim.hardware.compute.llc import LlcSpec, LlcTraffic, gemm_traffic
from t3sim.hardware.gpu import Gpu
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.work import GemmWork
from t3sim.schemes.consumer_order import ConsumerOrder


def plain_run(gpu: Gpu, work: GemmWork, cus: int | None = None) -> GemmRun:
    """Give the plain kernel that runs ``work`` on ``gpu``, on ``cus`` CUs; ``None``: all."""
    cus = gpu.compute.spec.cus if cus is None else cus
    stage_workgroups = cus * work.plain.workgroups_per_cu
    traffic = _plain_traffic(gpu.spec.llc, work, stage_workgroups, with_places=gpu.spec.memory.uses_places)
    return _run(gpu, work, work.plain, traffic, cus)


def fused_run(gpu: Gpu, work: GemmWork, plan: Plan, mechanism: TrackTriggerSpec, cus: int | None = None) -> GemmRun:
    """Give the kernel that runs ``work`` on ``gpu`` when it is fused with ``plan``, on ``cus`` CUs; ``None``: all."""
    cus = gpu.compute.spec.cus if cus is None else cus
    own = dispatch(plan, gpu.index, work.tiles.counts, staggered=mechanism.staggered)
    leaving = [station.part for station in stations(plan, gpu.index) if station.is_remote]
    bypassing = None if mechanism.updates_bypass_llc else tuple(leaving)
    stage_workgroups = cus * work.fused.workgroups_per_cu
    with_places = gpu.spec.memory.uses_places
    traffic = _fused_traffic(gpu.spec.llc, work, own, bypassing, stage_workgroups, with_places=with_places)
    return _run(gpu, work, work.fused, traffic, cus)


def consumer_run(gpu: Gpu, work: GemmWork, order: ConsumerOrder, stage_workgroups: int) -> GemmRun:
    """Give the kernel that runs ``work`` on ``gpu`` in the order in which its input arrives: one workgroup a tile.

    A stage runs as one gang, so its workgroups wait for the last of their parts.
    """
    with_places = gpu.spec.memory.uses_places
    traffic = _consumer_traffic(gpu.spec.llc, work, order, stage_workgroups, with_places=with_places)
    return replace(_run(gpu, work, work.fused, traffic, gpu.compute.spec.cus), stage_workgroups=stage_workgroups)


def _run(gpu: Gpu, work: GemmWork, kernel: KernelChoice, traffic: LlcTraffic, cus: int) -> GemmRun:
    return GemmRun(
        kernel=kernel,
        dtype=work.op.dtype,
        traffic=traffic,
        stage_workgroups=cus * kernel.workgroups_per_cu,
        cus=cus,
        prefetch_slabs=gpu.spec.gemm.prefetch_slabs,
    )


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
    whole = kernel.split_k == 1
    traffic = gemm_traffic(
        llc,
        kernel.tiling,
        work.order,
        stage_workgroups,
        write_allocate=whole,
        split_k=kernel.split_k,
        with_places=with_places,
    )
    # Partial sums stay in the LLC; what is left of them is the output, when they have been added up.
    return traffic if whole else replace(traffic, flush_bytes=kernel.tiling.output_bytes)


@lru_cache(maxsize=64)
def _consumer_traffic(
    llc: LlcSpec, work: GemmWork, order: ConsumerOrder, stage_workgroups: int, *, with_places: bool
) -> LlcTraffic:
    """Traffic of a kernel whose output allocates in the LLC, in the order of ``order``."""
    return gemm_traffic(
        llc, work.fused.tiling, order.tiles, stage_workgroups, write_allocate=True, with_places=with_places
    )
