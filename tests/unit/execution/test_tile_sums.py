"""Sums of tiles on CUs, where memory does not add: what they read, how fast, and what they take from the GEMM."""

import pytest

from t3sim.execution.data import DataMode
from t3sim.hardware.memory.access import Access, Cause, Direction
from t3sim.hardware.probe import Probe
from t3sim.registry import get
from t3sim.schemes.scheme import KIND
from t3sim.simulation.lab import ALL, SystemLab

SHAPE = (128, 64, 64)
"""Eight rows of four tiles of 512 B."""
PART = 16 * 512
"""Of two GPUs."""
WITHOUT_NMC = "track_trigger.near_memory=false"
READ, WRITE = (Cause("reduce_scatter", direction) for direction in Direction)
NS = 10**6
# A slab of 2 x 16 x 16 x 8 FLOP takes 16 cycles, and nothing else any time.
COMPUTE_ALONE = (
    "compute.clock=1 GHz",
    "compute.sustained_fraction=1.0",
    "llc.hit_latency=0 ns",
    "memory.read_latency=0 ns",
)


@pytest.fixture(scope="module")
def scattered(gemm_op, collective_op, sublayer_of):
    """Give a builder of a GEMM and the reduce-scatter of its output on two GPUs."""
    operations = gemm_op("gemm", SHAPE), collective_op("scatter", "reduce_scatter", 2 * PART, "gemm")
    return sublayer_of(2, *operations)


def gemm_end(outcome):
    """Say when the GEMM ended on the first GPU."""
    return next(span.end_fs for span in outcome.gpus[0].spans if span.operation == "gemm")


@pytest.mark.parametrize(("cus", "stages"), [(1, 11), (2, 16), (3, 16)])
def test_cus_that_sum_are_not_the_gemm_s(cus, stages, slow_reads, scattered, run_scheme):
    """32 tiles of 8 slabs are 8 stages on 4 CUs, 11 on 3 and 16 on 2: a GEMM keeps half of its CUs."""
    four, fewer = (
        run_scheme(slow_reads(*COMPUTE_ALONE, f"software.overlap_cus={cus}", *change), scattered, "t3", "all")
        for change in ((), (WITHOUT_NMC,))
    )
    assert gemm_end(four) == pytest.approx(8 * 8 * 16 * NS, rel=0.01)
    assert gemm_end(fewer) == pytest.approx(stages * 8 * 16 * NS, rel=0.01)
    # They are held as long as the GEMM runs, and all that a collective has for what is left to sum.
    held = min(cus, 2) * gemm_end(fewer) + fewer.total_fs - gemm_end(fewer)
    assert fewer.cu_busy_fs["reduce_scatter"] == held
    assert fewer.cu_busy_fs["gemm"] < 4 * gemm_end(fewer)


@pytest.mark.parametrize("outstanding", [128, 256, 512])
def test_the_rate_beside_the_gemm_and_after_it(outstanding, slow_reads, scattered, run_scheme):
    """One CU sums while the GEMM runs, four do after it: two copies of 8 KiB in all, a window each 400 ns.

    The own tiles come out of the second half of the GEMM; from then on one CU is never without.
    """
    late = "memory.read_latency=400 ns", "compute.collective_cus=4", "software.overlap_cus=1"
    window = f"compute.collective_outstanding_per_cu={outstanding} B"
    system = slow_reads(*COMPUTE_ALONE[:3], *late, window, WITHOUT_NMC)
    outcome = run_scheme(system, scattered, "t3", "all")
    end = gemm_end(outcome)
    # Stages of three take 11 turns; the first own tiles are there after 6 of them.
    beside = (end - 6 * end / 11) / (400 * NS) * outstanding
    expected = (2 * PART - beside) / (4 * outstanding) * 400 * NS
    assert outcome.total_fs - end == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("scheme", ["t3", "fused-sw"])
@pytest.mark.parametrize("gpus", [2, 4])
def test_a_window_that_grows_while_tiles_are_read_loses_nothing(
    scheme, gpus, slow_reads, gemm_op, collective_op, sublayer_of, lowered
):
    """At the GEMM's end a tile is read in 32 parts of a copy; with four times the CUs its parts stay, and all is read.

    Numbers are right, and every byte is read once.
    """
    changes = "compute.collective_cus=4", "compute.collective_outstanding_per_cu=128 B", "software.overlap_cus=1"
    system = slow_reads(*changes, WITHOUT_NMC)
    sublayer = sublayer_of(gpus, gemm_op("gemm", SHAPE), collective_op("s", "reduce_scatter", 2 * PART, "gemm"))
    lab = SystemLab(system, gpus, ALL, data=DataMode())
    outcome = get(KIND, scheme)().simulate(lab, lowered(system, sublayer))
    assert outcome.data.errors == 0
    part = 2 * PART // gpus
    # In a ring the middle parts are read once more to be sent; with two GPUs there is none, and links are direct.
    assert outcome.served_bytes[READ] == (2 * (gpus - 1) + gpus - 2) * part
    assert outcome.served_bytes[WRITE] == 2 * (gpus - 1) * part


@pytest.mark.parametrize("outstanding", [100, 72])
def test_reads_of_odd_sizes_add_up(outstanding, slow_reads, scattered, lowered):
    """A tile of 512 B in reads of 12 or 9 B is 43 or 57 of them, each copy in full."""
    system = slow_reads(f"compute.collective_outstanding_per_cu={outstanding} B", WITHOUT_NMC)
    lab = SystemLab(system, 2, ALL, data=DataMode())
    outcome = get(KIND, "t3")().simulate(lab, lowered(system, scattered))
    assert outcome.data.errors == 0
    assert outcome.served_bytes[READ] == 2 * PART


class InFlight(Probe):
    """Notes, at each read of the first GPU's CUs that sum, what of theirs is in flight with it."""

    def __init__(self, machine):
        self.now, self.found = 0, []
        machine.observe(self)

    def burst_submitted(self, rank, _stream, access, nbytes, cause, done):
        """Count a burst till it is complete; what arrives is written by nobody's CUs."""
        is_read = access is Access.READ
        if rank or cause.operation != "reduce_scatter" or (not is_read and not self.found):
            return done
        self.now += nbytes
        if is_read:
            self.found.append(self.now)

        def complete():
            self.now -= nbytes
            done()

        return complete


@pytest.mark.parametrize("window", [512, 1024, 4096])
def test_what_is_read_and_what_is_written_fit_in_the_window(window, slow_reads, scattered, lowered):
    """What is complete keeps its room until it is written: reads are asked for when with both there is room for them.

    And room is used: at some time all of it is.
    """
    slow = "memory.bandwidth=10 GB/s", "memory.efficiency=1.0", f"compute.collective_outstanding_per_cu={window} B"
    probes = []
    system = slow_reads(*slow)
    lab = SystemLab(system, 2, ALL, lambda machine: probes.append(InFlight(machine)))
    get(KIND, "fused-sw")().simulate(lab, lowered(system, scattered))
    assert sum(probes[0].found) > 2 * PART
    assert max(probes[0].found) == window
