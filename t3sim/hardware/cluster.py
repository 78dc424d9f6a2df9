"""The cluster around a node: how many GPUs a node has, and what connects nodes."""

from typing import Annotated

from pydantic import Field

from t3sim.config import Femtoseconds, PositiveBytesPerSecond, Spec


class ClusterSpec(Spec):
    """Equal nodes; each GPU has its share of its node's NICs."""

    node_gpus: Annotated[int, Field(gt=0, le=2**16)] = 8
    """GPUs of a node, which the system's link connects."""
    nic_bandwidth: PositiveBytesPerSecond = 25 * 10**9
    """Of one GPU's share of the NICs, each way."""
    nic_latency: Femtoseconds = 5 * 10**9
    """From one node to another."""
