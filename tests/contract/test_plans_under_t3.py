"""T3 by each plan that its tiles can follow, over networks of 2 to 8 GPUs: one stands for all, and numbers are right.

``test_mirroring.py`` takes every algorithm and topology for 4 GPUs; here are the usual pairs of them for other numbers,
and with parts of the mechanism taken away.
"""

from dataclasses import replace

import pytest

from t3sim.errors import InputError
from t3sim.execution.data import DataMode
from t3sim.hardware.memory.access import Cause, Direction
from t3sim.registry import get
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation.lab import SystemLab

SWITCH = "{{kind: switch, switch: {{multicasts: true, reduces: true, adder_rate: 1 TB/s, entries: {}}}}}".format
NETWORKS = {
    "ring": ("{kind: ring}", "ring"),
    "ring both ways": ("{kind: ring}", "bidirectional-ring"),
    "ring by direct": ("{kind: ring}", "direct"),
    "fully connected": ("{kind: fully-connected}", "direct"),
    "fully connected by bits": ("{kind: fully-connected}", "halving-doubling"),
    "switch": (SWITCH(64), "direct"),
    "in the switch": (SWITCH(64), "in-switch"),
    "in the switch, one sum at a time": (SWITCH(1), "in-switch"),
}
VARIANTS = {
    "whole": (),
    "gathers": ("track_trigger.gathers=true",),
    "without near-memory compute": ("track_trigger.near_memory=false",),
    "coarse, through the LLC": ("track_trigger.tiles_per_command=3", "track_trigger.updates_bypass_llc=false"),
    "small buffers": ("link.send_buffer=1 KiB", "link.receive_buffer=3 KiB", "compute.store_buffer=1 KiB"),
}
ALONE = [(variant, gpus) for gpus in range(2, 9) for variant in VARIANTS if variant == "whole" or gpus in (3, 8)]
SCHEMES = ("t3", "t3-mca", "t3-switch")
GEMM_READ = Cause("gemm", Direction.READ)


@pytest.fixture(params=NETWORKS)
def network(request):
    """Give the overrides of each network with its algorithm."""
    topology, algorithm = NETWORKS[request.param]
    done = ", ".join(f"{operation}: {algorithm}" for operation in ("reduce_scatter", "all_gather", "all_reduce"))
    return f"topology={topology}", f"algorithms={{{done}}}"


@pytest.fixture
def halves(gemm_op, collective_op, sublayer_of):
    """Give a builder of a GEMM with the reduce-scatter and the all-gather of its output."""

    def build(gpus, shape):
        nbytes = shape[0] * shape[1] * 2
        scatter = collective_op("scatter", "reduce_scatter", nbytes, "g")
        return sublayer_of(gpus, gemm_op("g", shape), scatter, collective_op("gather", "all_gather", nbytes, "scatter"))

    return build


def runs(system, works, gpus):
    """Run each scheme that works there in full, and give a way to run it again otherwise."""
    for scheme in SCHEMES:
        lab = SystemLab(system, gpus, "all")
        if not get(SCHEME, scheme)().misfit(lab.facts):
            outcome = get(SCHEME, scheme)().simulate(lab, works)
            yield outcome, lambda lab, scheme=scheme: get(SCHEME, scheme)().simulate(lab, works)


@pytest.mark.parametrize(("variant", "gpus"), ALONE)
def test_mirror_is_every_gpu(network, variant, gpus, tiny_system, halves, lowered):
    """With equal chunks each GPU has the mirror's spans, bytes and waits, to the femtosecond."""
    system = tiny_system(*network, *VARIANTS[variant])
    try:
        works = lowered(system, halves(gpus, (32 * gpus, 64, 40)))
    except InputError:
        pytest.skip("the algorithm needs another number of GPUs")
    for full, again in runs(system, works, gpus):
        mirror = again(SystemLab(system, gpus, "mirror"))
        assert full.gpus == mirror.gpus * gpus
        whole = {"gpus": (), "gpus_simulated": 0, "links": {}}
        assert replace(full, **whole) == replace(mirror, **whole)


@pytest.mark.parametrize("gpus", [3, 8])
@pytest.mark.parametrize("variant", VARIANTS)
def test_numbers_are_right_with_uneven_chunks(network, variant, gpus, tiny_system, halves, lowered):
    """Where chunks differ in tiles and tiles in size, every element of sum and gather is where it belongs."""
    system = tiny_system(*network, *VARIANTS[variant])
    try:
        works = lowered(system, halves(gpus, (100, 50, 25)))
    except InputError:
        pytest.skip("the algorithm needs another number of GPUs")
    for full, again in runs(system, works, gpus):
        found = again(SystemLab(system, gpus, "all", data=DataMode()))
        assert found.data.errors == 0, found.data
        assert found.total_fs == full.total_fs


