"""Halves of tensor parallelism for four GPUs, and what of them can be seen from outside."""

import pytest

from t3sim.hardware.memory.access import Access
from t3sim.hardware.probe import Probe
from t3sim.registry import get
from t3sim.schemes.scheme import KIND
from t3sim.simulation.lab import SystemLab

FULLY_CONNECTED = "topology={kind: fully-connected}"


@pytest.fixture(scope="session")
def linked(slow_reads):
    """Give a builder of a system on which only reads take time, with a link between any two GPUs."""
    return lambda *overrides: slow_reads(FULLY_CONNECTED, *overrides)


@pytest.fixture(scope="session")
def scatter(gemm_op, collective_op, sublayer_of):
    """Give a builder of a GEMM and the reduce-scatter of its output."""

    def build(shape, gpus=4):
        scattered = collective_op("scatter", "reduce_scatter", shape[0] * shape[1] * 2, "gemm")
        return sublayer_of(gpus, gemm_op("gemm", shape), scattered)

    return build


@pytest.fixture(scope="session")
def gather(gemm_op, collective_op, sublayer_of):
    """Give a builder of an all-gather and the GEMM that reads what it gathers."""

    def build(shape, gpus=4):
        gathered = collective_op("gather", "all_gather", shape[0] * shape[2] * 2)
        return sublayer_of(gpus, gathered, gemm_op("gemm", shape, "gather"))

    return build


class Bursts(Probe):
    """Notes what GPU 0 asks of its memory, and when."""

    def __init__(self):
        self.seen = []

    def watch(self, machine):
        """See all memories."""
        self.env = machine.env
        machine.observe(self)

    def burst_submitted(self, rank, _stream, access, nbytes, cause, done):
        """Note a burst."""
        if rank == 0:
            self.seen.append((int(self.env.now), access is Access.READ, cause.operation, nbytes))
        return done

    def bytes_at(self, operation, *, reads):
        """Add up bytes by the nanosecond at which they were asked for."""
        found = {}
        for now, is_read, name, nbytes in self.seen:
            if (is_read, name) == (reads, operation):
                found[now // 10**6] = found.get(now // 10**6, 0) + nbytes
        return found


@pytest.fixture
def watched(lowered):
    """Give a function that runs a scheme on all GPUs: the outcome, and what GPU 0 asked of its memory."""

    def run(system, sublayer, scheme):
        bursts = Bursts()
        lab = SystemLab(system, sublayer.tp, "all", bursts.watch)
        return get(KIND, scheme)().simulate(lab, lowered(system, sublayer)), bursts

    return run


@pytest.fixture(scope="session")
def spans_of():
    """Give a function that lists when an operation ran on the first GPU."""
    return lambda outcome, name: [
        (span.start_fs, span.end_fs) for span in outcome.gpus[0].spans if span.operation == name
    ]
