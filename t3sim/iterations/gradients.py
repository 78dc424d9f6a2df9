"""Gradients summed over the copies of a model, beside the last backward pass."""

from t3sim.iterations.parallelism import Parallelism
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_S

GRADIENT_BYTES = 2
"""Of a parameter's gradient on its way (Megatron-LM sums gradients of the model's 16-bit dtype)."""
BUCKET_PARAMETERS = 40_000_000
"""Parameters whose gradients travel together: Megatron-LM's ``--ddp-bucket-size`` where it overlaps."""


def all_reduce_fs(system: SystemSpec, split: Parallelism, nbytes: int) -> int:
    """Time to sum ``nbytes`` over the copies by a ring: 2 (n - 1) / n of them at the rate of its slowest part.

    GPUs of a tensor-parallel group are neighbours, then come the copies. A ring that leaves its node has the NICs of
    as many GPUs as it has members there.
    """
    ranks, cluster, link = split.dp, system.cluster, system.link
    if ranks == 1:
        return 0
    members = max(1, cluster.node_gpus // split.tp)
    rate, latency = float(link.bytes_per_s), link.latency
    if ranks > members:
        rate, latency = min(rate, members * cluster.nic_bandwidth), cluster.nic_latency
    moved = 2 * (ranks - 1) / ranks * nbytes
    return int(moved / rate * FS_PER_S) + 2 * (ranks - 1) * latency


def gradients_fs(system: SystemSpec, split: Parallelism, parameters: int, last_backward_fs: int) -> int:
    """Time that summing gradients adds: what the backward pass of the last micro-batch does not hide.

    Gradients of a bucket travel when they are there, so the last bucket's are never hidden.
    """
    whole = all_reduce_fs(system, split, parameters * GRADIENT_BYTES)
    if not split.overlap_gradients:
        return whole
    last = min(1.0, BUCKET_PARAMETERS / max(1, parameters))
    return max(int(whole * last), whole - int(last_backward_fs * (1 - last)))