@pytest.mark.parametrize("gpus", [2, 7])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("topology", ["{kind: ring}", "{kind: fully-connected}", SWITCH(64)])
def test_all_to_all_sends_each_tile_straight_to_its_gpu(
    topology, variant, gpus, tiny_system, gemm_op, collective_op, sublayer_of, lowered
):
    """An expert's output needs no reads to be sent: each GPU writes what it keeps, and what comes from the others."""
    system = tiny_system(f"topology={topology}", *VARIANTS[variant])
    nbytes = 100 * 50 * 2
    sublayer = sublayer_of(gpus, gemm_op("g", (100, 50, 25)), collective_op("c", "all_to_all", nbytes, "g"))
    works = lowered(system, sublayer)
    for full, again in runs(system, works, gpus):
        found = again(SystemLab(system, gpus, "all", data=DataMode()))
        assert found.data.errors == 0, found.data
        reads = full.served_bytes.get(Cause("all_to_all", Direction.READ), 0)
        writes = [full.served_bytes[Cause(name, Direction.WRITE)] for name in ("gemm", "all_to_all")]
        assert reads == 0
        assert sum(writes) == pytest.approx(nbytes, abs=gpus)


def test_direct_reads_nothing_for_its_reduce_scatter(tiny_system, halves, run_scheme):
    """Tiles leave as they are made and sums stay where they land: 0 B, where a ring reads what it passes on."""
    shape, read = (256, 64, 40), Cause("reduce_scatter", Direction.READ)
    direct = tiny_system("topology={kind: fully-connected}")
    assert run_scheme(direct, halves(8, shape), "t3").served_bytes.get(read, 0) == 0
    chunk = 256 * 64 * 2 // 8
    assert run_scheme(tiny_system(), halves(8, shape), "t3").served_bytes[read] == 6 * chunk


def test_tiles_made_in_turns_need_few_operands(tiny_system, halves, run_scheme):
    """A kernel that makes tiles of 7 chunks in turns reads at most half as much again as one that does not."""
    shape = (1024, 256, 64)
    wide = ("llc.capacity=64 KiB", "gemm.group_rows=8", "compute.cus=16", "compute.store_buffer=256 KiB")
    ring, direct = (
        run_scheme(tiny_system(*wide, f"topology={{kind: {kind}}}"), halves(8, shape), "t3").served_bytes[GEMM_READ]
        for kind in ("ring", "fully-connected")
    )
    assert direct <= 1.5 * ring


@pytest.mark.parametrize("tracker", [(1, 1), (4, 1), (4, 4)], ids=["one entry", "four sets", "one set"])
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("gpus", [4, 8])
def test_any_tracker_is_large_enough(network, variant, tracker, gpus, tiny_system, halves, lowered):
    """With fewer entries than tiles under way T3 ends, uses no more of them, and numbers are right."""
    entries, ways = tracker
    system = tiny_system(*network, *VARIANTS[variant], f"tracker.entries={entries}", f"tracker.ways={ways}")
    try:
        works = lowered(system, halves(gpus, (200, 100, 25)))
    except InputError:
        pytest.skip("the algorithm needs another number of GPUs")
    for full, again in runs(system, works, gpus):
        assert full.tracker_peak_entries <= entries
        found = again(SystemLab(system, gpus, "all", data=DataMode()))
        assert found.data.errors == 0, found.data
        assert found.total_fs == full.total_fs


@pytest.mark.parametrize("scheme", ["t3", "t3-mca"])
def test_halving_and_doubling_gain_little_from_a_larger_tracker(scheme, tiny_system, halves, run_scheme):
    """Tiles are completed in the order they are produced, so one set of four does nearly what 4096 entries do."""
    halving = ("topology={kind: fully-connected}", "algorithms={reduce_scatter: halving-doubling}")
    small, large = (
        run_scheme(
            tiny_system(*halving, f"tracker.entries={entries}", "tracker.ways=4"), halves(8, (512, 128, 40)), scheme
        )
        for entries in (64, 4096)
    )
    assert large.total_fs <= small.total_fs <= 1.1 * large.total_fs
