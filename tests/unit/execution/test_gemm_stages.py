"""Stages of a GEMM that shares: how many workgroups each has, and what it meets in the LLC."""

import numpy as np
import simpy

from t3sim.execution.gemm_stages import SharedCus
from t3sim.hardware.compute.cu_pool import CuPool
from t3sim.hardware.compute.llc import LlcTraffic
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.tiling import Tiling

NOTHING = np.zeros((1, 1), np.int64)


class Replay:
    """Remembers what it was asked to replay."""

    def __init__(self):
        self.asked = []

    def go_on(self, bounds, strange_bytes):
        """Give a stage that moves nothing and leaves 7 B."""
        self.asked.append((bounds.tolist(), strange_bytes.tolist()))
        return LlcTraffic(
            asked_bytes=0, read_bytes=NOTHING, evicted_bytes=NOTHING, store_evicted_bytes=NOTHING[0], flush_bytes=7
        )


def stages_of(cus, *, tiles, split_k=1, per_cu=1, strange=lambda: 0, taken=()):
    """Form all stages of a GEMM of tiles of 16 x 16 x 2 B; ``taken``: what others take before each but the first."""
    tiling = Tiling(M=16, N=16 * tiles, K=8, element_bytes=2, tile_m=16, tile_n=16, slab_k=8)
    kernel = KernelChoice(tiling=tiling, workgroups_per_cu=per_cu, split_k=split_k)
    env = simpy.Environment(0)
    pool, replay = CuPool(env, cus), Replay()
    stages = SharedCus(kernel, replay, pool, 1, strange)
    found = []

    def run():
        first = 0
        while first < kernel.workgroups:
            stage = yield from stages.begin(len(found), first)
            found.append(stage)
            first = stage.last
            for wanted in taken[len(found) - 1 : len(found)]:
                env.process(pool.take(wanted, 0))
                yield env.timeout(1)
        stages.end()

    env.run(until=env.process(run()))
    assert pool.free == cus - sum(taken)
    return found, replay.asked


def test_each_cu_that_is_free_has_as_many_workgroups_as_fit():
    """Two a CU: eight on four CUs, then six on the three that are left, then the last."""
    found, asked = stages_of(4, tiles=15, per_cu=2, taken=(1,))
    assert [(stage.first, stage.last, stage.cus) for stage in found] == [(0, 8, 4), (8, 14, 3), (14, 15, 1)]
    assert [bounds for bounds, _ in asked] == [[0, 8], [8, 14], [14, 15]]


def test_few_workgroups_spread_over_the_cus():
    """Three that would fit on two CUs have three."""
    found, _ = stages_of(4, tiles=3, per_cu=2)
    assert [(stage.last, stage.cus) for stage in found] == [(3, 3)]


def test_a_stage_meets_what_others_moved_since_the_one_before_it():
    """50 B before the kernel count for nothing; then 100, nothing, and 200 more."""
    so_far = iter([50, 150, 150, 350])
    _, asked = stages_of(1, tiles=3, strange=lambda: next(so_far))
    assert [strange for _, strange in asked] == [[100], [0], [200]]


def test_partial_sums_leave_the_output_to_be_written():
    """Split in two, what is left of them in the LLC is the output: four tiles of 512 B, and not what it holds."""
    found, _ = stages_of(4, tiles=4, split_k=2)
    assert {stage.traffic.flush_bytes for stage in found} == {2048}
    whole, _ = stages_of(4, tiles=4)
    assert {stage.traffic.flush_bytes for stage in whole} == {7}
