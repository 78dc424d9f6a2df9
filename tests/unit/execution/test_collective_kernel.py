"""Collective kernels: what they read and write where, and what their CUs keep in flight (Little's law)."""

from itertools import pairwise

import pytest

from t3sim.collectives.plan import Operation
from t3sim.hardware.memory.access import Access
from t3sim.hardware.plane.plane import plane_of
from t3sim.hardware.probe import Probe
from t3sim.schemes.kernels import CollectivePhase
from t3sim.simulation import Point, load_system, simulate_point
from t3sim.simulation.lab import SystemLab
from t3sim.workload.operations import Collective, Sublayer

LATENCY_NS = 400
# Only the latency of memory is left: the kernel waits for nothing else.
LATENCY_ALONE = (
    "memory.bandwidth=1000000 TB/s",
    "memory.efficiency=1.0",
    "memory.turnaround=0 ns",
    "memory.stream_switch=0 ns",
    "compute.launch_overhead=0 ns",
    "link.bandwidth=10 TB/s",
    "link.latency=0 ns",
    f"memory.read_latency={LATENCY_NS} ns",
)
NBYTES = 8 << 20
IN_ONE_READ = ("compute.collective_outstanding_per_cu=64 KiB",)


def total_us(op, gpus, cus, outstanding):
    """Time of one collective on ``cus`` CUs that keep ``outstanding`` bytes in flight each."""
    settings = (f"compute.collective_cus={cus}", f"compute.collective_outstanding_per_cu={outstanding} B")
    system = load_system("t3-paper-published", [*LATENCY_ALONE, *settings])
    operation = Collective(id="c", op=op, bytes=NBYTES, dtype="fp16", phase="forward", sublayer="c")
    sublayer = Sublayer(model="m", phase="forward", sublayer="c", tp=gpus, operations=(operation,))
    (row,) = simulate_point(Point(system=system, sublayer=sublayer), ["sequential"])
    return row["total_us"]


@pytest.mark.parametrize("window", [2 << 10, 16 << 10, 64 << 10, 256 << 10])
@pytest.mark.parametrize(("op", "reads"), [("all_gather", 3), ("reduce_scatter", 7)])
def test_rate_is_window_over_latency(op, reads, window):
    """On 4 GPUs, a kernel reads 3 chunks (all-gather) or 7 (reduce-scatter) at window / latency, however small."""
    expected_us = reads * NBYTES / 4 / (window / (LATENCY_NS * 1e-3))
    assert total_us(op, 4, 1, window) == pytest.approx(expected_us, rel=0.05)


@pytest.mark.parametrize("cus", [1, 2, 8])
def test_cus_add_up(cus):
    """What counts is the bytes in flight on all CUs together."""
    assert total_us("reduce_scatter", 4, cus, 4096) == total_us("reduce_scatter", 4, 1, 4096 * cus)


@pytest.mark.parametrize("nbytes", [1, 3, 5])
@pytest.mark.parametrize("gpus", ["mirror", "all"])
@pytest.mark.parametrize("op", [operation.value for operation in Operation])
def test_buffers_smaller_than_the_group_are_moved(op, gpus, nbytes, tiny_loaded, collective_op, sublayer_of):
    """A collective of fewer bytes than chunks leaves chunks empty, moves what there is, and ends."""
    sublayer = sublayer_of(4, collective_op("c", op, nbytes))
    (row,) = simulate_point(Point(system=tiny_loaded(), sublayer=sublayer, gpus=gpus), ["sequential"])
    assert row["status"] == "ok"
    assert row["total_us"] > 0
    assert row["dram_total_bytes"] > 0


BANKED = "memory={extends: banked-hbm2}"


class Accesses(Probe):
    """Notes where bursts lie."""

    def __init__(self, gpus, found):
        self.gpus = gpus
        self.found = found

    def burst_submitted(self, rank, _stream, access, nbytes, cause, done):
        """Note a burst."""
        # What the plane has worked out for the burst.
        address, rows, width, _ = plane_of(self.gpus[rank].env).rows("regions")[0].tolist()
        assert rows * width == nbytes
        self.found[rank].append((access, cause.direction, address, nbytes))
        return done


