"""GEMM kernels: stage times in closed form, slabs that wait for operands, stages that wait for stores."""

from collections import Counter
from functools import partial

import numpy as np
import pytest
import simpy

from t3sim.execution.gemm import GemmKernel, GemmRun
from t3sim.execution.gemm_stages import OwnCus
from t3sim.hardware.clock import Order, call_after
from t3sim.hardware.compute.cus import ComputeArray, ComputeSpec
from t3sim.hardware.compute.llc import LlcSpec, LlcTraffic
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.arbitration import KIND
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.fluid.in_order_spec import InOrderSpec
from t3sim.hardware.plane.kinds import NOTHING
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.ports import Ports
from t3sim.hardware.probe import Probe
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.tiling import Tiling
from t3sim.registry import get

NS = 10**6
GEMM_READ, GEMM_WRITE = (Cause("gemm", direction) for direction in Direction)
CUS = 2
ASKED = 10_000


class _Memory(MemoryController):
    """A controller that answers every access after a fixed time, and remembers what it was asked and told."""

    def __init__(self, env, latency):
        spec = InOrderSpec(
            bandwidth=10**12,
            efficiency=1,
            channels=1,
            access=1,
            queue_entries=1,
            read_latency=0,
            update_cost=1,
            turnaround=0,
            stream_switch=0,
        )
        super().__init__(env, spec, get(KIND, "round-robin")(), 0)
        self.latency, self.asked, self.intensity = latency, [], []
        """``asked``: (time, stream, access, bytes, cause) of each."""
        plane_of(env).observe()

    def tell_submitted(self, lane, number):
        """Answer in place of what serves."""
        if self.probe is not None:
            super().tell_submitted(lane, number)
        burst = self.channel.burst(lane, number)
        causes = {self.number_of(cause): cause for cause in (GEMM_READ, GEMM_WRITE)}
        stream, access = Stream(lane // 2), Access(lane % 2)
        self.asked.append((self.env.now, stream, access, int(burst["nbytes"]), causes[int(burst["cause"])]))
        done = partial(plane_of(self.env).perform, *(int(burst[name]) for name in ("kind", "a", "b")))
        burst["kind"] = NOTHING
        call_after(self.env, self.latency, done, Order.MEMORY if lane % 2 else Order.LOCAL)

    def served_bytes(self):
        """Count all that was asked."""
        counted = Counter()
        for _, _, _, nbytes, cause in self.asked:
            counted[cause] += nbytes
        return counted

    def start_kernel(self):
        self.intensity.clear()

    def tune(self, intensity):
        self.intensity.append(intensity)

    def end_kernel(self):
        self.ended = True


class _Stores:
    """A store path that fills the buffer by a fixed amount per stage and empties it a fixed time later."""

    def __init__(self, nbytes=0, hold_fs=0):
        self.nbytes, self.hold_fs = nbytes, hold_fs
        self.stages = []

    def store_stage(self, first, last, buffer):
        self.stages.append((buffer.env.now, first, last))
        if self.nbytes:
            buffer.take(self.nbytes)
            call_after(buffer.env, self.hold_fs, lambda: buffer.give(self.nbytes))


class _Rig:
    """Two CUs of 4096 FLOP per cycle at 1 GHz: a slab of 16 x 16 x 8 takes 1 ns; LLC hits take 0.3 ns."""

    def __init__(self, *, prefetch=2, per_cu=1, memory_ns=0, stores=None, llc_bandwidth=None, **changes):
        fields = {
            "cus": CUS,
            "clock": 10**9,
            "matrix_flops_per_cycle": {"fp16": 4096},
            "sustained_fraction": 1.0,
            "launch_overhead": 0,
            "store_buffer": 100,
            "collective_cus": 2,
            "collective_outstanding_per_cu": 1024,
            "collective_slice": 64,
        }
        self.env = simpy.Environment(0)
        self.memory = _Memory(self.env, memory_ns * NS)
        spec = ComputeSpec(**{**fields, **changes})
        llc = LlcSpec(capacity=2**20, ways=4, block=256, hit_latency=300_000, bandwidth=llc_bandwidth)
        self.per_cu, self.prefetch = per_cu, prefetch
        self.array = ComputeArray(spec, llc)
        self.array.probe = Probe()
        self.stores = stores or _Stores()

    def kernel(self, tiles, depth, *, reads=None, evicted=None, store_evicted=None, split_k=1, cus=CUS):
        """Give the kernel of a GEMM of one tile row, ``depth`` being what a workgroup sums."""
        tiling = Tiling(M=16, N=16 * tiles, K=depth, element_bytes=2, tile_m=16, tile_n=16, slab_k=8)
        choice = KernelChoice(tiling=tiling, workgroups_per_cu=self.per_cu, split_k=split_k)
        resident = cus * self.per_cu
        shape = (-(-tiles * split_k // resident), -(-depth // 8))
        traffic = LlcTraffic(
            asked_bytes=ASKED,
            read_bytes=np.zeros(shape, np.int64) if reads is None else np.array(reads),
            evicted_bytes=np.zeros(shape, np.int64) if evicted is None else np.array(evicted),
            store_evicted_bytes=np.array(store_evicted or [0] * shape[0]),
            flush_bytes=0,
        )
        stages = OwnCus(workgroups=choice.workgroups, resident=resident, cus=cus, traffic=traffic)
        run = GemmRun(kernel=choice, dtype="fp16", stages=stages, prefetch_slabs=self.prefetch)
        ports = Ports(env=self.env, rank=0, memory=self.memory, cus=self.array, tracker=None, dma=None, network=None)
        return GemmKernel(ports, run, self.stores)

    def run(self, tiles, depth, **changes):
        """Run such a kernel; give the time it ended."""
        self.running = self.kernel(tiles, depth, **changes)
        self.env.run(until=self.env.process(self.running.process()))
        return self.env.now


def test_stage_time_with_all_operands_in_the_llc():
    """A stage takes one hit latency and its slabs, the shallow last one in proportion: 0.3 + 3 + 0.5 ns."""
    rig = _Rig()
    assert rig.run(tiles=2, depth=28) == 3_800_000
    assert rig.array.stall_fs == 300_000


def test_stages_follow_each_other():
    """Three tiles on two CUs are two stages, and the half empty one takes as long as the full one."""
    rig = _Rig()
    assert rig.run(tiles=3, depth=28) == 2 * 3_800_000
    assert rig.stores.stages == [(3_800_000, 0, 2), (7_600_000, 2, 3)]


def test_workgroups_that_share_a_cu_take_turns():
    """Four workgroups on two CUs take twice the time of two, three as long as four, and two as long as one."""
    assert _Rig(per_cu=2).run(tiles=4, depth=8) == 2_300_000
    assert _Rig(per_cu=2).run(tiles=3, depth=8) == 2_300_000
    assert _Rig(per_cu=2).run(tiles=2, depth=8) == 1_300_000


def test_sustained_fraction_stretches_compute():
    """At half the matrix rate a slab takes twice as long."""
    assert _Rig(sustained_fraction=0.5).run(tiles=2, depth=16) == 300_000 + 4_000_000


def test_slab_time_rounds_up():
    """4096 FLOP at 3 FLOP a cycle of 1 GHz are 1365.33 ns: the time is the next whole femtosecond."""
    rig = _Rig(matrix_flops_per_cycle={"fp16": 3})
    assert rig.run(tiles=1, depth=8) == 300_000 + 1_365_333_334


def test_slab_waits_for_its_operands():
    """A slab whose operands take 10 ns starts when they arrive; only its wait counts as a stall."""
    rig = _Rig(memory_ns=10)
    # Slab 0 from 0.3 to 1.3, slab 1 from 10 to 11, slabs 2 and 3 behind it.
    assert rig.run(tiles=2, depth=32, reads=[[0, 64, 0, 0]]) == 13_000_000
    assert rig.array.stall_fs == 300_000 + 8_700_000


@pytest.mark.parametrize(
    ("prefetch", "asked", "end"),
    [(2, [0, 0, 0, 11], 22), (1, [0, 0, 11, 12], 23), (0, [0, 11, 22, 33], 44)],
)
def test_prefetch_depth_bounds_the_loads_ahead(prefetch, asked, end):
    """With p slabs of prefetch, slab k + p + 1 is asked for when slab k is done, and not before."""
    rig = _Rig(prefetch=prefetch, memory_ns=10)
    assert rig.run(tiles=2, depth=32, reads=[[64, 64, 64, 64]]) == end * NS
    assert [time for time, *_ in rig.memory.asked] == [time * NS for time in asked]


def test_operands_are_compute_reads():
    """LLC misses become GEMM reads of the compute stream, of the bytes that missed."""
    rig = _Rig()
    rig.run(tiles=2, depth=16, reads=[[64, 32]])
    assert [row[1:] for row in rig.memory.asked] == [
        (Stream.COMPUTE, Access.READ, 64, GEMM_READ),
        (Stream.COMPUTE, Access.READ, 32, GEMM_READ),
    ]


def test_evicted_output_is_written_back():
    """What operand loads and stores evict from the LLC becomes GEMM writes, at the place it arises."""
    rig = _Rig(memory_ns=1)
    rig.run(tiles=2, depth=8, evicted=[[24]], store_evicted=[40])
    assert rig.memory.asked == [
        (0, Stream.COMPUTE, Access.WRITE, 24, GEMM_WRITE),
        (1_300_000, Stream.COMPUTE, Access.WRITE, 40, GEMM_WRITE),
    ]


@pytest.mark.parametrize(("nbytes", "end"), [(100, 2_600_000), (101, 7_600_000)])
def test_full_store_buffer_holds_the_next_stage(nbytes, end):
    """A stage whose output just fits the store buffer holds nothing; one byte more holds until there is room."""
    rig = _Rig(stores=_Stores(nbytes=nbytes, hold_fs=5_000_000))
    rig.run(tiles=4, depth=8)
    if nbytes == 100:
        assert rig.stores.stages == [(1_300_000, 0, 2), (2_600_000, 2, 4)]
    else:
        assert rig.stores.stages == [(1_300_000, 0, 2), (7_600_000, 2, 4)]
    assert rig.stores.stages[1][0] == end


def test_first_stage_tells_its_memory_intensity():
    """After the first stage the memory learns the share of its peak that the stage's bytes took, once."""
    rig = _Rig(memory_ns=0)
    # 325 B in 1.3 ns are a quarter of 1 TB/s; the second stage's reads do not count.
    rig.run(tiles=4, depth=8, reads=[[325], [1000]], evicted=[[0], [0]])
    assert rig.memory.intensity == [325 / 1000]


def test_slab_takes_its_operands_time_when_the_llc_is_slower():
    """Two workgroups load 1 KiB a slab: where that takes 1.5 ns it sets the pace, and not the 1 ns of compute."""
    rig = _Rig(llc_bandwidth=1024 * 10**9 * 2 // 3)
    # A hit, three slabs, and 2 x 16 x 16 x 2 B of output.
    assert rig.run(tiles=2, depth=24) == pytest.approx(300_000 + 3 * 1_500_000 + 1_500_000, abs=20)


def test_half_a_stage_moves_half_the_bytes():
    """One workgroup of two halves the LLC's time; compute, which does not halve, then sets the pace."""
    rig = _Rig(llc_bandwidth=1024 * 10**9 * 2 // 3)
    assert rig.run(tiles=1, depth=24) == pytest.approx(300_000 + 3 * 1_000_000 + 750_000, abs=20)


def test_every_stage_pays_its_overhead_before_its_output_leaves():
    """Two stages of 3.8 ns with 2 ns of overhead each; the stores leave behind it."""
    rig = _Rig(stage_overhead=2_000_000)
    assert rig.run(tiles=3, depth=28) == 2 * 5_800_000
    assert [time for time, *_ in rig.stores.stages] == [5_800_000, 11_600_000]


def test_split_k_adds_workgroups_and_a_reduction():
    """One tile in four parts of 8 on two CUs: two stages, and then the overhead of summing the parts."""
    rig = _Rig(stage_overhead=2_000_000)
    assert rig.run(tiles=1, depth=8, split_k=4) == 2 * 3_300_000 + 2_000_000
    assert rig.running.last_store_fs == rig.env.now


def test_reduction_reads_the_parts_and_writes_the_sum():
    """Four parts of 1 KiB in fp32 and 512 B of output at 512 B/ns are 9 ns, beside the parts' own stores."""
    rig = _Rig(llc_bandwidth=512 * 10**9)
    stage = 300_000 + 2 * 512 * 10**6 // 512 + 2 * 1024 * 10**6 // 512
    assert rig.run(tiles=1, depth=8, split_k=4) == 2 * stage + 9_000_000


def test_kernel_on_some_of_the_cus_has_smaller_stages():
    """On one CU of two, three tiles are three stages, each as long as one of two tiles on two."""
    assert _Rig().run(tiles=3, depth=28, cus=1) == 3 * 3_800_000


def test_workgroups_share_the_cus_that_the_kernel_has():
    """Two workgroups a CU on one CU of two take turns as they do on two CUs, two stages for four tiles."""
    assert _Rig(per_cu=2).run(tiles=4, depth=8, cus=1) == 2 * 2_300_000


@pytest.mark.parametrize(
    ("per_cu", "gemm", "held_fs"),
    [
        (1, {"tiles": 4}, 2 * CUS * 3_800_000),
        (1, {"tiles": 3}, (CUS + 1) * 3_800_000),  # the last stage is one workgroup
        (2, {"tiles": 3}, CUS * 7_300_000),  # which share the CUs: neither is free
        (1, {"tiles": 3, "cus": 1}, 3 * 3_800_000),
    ],
)
def test_workgroups_hold_cus_for_the_time_of_their_stages(per_cu, gemm, held_fs):
    """Each stage counts with its time, 0.3 + 3.5 ns a workgroup of a CU, on as many CUs as have a workgroup."""
    rig = _Rig(per_cu=per_cu)
    rig.run(depth=28, **gemm)
    assert rig.array.busy_fs == {"gemm": held_fs}


def test_workgroups_hold_cus_while_operands_and_stores_wait():
    """Stages of 1.3 ns whose 101 B need 5 ns to leave a buffer of 100 B hold both CUs for 6.3 ns each."""
    rig = _Rig(stores=_Stores(nbytes=101, hold_fs=5_000_000))
    rig.run(tiles=4, depth=8)
    assert rig.array.busy_fs == {"gemm": 2 * CUS * 6_300_000}
    rig = _Rig(memory_ns=10)
    rig.run(tiles=2, depth=8, reads=[[64]])
    assert rig.array.busy_fs == {"gemm": CUS * 11_000_000}


def test_the_sum_of_split_k_holds_all_cus():
    """One tile in four parts: two stages of two workgroups, and 2 ns in which all CUs add the parts up."""
    rig = _Rig(stage_overhead=2_000_000)
    rig.run(tiles=1, depth=8, split_k=4)
    assert rig.array.busy_fs == {"gemm": CUS * (2 * 3_300_000 + 2_000_000)}


def test_operands_of_all_kernels_are_counted():
    """What a kernel asks of the LLC, and what of it is read from DRAM, adds up over the kernels of a GPU."""
    rig = _Rig()
    for _ in range(2):
        rig.run(tiles=4, depth=16, reads=[[64, 32], [0, 8]])
    assert (rig.array.llc_asked_bytes, rig.array.llc_missed_bytes) == (2 * ASKED, 2 * 104)
    assert rig.memory.served_bytes()[GEMM_READ] == rig.array.llc_missed_bytes


def test_missing_names_the_bytes_that_have_not_left():
    """While stores are in the buffer the kernel misses them, and afterwards nothing."""
    rig = _Rig(stores=_Stores(nbytes=64, hold_fs=5_000_000))
    rig.run(tiles=2, depth=8)
    assert rig.running.missing() == ["64 B of stores on their way out"]
    rig.env.run()
    assert rig.running.missing() == []


def test_kernels_wait_for_their_own_stores_alone():
    """What a kernel still stores does not hold back the stages of another on the same CUs."""
    rig = _Rig(stores=_Stores(nbytes=101, hold_fs=50_000_000))
    rig.env.process(rig.kernel(tiles=2, depth=8).process())
    rig.env.run(until=1_300_000)
    other = _Stores()
    rig.stores = other
    rig.run(tiles=4, depth=8)
    assert [time for time, *_ in other.stages] == [2_600_000, 3_900_000]


class _Told(Probe):
    """What a kernel tells of its stages."""

    def __init__(self, env):
        self.env = env
        self.calls = []

    def stage_started(self, rank, number, workgroups):
        self.calls.append((self.env.now, "start", rank, number, workgroups))

    def operands_awaited(self, rank, since_fs):
        self.calls.append((self.env.now, "awaited", rank, since_fs))

    def stage_ended(self, rank):
        self.calls.append((self.env.now, "end", rank))


def test_probe_is_told_of_stages_and_waits():
    """A stage starts with its loads and ends with its last slab; what it waited for operands comes between."""
    rig = _Rig(memory_ns=10, stage_overhead=2_000_000)
    rig.array.probe = rig.memory.probe = probe = _Told(rig.env)
    rig.run(tiles=3, depth=16, reads=[[0, 64], [0, 0]])
    assert probe.calls == [
        (0, "start", 0, 0, 2),
        (300_000, "awaited", 0, 0),
        (10_000_000, "awaited", 0, 1_300_000),
        (11_000_000, "end", 0),
        (13_000_000, "start", 0, 1, 1),
        (13_300_000, "awaited", 0, 13_000_000),
        (15_300_000, "end", 0),
    ]
