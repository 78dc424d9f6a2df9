"""Banked memory in the data plane: addresses worked out from rows, cycles of any clock, and room for what comes."""

from collections import Counter
from functools import partial
from math import gcd

import numpy as np
import pytest
import simpy
from hypothesis import example, given
from hypothesis import strategies as st

from t3sim.compiled import compiled
from t3sim.execution.gemm import GemmKernel, GemmRun
from t3sim.execution.gemm_stages import OwnCus
from t3sim.hardware.compute.cus import ComputeArray
from t3sim.hardware.compute.llc import LlcSpec, gemm_traffic
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.hardware.memory.arbitration import KIND
from t3sim.hardware.memory.banked.bursts import _cycle_of, _time_of
from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.banked.mappings.ro_ba_co import RoBaCo
from t3sim.hardware.memory.banked.tables import GPU
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.ports import Ports
from t3sim.lowering.kernel_choice import KernelChoice
from t3sim.lowering.layout import Layout, linear
from t3sim.lowering.tiling import Tiling
from t3sim.registry import get
from t3sim.units import FS_PER_S

READ = Cause("gemm", Direction.READ)


@compiled
def _cycle(gpu, now):
    return _cycle_of(gpu[0], now)


@compiled
def _time(gpu, cycle):
    return _time_of(gpu[0], cycle)


def gpu_of(clock):
    """Make the row of a GPU whose DRAM has this clock, in Hz."""
    row = np.zeros(1, GPU)
    common = gcd(clock, FS_PER_S)
    row["clock"], row["second"] = clock // common, FS_PER_S // common
    return row


clocks = st.sampled_from([10**9, 1_600_000_000, 3_200_000_000]) | st.integers(10**6, 10**10)


@example(1_500_000_000, 2 * 10**6 - 1)  # the last moment before an edge
@example(1_500_000_000, 2 * 10**6)
@given(clocks, st.integers(0, 10**17))
def test_the_cycle_of_a_time_is_the_last_whose_edge_has_come(clock, now):
    """Edge n is n / clock seconds: for any clock and time, with numbers of any length, as integers have them."""
    assert _cycle(gpu_of(clock), now) == ((now + 1) * clock - 1) // FS_PER_S


@given(clocks, st.integers(0, 10**9))
def test_the_time_of_a_cycle_is_its_edge(clock, cycle):
    """In whole femtoseconds, rounded down; and then that cycle has come."""
    gpu = gpu_of(clock)
    time = _time(gpu, cycle)
    assert time == cycle * FS_PER_S // clock
    assert _cycle(gpu, time) >= cycle


def waiting(memory, lane):
    """Give (bank, row) of all requests that came to the first channel's lane, as they lie in its ring."""
    simulated = memory.channel._state(0)
    ring = int(simulated.path["ring"][0])
    tail = int(memory.channel._tables.tails[lane])
    assert tail <= ring
    return [(int(row["bank"]), int(row["row"])) for row in simulated.requests[lane * ring : lane * ring + tail]]


def of_page(address):
    """Bank and row of an address with pages of 2 KiB of 4 x 4 banks, one after the other: group, bank, row above."""
    page = address >> 11
    return (page & 3) * 4 + (page >> 2 & 3), page >> 4


@pytest.mark.parametrize("split_k", [1, 2])
def test_a_gemm_reads_where_its_operands_lie(hbm2_banks, tiny_system, split_k):
    """With a cache for all of it, each access of A and B is read once: as many in each page as lie in it."""
    tiling = Tiling(M=64, N=96, K=64, element_bytes=2, tile_m=16, tile_n=32, slab_k=32)
    llc = LlcSpec(capacity=2**20, ways=256, block=256, hit_latency=0)
    order = np.arange(tiling.tiles)
    traffic = gemm_traffic(llc, tiling, order, 4, write_allocate=False, split_k=split_k, with_places=True)
    spec = hbm2_banks(channels=1, address_mapping=RoBaCo(), channel_hash=False)
    env = simpy.Environment(0)
    memory = MemoryController(env, spec, get(KIND, "round-robin")(), 0)
    array = ComputeArray(tiny_system().compute, llc)
    kernel = KernelChoice(tiling=tiling, workgroups_per_cu=1, split_k=split_k)
    stages = OwnCus(workgroups=kernel.workgroups, resident=4, cus=4, traffic=traffic)
    run = GemmRun(kernel=kernel, dtype="fp16", stages=stages, prefetch_slabs=1)

    class Nowhere:
        def store_stage(self, *_):
            """Let the output go."""

    ports = Ports(env=env, rank=0, memory=memory, cus=array, tracker=None, dma=None, network=None)
    env.run(until=env.process(GemmKernel(ports, run, Nowhere()).process()))
    layout = Layout(tiling=tiling, split_k=split_k)
    depth = tiling.K * split_k
    a = range(0, tiling.M * depth * 2, 64)
    b = range(layout.b_address, layout.b_address + depth * tiling.N * 2, 64)
    assert Counter(waiting(memory, 0)) == Counter(of_page(address) for address in (*a, *b))


def test_a_burst_larger_than_its_lane_has_room_for_waits_for_room(hbm2_banks):
    """A megabyte on one channel is 16384 requests, four times what a lane holds at first: all are served."""
    env = simpy.Environment(0)
    memory = MemoryController(env, hbm2_banks(channels=1), get(KIND, "round-robin")(), 0)
    answered = []
    sizes = [64] * 8 + [1 << 20]  # the large one behind others that wait
    for number, size in enumerate(sizes):
        place, done = partial(linear, number << 20, size), partial(answered.append, number)
        memory.submit(Stream.COMPUTE, Access.READ, size, READ, place, done)
    env.run()
    assert sorted(answered) == list(range(9))
    assert memory.commands()["reads"] == 8 + (1 << 14)
    assert memory.faults() == []


@pytest.mark.parametrize(
    "dram", ["hbm2", "hbm2-1760", "hbm2e", "hbm3-5200", "hbm3e-6250", "gddr6-18000", "gddr6x-21000"]
)
def test_one_read_of_an_idle_memory_takes_the_load_latency(hbm2_banks, dram):
    """A row is opened, an access is read, and its data go to the reader; within cycles in which commands are sent."""
    env = simpy.Environment(0)
    spec = hbm2_banks(dram=load_dram(dram).spec, channels=1, refresh=False)
    memory = MemoryController(env, spec, get(KIND, "round-robin")(), 0)
    answered = []
    place = partial(linear, 0, spec.dram.access)
    memory.submit(Stream.COMPUTE, Access.READ, spec.dram.access, READ, place, lambda: answered.append(env.now))
    env.run()
    cycle = FS_PER_S / spec.dram.clock
    assert spec.read_latency < spec.load_latency
    assert 0 <= answered[0] - spec.load_latency <= 4 * cycle
