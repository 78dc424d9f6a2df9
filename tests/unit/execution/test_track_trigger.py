"""Track and trigger with parts of it taken away or made coarser: traffic, commands, order, and who may be mirrored."""

from collections import Counter
from math import ceil

import pytest

from t3sim.hardware.memory.access import Cause, Direction
from t3sim.hardware.plane.kinds import TELL_COMPUTED, TELL_ENDED, TELL_ROOM
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.plane.trigger_state import TELL_FINISHED
from t3sim.hardware.probe import Probe
from t3sim.schemes.t3 import fused_phases
from t3sim.simulation import Point, schemes_of_any_network, simulate_point
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.mirror import mirror_shape
from t3sim.simulation.plans import wiring_of

SHAPE = (128, 64, 64)
TILE_BYTES = 16 * 16 * 2
TILES = 8 * 4
WITHOUT_NMC = "track_trigger.near_memory=false"
THROUGH_LLC = "track_trigger.updates_bypass_llc=false"
UNSTAGGERED = "track_trigger.staggered=false"
GEMM_READ, GEMM_WRITE = (Cause("gemm", direction) for direction in Direction)
RS_READ, RS_WRITE = (Cause("reduce_scatter", direction) for direction in Direction)


class _Commands(Probe):
    """Bytes of each GPU's DMA commands, in the order in which they were triggered."""

    def __init__(self):
        self.seen = {}

    def watch(self, machine):
        self.seen = {gpu.index: [] for gpu in machine.gpus}
        machine.observe(self)

    def command_triggered(self, rank, command):
        self.seen[rank].append(command.nbytes)


@pytest.fixture
def watched(lowered):
    """Give a function that runs T3 on a full ring: its outcome, and each GPU's DMA commands as bytes."""

    def run(system, sublayer):
        commands = _Commands()
        lab = SystemLab(system, sublayer.tp, "all", commands.watch)
        return lab.run(fused_phases(lowered(system, sublayer), system.track_trigger), "t3"), commands.seen

    return run


@pytest.mark.parametrize("gpus", [2, 4])
@pytest.mark.parametrize("simulated", ["mirror", "all"])
@pytest.mark.parametrize("scheme", ["t3", "t3-mca"])
def test_without_near_memory_compute_a_tile_is_summed_by_read_read_write(
    gpus, simulated, scheme, tiny_system, pair, run_scheme
):
    """All chunks but the first are stored, received, read twice and written; the middle ones are read to be sent."""
    chunk = TILES // gpus * TILE_BYTES
    served = run_scheme(tiny_system(WITHOUT_NMC), pair(gpus, SHAPE), scheme, simulated).served_bytes
    assert served[GEMM_WRITE] == (gpus - 1) * chunk
    assert served[RS_WRITE] == 2 * (gpus - 1) * chunk
    assert served[RS_READ] == (2 * (gpus - 1) + gpus - 2) * chunk


def test_without_near_memory_compute_the_ideal_that_assumes_it_stays(tiny_system, pair, run_scheme):
    """What a near-memory reduce-scatter would bring does not depend on whether the system has the memory for it."""
    totals = [run_scheme(tiny_system(*change), pair(4, SHAPE), "ideal-overlap-nmc") for change in ((), (WITHOUT_NMC,))]
    assert totals[0].total_fs == totals[1].total_fs


def test_summing_on_cus_waits_for_both_copies(tiny_system, pair, run_scheme):
    """On a memory without bandwidth limits, a tile's sum costs at least one read latency more than an update."""
    fast = (
        "memory.bandwidth=1000 TB/s",
        "memory.turnaround=0 ns",
        "memory.read_latency=1 us",
        "link.receive_buffer=1 MiB",
    )
    with_nmc, without = (
        run_scheme(tiny_system(*fast, *change), pair(2, SHAPE), "t3").of("reduce_scatter")
        for change in ((), (WITHOUT_NMC,))
    )
    assert without >= with_nmc + 10**9


def test_updates_through_the_llc_cost_operands_and_nothing_else(tiny_system, pair, run_scheme):
    """Where updates allocate, more operands are read again; what is written and what the ring moves is the same."""
    shape = (128, 128, 64)
    bypass, through = (
        run_scheme(tiny_system(*change, "llc.capacity=32 KiB"), pair(4, shape), "t3").served_bytes
        for change in ((), (THROUGH_LLC,))
    )
    assert through.pop(GEMM_READ) > bypass.pop(GEMM_READ)
    assert through == bypass


