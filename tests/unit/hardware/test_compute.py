"""The CU array: how long its work takes, in closed form."""

import pytest

from t3sim.hardware.compute.cus import ComputeArray, ComputeSpec
from t3sim.hardware.compute.llc import LlcSpec
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.tiling import Tiling

TILING = Tiling(M=16, N=64, K=24, element_bytes=2, tile_m=16, tile_n=16, slab_k=8)


@pytest.fixture
def array():
    """Give a builder of arrays of two CUs of 4096 FLOP per cycle at 1 GHz: a slab of 16 x 16 x 8 takes 1 ns."""

    def build(*, llc_bandwidth=None, speed=1.0, **changes):
        fields = {
            "cus": 2,
            "clock": 10**9,
            "matrix_flops_per_cycle": {"fp16": 4096, "fp8": 8192},
            "sustained_fraction": 1.0,
            "launch_overhead": 0,
            "store_buffer": 100,
            "collective_cus": 2,
            "collective_outstanding_per_cu": 1024,
            "collective_slice": 64,
        }
        llc = LlcSpec(capacity=2**20, ways=4, block=256, hit_latency=300_000, bandwidth=llc_bandwidth)
        return ComputeArray(ComputeSpec(**{**fields, **changes}), llc, speed)

    return build


def test_slab_takes_its_flops_at_the_matrix_rate(array):
    """2 x 16 x 16 x depth FLOP at 4096 a nanosecond: 1 ns for 8, 0.5 ns for 4, half of that in fp8."""
    assert array().slab_fs(TILING, "fp16", 8, 2, 2) == 1_000_000
    assert array().slab_fs(TILING, "fp16", 4, 2, 2) == 500_000
    assert array().slab_fs(TILING, "fp8", 4, 2, 2) == 250_000


@pytest.mark.parametrize(("workgroups", "cus", "turns"), [(1, 2, 1), (2, 2, 1), (3, 2, 2), (4, 2, 2), (4, 1, 4)])
def test_workgroups_that_share_a_cu_take_turns(array, workgroups, cus, turns):
    """A slab takes as long as the workgroups of the fullest of the kernel's CUs one after the other."""
    assert array().slab_fs(TILING, "fp16", 8, workgroups, cus) == turns * 1_000_000


def test_slab_time_rounds_up(array):
    """4096 FLOP at 3 FLOP a cycle of 1 GHz are 1365.33 ns: the time is the next whole femtosecond."""
    assert array(matrix_flops_per_cycle={"fp16": 3}).slab_fs(TILING, "fp16", 8, 1, 2) == 1_365_333_334


def test_sustained_fraction_stretches_compute(array):
    """At half the matrix rate a slab takes twice as long."""
    assert array(sustained_fraction=0.5).slab_fs(TILING, "fp16", 8, 2, 2) == 2_000_000


def test_slab_takes_its_operands_time_when_the_llc_is_slower(array):
    """A slab of 16 x 8 and 8 x 16 elements is 512 B a workgroup: at 512 B/ns two take 2 ns, one 1 ns."""
    slow = array(llc_bandwidth=512 * 10**9)
    assert [slow.slab_fs(TILING, "fp16", 8, workgroups, 2) for workgroups in (1, 2)] == [1_000_000, 2_000_000]


def test_epilogue_is_the_overhead_and_the_way_to_the_llc(array):
    """3 ns of overhead, and 512 B of each workgroup's tile at 512 B/ns; partial sums in fp32 take twice that."""
    slow = array(stage_overhead=3_000_000, llc_bandwidth=512 * 10**9)
    whole, part = (KernelChoice(tiling=TILING, workgroups_per_cu=1, split_k=split_k) for split_k in (1, 2))
    assert slow.epilogue_fs(whole, 2) == 3_000_000 + 2_000_000
    assert slow.epilogue_fs(part, 2) == 3_000_000 + 4_000_000
    assert array().epilogue_fs(whole, 2) == 0


def test_reduction_reads_the_parts_and_writes_the_sum(array):
    """Two parts of 16 x 64 in fp32 and a sum of half their width are 10 KiB: 20 ns at 512 B/ns, and the overhead."""
    slow = array(stage_overhead=3_000_000, llc_bandwidth=512 * 10**9)
    assert slow.reduction_fs(KernelChoice(tiling=TILING, workgroups_per_cu=1, split_k=2)) == 23_000_000


def test_a_faster_clock_makes_everything_on_it_faster(array):
    """At twice the speed slabs, overheads and the way to the LLC take half the time."""
    kernel = KernelChoice(tiling=TILING, workgroups_per_cu=1, split_k=2)

    def times(speed, **llc):
        made = array(stage_overhead=3_000_000, speed=speed, **llc)
        return made.slab_fs(TILING, "fp16", 8, 2, 2), made.epilogue_fs(kernel, 2), made.reduction_fs(kernel)

    for llc in ({}, {"llc_bandwidth": 512 * 10**9}):
        assert [2 * time for time in times(2.0, **llc)] == list(times(1.0, **llc))