@pytest.fixture
def accesses(lowered):
    """Give a function that runs a collective on all GPUs: each GPU's accesses as (access, cause, first byte, bytes)."""

    def run(system, sublayer):
        found = {}

        def observe(machine):
            found.update({gpu.index: [] for gpu in machine.gpus})
            machine.observe(Accesses(machine.gpus, found))

        lab = SystemLab(system, sublayer.tp, "all", observe)
        lab.run([CollectivePhase(work) for work in lowered(system, sublayer)], "default")
        return found

    return run


def apart(spans):
    """Whether none of the (first byte, bytes) overlap."""
    return all(start + size <= behind for (start, size), (behind, _) in pairwise(sorted(spans)))


def test_contributions_wait_beside_what_the_gpu_has(accesses, tiny_system, collective_op, sublayer_of):
    """In a direct reduce-scatter three copies of the own chunk arrive apart from each other and from the buffer.

    Each is read once, with the GPU's own, and the sum goes over that; all other chunks are read once to be sent.
    """
    sublayer = sublayer_of(4, collective_op("c", "reduce_scatter", 4096))
    for rank, seen in accesses(
        tiny_system(BANKED, "algorithms={reduce_scatter: direct}", *IN_ONE_READ), sublayer
    ).items():
        written = [(address, nbytes) for access, _, address, nbytes in seen if access is Access.WRITE]
        read = [(address, nbytes) for access, _, address, nbytes in seen if access is Access.READ]
        own = (1024 * (3 - rank), 1024)
        copies = [place for place in written if place != own]
        assert len(copies) == 3
        assert written.count(own) == 1
        assert apart([*copies, (0, 4096)])
        assert sorted(read) == sorted([*copies, *((1024 * part, 1024) for part in range(4))])


def test_gathered_chunks_land_where_they_belong(accesses, tiny_system, collective_op, sublayer_of):
    """In an all-gather each part arrives at its place in the buffer, the own one being there."""
    sublayer = sublayer_of(4, collective_op("c", "all_gather", 4096))
    for rank, seen in accesses(tiny_system(BANKED, *IN_ONE_READ), sublayer).items():
        written = sorted(address for access, _, address, _ in seen if access is Access.WRITE)
        assert written == [1024 * part for part in range(4) if part != 3 - rank]


def test_exchanged_chunks_do_not_overwrite_what_is_still_to_be_sent(accesses, tiny_system, collective_op, sublayer_of):
    """In an all-to-all what arrives lies apart from the buffer that is sent from."""
    sublayer = sublayer_of(4, collective_op("c", "all_to_all", 4096))
    for rank, seen in accesses(tiny_system(BANKED, *IN_ONE_READ), sublayer).items():
        written = [(address, nbytes) for access, _, address, nbytes in seen if access is Access.WRITE]
        assert len(written) == 3
        assert apart([*written, (0, 4096)])
        read = sorted(address for access, _, address, _ in seen if access is Access.READ)
        assert read == [1024 * part for part in range(4) if part != rank]


# Reads alone take time, 400 ns each, and 12 KiB of them are under way.
WINDOW_OF_12_KIB = (
    "memory.bandwidth=1000000 TB/s",
    "memory.read_latency=400 ns",
    "memory.turnaround=0 ns",
    "memory.stream_switch=0 ns",
    "link.bandwidth=10 TB/s",
    "link.latency=0 ns",
    "compute.launch_overhead=0 ns",
    "compute.collective_cus=1",
    "compute.collective_outstanding_per_cu=12 KiB",
    "compute.collective_slice=256 B",
)