@pytest.mark.parametrize("tiles", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("change", [(), (UNSTAGGERED,), (WITHOUT_NMC,)])
def test_a_command_moves_so_many_tiles(tiles, change, tiny_system, pair, watched):
    """Each of the N - 2 middle chunks goes out in as few commands as their size allows, in nearly equal parts."""
    outcome, commands = watched(tiny_system(f"track_trigger.tiles_per_command={tiles}", *change), pair(4, SHAPE))
    assert outcome.link_bytes == 2 * 3 * 8 * TILE_BYTES  # reduce-scatter and all-gather
    for seen in commands.values():
        assert len(seen) == 2 * ceil(8 / tiles)
        assert sum(seen) == 2 * 8 * TILE_BYTES
        assert max(seen) - min(seen) <= TILE_BYTES
        assert max(seen) <= tiles * TILE_BYTES


@pytest.mark.parametrize("gpus", [2, 3, 4, 8])
def test_unstaggered_gpus_move_the_same_bytes(gpus, tiny_system, pair, run_scheme):
    """Staggering decides when, not what: without it every counter of traffic and of the link stays."""
    first, second = (
        run_scheme(tiny_system(*change), pair(gpus, (256, 64, 64)), "t3", "all") for change in ((), (UNSTAGGERED,))
    )
    assert {**first.served_bytes, GEMM_READ: 0} == {**second.served_bytes, GEMM_READ: 0}
    assert first.link_bytes == second.link_bytes


@pytest.mark.parametrize("entries", [1, 4])
def test_unstaggered_rings_end_with_a_small_tracker(entries, tiny_system, pair, run_scheme):
    """Counts of all chunks wait for the same few entries, and none waits for ever: the run's own checks pass."""
    small = (f"tracker.entries={entries}", "tracker.ways=1", UNSTAGGERED)
    outcome = run_scheme(tiny_system(*small), pair(8, (256, 64, 64)), "t3", "all")
    assert outcome.tracker_peak_entries == entries


def test_without_staggering_the_last_chunk_goes_round_after_the_gemm(tiny_system, pair, run_scheme):
    """The chunk produced last by all GPUs starts its N - 1 hops when the GEMM ends; staggered, one hop is left."""
    slow = ("compute.clock=100 MHz", "link.latency=5 us", "link.receive_buffer=1 MiB")
    exposed = []
    for change in ((), (UNSTAGGERED,)):
        outcome = run_scheme(tiny_system(*slow, *change), pair(8, (256, 64, 512)), "t3", "all")
        gemm_end = max(span.end_fs for gpu in outcome.gpus for span in gpu.spans if span.operation == "gemm")
        exposed.append(
            max(s.end_fs for gpu in outcome.gpus for s in gpu.spans if s.operation == "reduce_scatter") - gemm_end
        )
    assert exposed[0] < 2 * 5 * 10**9
    assert exposed[1] >= 7 * 5 * 10**9


def test_without_staggering_no_gpu_stands_for_all(tiny_system, pair, lowered):
    """GPUs that each run another program are all simulated, and it can be said why."""
    system, sublayer = tiny_system(UNSTAGGERED), pair(4, SHAPE)
    works = lowered(system, sublayer)
    phases = fused_phases(works, system.track_trigger)
    shape = mirror_shape(system, wiring_of(system, 4), phases)
    assert shape == "without staggering each GPU runs another program"
    assert mirror_shape(tiny_system(), wiring_of(system, 4), phases) == (4,)
    assert len(SystemLab(system, 4, "mirror").run(phases, "t3").gpus) == 4


@pytest.mark.parametrize("scheme", schemes_of_any_network())
def test_mirrored_or_not_unstaggered_gpus_give_the_same_result(scheme, tiny_loaded, pair):
    """What cannot be mirrored gives row by row what it gives when all GPUs are asked for."""
    system, sublayer = tiny_loaded(UNSTAGGERED), pair(4, SHAPE)
    rows = []
    for gpus in ("mirror", "all"):
        (row,) = simulate_point(Point(system=system, sublayer=sublayer, gpus=gpus), [scheme])
        rows.append({name: value for name, value in row.items() if name not in ("point_id", "wall_s")})
    assert rows[0] == rows[1]
    assert rows[0]["status"] == "ok"


class _Told(dict):
    """What Python does when the data plane tells it something, and how often it was told what."""

    def __init__(self, handlers):
        super().__init__(handlers)
        self.counts = Counter()

    def __getitem__(self, kind):
        self.counts[kind] += 1
        return super().__getitem__(kind)


@pytest.mark.parametrize("rows", [128, 512])
def test_no_tile_is_told_to_python(rows, tiny_system, pair, lowered):
    """Whatever the number of tiles, Python hears of stages and of ends: each GPU's, once for each operation."""
    system, sublayer, told = tiny_system(), pair(4, (rows, 64, 64)), []

    def watch(machine):
        plane = plane_of(machine.env)
        told.append(_Told(plane.handlers))
        plane.handlers = told[0]

    SystemLab(system, 4, "all", watch).run(fused_phases(lowered(system, sublayer), system.track_trigger), "t3")
    counts = told[0].counts
    assert set(counts) <= {TELL_COMPUTED, TELL_ROOM, TELL_ENDED, TELL_FINISHED}
    assert (counts[TELL_FINISHED], counts[TELL_ENDED]) == (4, 4)
    assert counts[TELL_ROOM] <= counts[TELL_COMPUTED]
