"""Protocols of collective kernels: what a kernel and each of its steps cost beyond moving the data, and which is run.

A library moves data in one of several ways: with a flag in each word (low latency, but half of what crosses the wire
is flags), with a flag in each line, or plain, with a fence and a flag after each slice. It runs the one that its own
cost table takes for the fastest:

    base + steps x step + bytes / rate

with the table of NCCL's tuner as published (github.com/NVIDIA/nccl, src/graph/tuning.cc: ``baseLat``, ``hwLat``,
``llMaxBws``). The time is simulated; of the table it uses what the simulated parts do not contain.
"""

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from t3sim.config import Femtoseconds, PositiveBytesPerSecond, Spec
from t3sim.units import FS_PER_S, ceil_div

LEAST_SHARE = 0.01


class ProtocolSpec(Spec):
    """One way of a collective kernel to move data and to know that they have arrived."""

    base_latency: Femtoseconds
    """From the call to the first slice, the launch of the kernel included."""
    step_latency: Femtoseconds
    """Of one ring step without data: wire, memory, and what tells the next GPU."""
    payload_share: Annotated[float, Field(ge=LEAST_SHARE, le=1)]
    """Share of the bytes on the wire that is payload."""
    rate_limit: PositiveBytesPerSecond | None = None
    """Most payload that all CUs together move with this protocol; none: the link's rate."""
    staged: bool = False
    """Whether data arrive in a buffer of the kernel's, so that an all-gather ends with a copy of its last chunk."""
    extra_latency: Femtoseconds = 0
    """What a kernel takes longer than the table says; the choice does not know of it."""

    def bytes_per_s(self, link_bytes_per_s: int) -> int:
        """Payload rate over a link of ``link_bytes_per_s``."""
        shared = int(self.payload_share * link_bytes_per_s)
        return shared if self.rate_limit is None else min(self.rate_limit, shared)

    def wire_bytes(self, nbytes: int, link_bytes_per_s: int) -> int:
        """Bytes whose time ``nbytes`` of payload hold the wire."""
        return ceil_div(nbytes * link_bytes_per_s, self.bytes_per_s(link_bytes_per_s))

    def expected_fs(self, steps: int, nbytes: int, link_bytes_per_s: int) -> int:
        """Read off the library's table what ``steps`` that send ``nbytes`` in all cost, fs."""
        latency = self.base_latency + steps * self.step_latency
        return latency + math.ceil(nbytes * FS_PER_S / self.bytes_per_s(link_bytes_per_s))


PLAIN = ProtocolSpec(base_latency=0, step_latency=0, payload_share=1.0)
"""Costs nothing beyond what is simulated: for systems that name no protocol."""


def chosen(protocols: Mapping[str, ProtocolSpec], steps: int, nbytes: int, link_bytes_per_s: int) -> ProtocolSpec:
    """Choose what the library takes for the fastest; the first of equals."""
    candidates = protocols.values() or (PLAIN,)
    return min(candidates, key=lambda protocol: protocol.expected_fs(steps, nbytes, link_bytes_per_s))
