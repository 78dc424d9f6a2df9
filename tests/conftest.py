"""Builders shared by the tests: a small system, small sublayers, and one way to run a scheme on them."""

import os
import re

import pytest
import simpy
from hypothesis import settings

from t3sim.compiled import compiled
from t3sim.config.source import read_value
from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.banked.engine import MODEL
from t3sim.hardware.memory.banked.mappings.mop4_xor import Mop4Xor
from t3sim.hardware.memory.banked.spec import BankedSpec
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.plane import models
from t3sim.hardware.plane.engine import SUBMIT
from t3sim.hardware.plane.kinds import TELL
from t3sim.hardware.plane.state import opened_as
from t3sim.lowering.work import lower
from t3sim.registry import get
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation import load_system
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.part_store import FOLDER, OFF, REMEMBERED
from t3sim.simulation.plans import plans_of
from t3sim.workload.operations import Collective, Gemm, Sublayer

# The first example of a test may compile functions; and the same examples run everywhere.
settings.register_profile("t3sim", deadline=None, derandomize=True)
settings.load_profile("t3sim")
# Nor do processes that tests start find what others have simulated.
os.environ[FOLDER] = OFF

TINY = (
    "compute.cus=4",
    "compute.matrix_flops_per_cycle={fp16: 256, fp32: 128, fp8: 512}",
    "compute.store_buffer=16 KiB",
    "compute.collective_cus=4",
    "compute.collective_slice=1 KiB",
    "gemm.tile_m=16",
    "gemm.tile_n=16",
    "gemm.slab_k=8",
    "gemm.group_rows=2",
    "gemm.wavefronts=4",
    "llc.capacity=8 KiB",
    "llc.ways=4",
    "llc.block=256 B",
    "llc.hit_latency=10 ns",
    "memory.channels=4",
    "memory.queue_entries=8",
    "memory.read_latency=30 ns",
    "tracker.entries=64",
    "link.latency=20 ns",
    "link.send_buffer=8 KiB",
    "link.receive_buffer=8 KiB",
)
TOY_MODEL = """\
format: t3sim-model
version: 1
name: toy
hidden: 64
layers: 1
tokens: 64
tp: [2, 4]
dtype: fp16
"""
PLACE = {"phase": "forward", "sublayer": "op"}
ELEMENT_BYTES = {"fp32": 4, "fp16": 2, "fp8": 1}


@pytest.fixture(autouse=True)
def forgotten():
    """Let no test find what another one has simulated."""
    REMEMBERED.forget()


@pytest.fixture(scope="session")
def parsed():
    """Give a function that reads a table of a page back: one mapping a row, by the names of its header."""

    def read(body):
        lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in body.strip().splitlines()]
        return [dict(zip(lines[0], row, strict=True)) for row in lines[2:]]

    return read


@pytest.fixture(scope="session")
def tiny_loaded():
    """Give a builder of a system, its memory in order, that is simulated in milliseconds, with ``--set`` overrides."""
    return lambda *overrides: load_system("t3-paper-published", [*TINY, *overrides])


@pytest.fixture(scope="session")
def tiny_system(tiny_loaded):
    """Give a builder of the values of such a system."""
    return lambda *overrides: tiny_loaded(*overrides).spec


@pytest.fixture(scope="session")
def slow_reads(tiny_system):
    """Give a builder of a tiny system on which but for GEMMs only reads take time: 400 ns each, however many.

    A collective's CUs keep 4 KiB in flight. Whatever is sent is there when it has been read.
    """
    free = (
        "memory.bandwidth=1000000 TB/s",
        "memory.read_latency=400 ns",
        "memory.turnaround=0 ns",
        "memory.stream_switch=0 ns",
        "link.bandwidth=1000 TB/s",
        "link.latency=0 ns",
        "link.send_buffer=1 MiB",
        "link.receive_buffer=1 MiB",
        "compute.store_buffer=1 MiB",
        "compute.launch_overhead=0 ns",
        "compute.collective_cus=1",
        "compute.collective_outstanding_per_cu=4 KiB",
        "compute.collective_slice=256 B",
    )
    return lambda *overrides: tiny_system(*free, *overrides)


