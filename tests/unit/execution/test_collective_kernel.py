"""Collective kernels: what their CUs keep in flight bounds their rate (Little's law)."""

import pytest

from t3sim.hardware.compute.cus import SLICES_IN_WINDOW
from t3sim.simulation import Point, load_system, simulate_point
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


def total_us(op, gpus, cus, outstanding):
    """Time of one collective on ``cus`` CUs that keep ``outstanding`` bytes in flight each."""
    settings = (f"compute.collective_cus={cus}", f"compute.collective_outstanding_per_cu={outstanding} B")
    system = load_system(overrides=[*LATENCY_ALONE, *settings])
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


def test_slice_is_small_against_the_window():
    """A slice is the configured grain where many fit into the window, and a part of the window where not."""
    for outstanding, expected in (("1 MiB", 64 << 10), ("4 KiB", (8 << 12) // SLICES_IN_WINDOW), ("1 B", 1)):
        settings = ["compute.collective_cus=8", f"compute.collective_outstanding_per_cu={outstanding}"]
        assert load_system(overrides=settings).spec.compute.slice_bytes == expected
