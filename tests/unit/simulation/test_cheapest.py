"""Which algorithm is run: what the libraries' tables take for the fastest, worked out from those by hand."""

import pytest

from t3sim.errors import InputError
from t3sim.simulation import load_system
from t3sim.simulation.plans import plans_of

KIB, MIB = 2**10, 2**20


def algorithm(system, gpus, op, nbytes, *settings):
    """Name what would be run."""
    return plans_of(load_system(system, settings).spec, gpus)(op, nbytes)[0].algorithm


# NCCL on 8 H100: LL 2.6 + 14 x 0.6 + 1.75 x bytes / 141 GB/s, NVLS 25 + 1.125 x bytes / (0.85 x 355.5 GB/s):
# equal at 1.6 MB.
@pytest.mark.parametrize(
    ("system", "gpus", "op", "nbytes", "expected"),
    [
        ("h100-sxm", 8, "all_reduce", MIB, "ring"),
        ("h100-sxm", 8, "all_reduce", 2 * MIB, "in-switch"),
        ("h100-sxm", 8, "all_reduce", 512 * MIB, "in-switch"),
        ("h100-sxm", 2, "all_reduce", 512 * MIB, "ring"),
        ("h100-sxm", 8, "reduce_scatter", 64 * MIB, "ring"),
        ("h100-sxm", 8, "all_gather", 64 * MIB, "ring"),
        ("h100-sxm", 8, "all_to_all", 64 * MIB, "direct"),
        ("h200", 8, "all_reduce", 64 * MIB, "in-switch"),
        ("a100-80g", 8, "all_reduce", 512 * MIB, "ring"),
        ("a100-80g-2-nodes", 16, "all_reduce", 64 * MIB, "hierarchical"),
        ("mi300x", 8, "all_reduce", 64 * MIB, "direct"),
        ("v100", 8, "all_reduce", 64 * MIB, "ring"),
    ],
)
def test_what_is_run(system, gpus, op, nbytes, expected):
    """Rings or the switch by size and number of GPUs as NCCL has them, straight exchanges, and meshes without a table."""
    assert algorithm(system, gpus, op, nbytes) == expected


# TensorRT-LLM's one-shot on 8 A100: 3.3 + 7 x 0.5 + 7 x bytes / 219 GB/s; NCCL's LL 6.6 + 14 x 0.6 + 1.75 x bytes
# / 87.7 GB/s.
@pytest.mark.parametrize(
    ("nbytes", "expected"), [(16 * KIB, "one-shot"), (512 * KIB, "one-shot"), (MIB, "ring"), (4 * MIB, "ring")]
)
def test_serving_takes_one_shot_for_small_buffers(nbytes, expected):
    """With TensorRT-LLM's kernels beside NCCL's, small all-reduces go in one shot; NCCL alone never does."""
    both = "software.libraries=[nccl, trt-llm]"
    assert algorithm("a100-80g", 8, "all_reduce", nbytes, both) == expected
    assert algorithm("a100-80g", 8, "all_reduce", nbytes) == "ring"


def test_an_algorithm_that_is_named_is_run():
    """A system's own choice stands above the table, by kernels of any library; one that cannot work is refused."""
    named = "algorithms={all_reduce: in-switch, reduce_scatter: in-switch}"
    assert algorithm("h100-sxm", 8, "reduce_scatter", 64 * MIB, named) == "in-switch"
    assert "multimem" in load_system("h100-sxm", [named]).spec.available_protocols()
    assert "multimem" not in load_system("h100-sxm").spec.available_protocols()
    with pytest.raises(InputError, match="switch that reduces"):
        algorithm("a100-80g", 8, "reduce_scatter", 64 * MIB, named)
