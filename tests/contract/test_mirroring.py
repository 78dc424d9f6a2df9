"""One GPU stands for all on every topology with every algorithm; a new one is tested here without editing this file."""

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

import t3sim.collectives  # noqa: F401 - registers the algorithms
from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import KIND as ALGORITHM
from t3sim.collectives.planning import algorithms_for
from t3sim.errors import InputError
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.registry import get, names
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation.lab import SystemLab
from t3sim.workload.operations import Collective

GPUS = 4
OPERATIONS = get_args(Collective.model_fields["op"].annotation)
"""What a trace may ask for."""
SWITCH = "{multicasts: true, reduces: true, adder_rate: 1 TB/s, entries: 64}"
# What a topology needs to be told; those that are not named here take their defaults.
CONFIGURED = {
    "torus": "shape: [2, 2]",
    "multi-node": "nodes: 2, nic: {bandwidth: 40 GB/s, direction: per_direction, latency: 80 ns, "
    f"send_buffer: 8 KiB, receive_buffer: 8 KiB}}, switch: {SWITCH}",
    "switch": f"switch: {SWITCH}",
}
# Whole tile columns in every chunk, so that GPUs are alike in the operands they read.
SHAPE = (64, 128, 40)


@pytest.fixture(
    scope="module",
    params=[
        (topology, operation, algorithm)
        for topology, operation in product(names(TOPOLOGY), map(Operation, OPERATIONS))
        for algorithm in algorithms_for(operation)
    ],
    ids=lambda case: f"{case[0]} {case[1].value} {case[2]}",
)
def case(request, tiny_system):
    """Give a system of each topology with each algorithm, and the operation that it is for."""
    topology, operation, algorithm = request.param
    fields = f", {CONFIGURED[topology]}" if topology in CONFIGURED else ""
    done = ", ".join(f"{each.value}: {algorithm}" for each in get(ALGORITHM, algorithm).operations)
    system = tiny_system(f"topology={{kind: {topology}{fields}}}", f"algorithms={{{done}}}")
    return system, operation


def outcomes(system, sublayer, lowered, scheme):
    """Run as one GPU that stands for all, where one does, and in full."""
    try:
        works = lowered(system, sublayer)
    except InputError:
        pytest.skip("the algorithm does not work on this network")
    return [get(SCHEME, scheme)().simulate(SystemLab(system, GPUS, gpus), works) for gpus in ("mirror", "all")]


def check(mirror, full):
    """Check that all GPUs of the full run did what the mirrored one did, at the same femtoseconds."""
    assert full.gpus == mirror.gpus * (GPUS // len(mirror.gpus))
    assert mirror.links.items() <= full.links.items()
    whole = {"gpus": (), "gpus_simulated": 0, "links": {}}
    assert replace(full, **whole) == replace(mirror, **whole)


def test_mirror_is_every_gpu_of_a_collective(case, collective_op, sublayer_of, lowered):
    """A collective alone: the mirror has the spans, bytes and busy times of each GPU."""
    system, operation = case
    sublayer = sublayer_of(GPUS, collective_op("c", operation.value, 32 << 10))
    check(*outcomes(system, sublayer, lowered, "sequential"))


@pytest.mark.parametrize("scheme", ["t3", "t3-mca"])
def test_mirror_is_every_gpu_of_a_fused_pair(case, scheme, gemm_op, collective_op, sublayer_of, lowered):
    """A GEMM fused with its collective, whose tiles travel one by one: the same."""
    system, operation = case
    rows, columns, _ = SHAPE
    collective = collective_op("c", operation.value, rows * columns * 2, "g")
    sublayer = sublayer_of(GPUS, gemm_op("g", SHAPE), collective)
    check(*outcomes(system, sublayer, lowered, scheme))