@pytest.fixture(scope="session")
def hbm2_banks():
    """Give a builder of bank-level memory of the shipped HBM2, 32 channels of which one is simulated."""
    fields = {
        "dram": load_dram("hbm2").spec,
        "channels": 32,
        "simulated_channels": 1,
        "interleave": 256,
        "channel_hash": True,
        "path_entries": 64,
        "least_reads": 16,
        "address_mapping": Mop4Xor(),
        "read_latency": 270_000_000,
        "scheduler": "frfcfs-row-hit",
        "hit_cap": 0,
        "read_entries": 64,
        "write_entries": 64,
        "drain_from": 0.8,
        "drain_to": 0.2,
        "refresh": True,
    }
    return lambda **changes: BankedSpec(**{**fields, **changes})


opened = opened_as(MODEL)


@compiled
def _serve(where, now):
    return models.serve(opened(where), 0, now)


@compiled
def _completed(where, index):
    burst = models.completed(opened(where), 0, index)
    return burst.a, burst.end


@compiled
def _admit(where, now):
    return models.admit_and_predict(opened(where), 0, now)


class BankedChannels(MemoryController):
    """The banked memory of one controller, driven by hand."""

    def __init__(self, spec, policy):
        super().__init__(simpy.Environment(0), spec, policy, 0)
        self.use_policy(policy)
        self.pushed = 0

    def push(self, lane, nbytes, cause, region, *, is_update=False):
        """Append a burst to a lane; return its number among all."""
        self._locate(region)
        self.pushed += 1
        self._plane.do(SUBMIT, 0, lane, nbytes, cause, is_update, TELL, self.pushed - 1)
        return self.pushed - 1

    def admit(self, now):
        """Let in what was pushed, at ``now``; say when to advance for the next burst if nothing more comes, or 0."""
        return _admit(self._plane.address, now)

    def advance(self, now):
        """Serve up to ``now``; give (number, end) of the bursts this completed."""
        return [tuple(_completed(self._plane.address, index)) for index in range(_serve(self._plane.address, now))]


@pytest.fixture(scope="session")
def banked_channels():
    """Give a builder of banked memory that is driven by hand, of its spec and a policy."""
    return BankedChannels


@pytest.fixture(scope="session")
def tiny_settings(tmp_path_factory):
    """Give the base settings of a sweep whose points take milliseconds: the tiny system, and a tiny model."""
    model = tmp_path_factory.mktemp("models") / "toy.yaml"
    model.write_text(TOY_MODEL, encoding="utf-8")
    system = dict(text.split("=", 1) for text in TINY)
    settings = {f"system.{key}": read_value(text, key) for key, text in system.items()}
    return {
        "system": "t3-paper-published",
        **settings,
        "model": str(model),
        "tp": 2,
        "sublayer": "op",
        "scheme": ["sequential", "t3"],
    }


@pytest.fixture(scope="session")
def gemm_op():
    """Give a builder of GEMMs."""

    def build(name, shape, *after, dtype="fp16"):
        rows, columns, depth = shape
        return Gemm(id=name, M=rows, N=columns, K_local=depth, dtype=dtype, after=after, **PLACE)

    return build


@pytest.fixture(scope="session")
def collective_op():
    """Give a builder of collectives."""

    def build(name, op, nbytes, *after, dtype="fp16"):
        return Collective(id=name, op=op, bytes=nbytes, dtype=dtype, after=after, **PLACE)

    return build


@pytest.fixture(scope="session")
def sublayer_of():
    """Give a builder of sublayers from operations."""
    return lambda tp, *operations: Sublayer(model="toy", phase="forward", sublayer="op", tp=tp, operations=operations)


@pytest.fixture(scope="session")
def pair(gemm_op, collective_op, sublayer_of):
    """Give a builder of the usual sublayer: one GEMM and the all-reduce of its output."""

    def build(tp, shape, dtype="fp16"):
        nbytes = shape[0] * shape[1] * ELEMENT_BYTES[dtype]
        gemm = gemm_op("gemm", shape, dtype=dtype)
        return sublayer_of(tp, gemm, collective_op("reduce", "all_reduce", nbytes, "gemm", dtype=dtype))

    return build


@pytest.fixture(scope="session")
def lowered():
    """Give a function that lowers a sublayer for a system."""
    return lambda system, sublayer: lower(
        sublayer, system.gemm, system.compute.collective_slice, plans_of(system, sublayer.tp)
    )


@pytest.fixture(scope="session")
def run_scheme(lowered):
    """Give a function that runs a sublayer under a scheme, on a fresh machine."""

    def run(system, sublayer, scheme, gpus="mirror"):
        lab = SystemLab(system, sublayer.tp, gpus)
        return get(SCHEME, scheme)().simulate(lab, lowered(system, sublayer))

    return run