def test_lanes_share_the_cus(tiny_system, collective_op, sublayer_of, run_scheme):
    """Three lanes at once, each with a third of the window, are bound by latency as one lane with all of it is."""
    sublayer = sublayer_of(4, collective_op("c", "all_gather", 4 << 20))
    ring, direct = (
        run_scheme(tiny_system(*WINDOW_OF_12_KIB, *network), sublayer, "sequential").total_fs
        for network in ((), ("topology={kind: fully-connected}", "algorithms={all_gather: direct}"))
    )
    # Each reads three chunks of 1 MiB: one after the other with 12 KiB in flight, or side by side with 4 KiB each.
    expected_fs = 3 * (1 << 20) / (12 << 10) * 400 * 10**6
    assert ring == pytest.approx(expected_fs, rel=0.1)
    assert direct == pytest.approx(expected_fs, rel=0.1)


def test_shots_are_summed_after_their_barrier_by_all_cus(tiny_system, collective_op, sublayer_of, run_scheme):
    """A direct reduce-scatter sends three chunks side by side, then reads four to sum them, each with the whole window.

    Nothing is summed while the shot is under way, and the sum is not left to the CUs of one of its lanes.
    """
    settings = (
        *WINDOW_OF_12_KIB,
        "topology={kind: fully-connected}",
        "algorithms={reduce_scatter: direct}",
    )
    sublayer = sublayer_of(4, collective_op("c", "reduce_scatter", 4 << 20))
    expected_fs = (3 + 4) * (1 << 20) / (12 << 10) * 400 * 10**6
    assert run_scheme(tiny_system(*settings), sublayer, "sequential").total_fs == pytest.approx(expected_fs, rel=0.05)


SLICE = 64 << 10
CHUNK = 8 << 20
LINK, MEMORY = 50e9, 500e9
PLAIN_MEMORY = (
    f"memory.bandwidth={MEMORY / 1e9:g} GB/s",
    "memory.efficiency=1.0",
    "memory.turnaround=0 ns",
    "memory.stream_switch=0 ns",
    "memory.read_latency=400 ns",
    "link.bandwidth=100 GB/s",  # both ways
    "link.latency=1 us",
    f"compute.collective_slice={SLICE} B",
    "compute.launch_overhead=0 ns",
)


@pytest.mark.parametrize("gpus", ["mirror", "all"])
@pytest.mark.parametrize("operation", ["reduce_scatter", "all_reduce"])
def test_last_sum_is_done_as_slices_arrive(operation, gpus, collective_op, sublayer_of):
    """After the last byte of a reduce-scatter has come, a slice is left to be read, added and written, not a chunk.

    On two GPUs a chunk crosses the link, and its sum reads two and writes one: by chunk, 50 us later.
    """
    system = load_system("t3-paper-published", PLAIN_MEMORY)
    sublayer = sublayer_of(2, collective_op("c", operation, 2 * CHUNK))
    (row,) = simulate_point(Point(system=system, sublayer=sublayer, gpus=gpus), ["sequential"])
    hops = 1 + (operation == "all_reduce")
    on_wire_us = hops * (CHUNK / LINK * 1e6 + 1)
    slice_us = SLICE / LINK * 1e6
    assert on_wire_us < row["total_us"] < on_wire_us + hops * (2 * slice_us + 1)


def test_a_step_s_latency_comes_before_the_last_sum_too(collective_op, sublayer_of):
    """What a protocol adds to a step stands between a slice's arrival and its sum: with one step it is added once."""
    sublayer = sublayer_of(2, collective_op("c", "reduce_scatter", 2 * CHUNK))
    slow = [
        simulate_point(
            Point(
                system=load_system(
                    "t3-paper-published",
                    [
                        *PLAIN_MEMORY,
                        f"protocols={{p: {{base_latency: 0 us, step_latency: {us} us, payload_share: 1.0}}}}",
                    ],
                ),
                sublayer=sublayer,
            ),
            ["sequential"],
        )[0]["total_us"]
        for us in (1.4, 51.4)  # wire and memory are 1.4 of it
    ]
    # Slices that come while memory is idle are summed as fast as they can be.
    assert slow[1] - slow[0] == pytest.approx(50, abs=3 * SLICE / MEMORY * 1e6)
