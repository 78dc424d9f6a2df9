"""Protocols of collective kernels: what a kernel and each of its steps cost beyond moving the data, and which is run.

A library has kernels for several algorithms, and moves data in one of several ways: with a flag in each word (low
latency, but half of what crosses the wire is flags), with a flag in each line, or plain, with a fence and a flag after
each slice. It runs the one that its own cost table takes for the fastest:

    base + peers x peer + steps x step + bytes / rate

with the table of NCCL's tuner as published (github.com/NVIDIA/nccl, src/graph/tuning.cc: ``baseLat``, ``hwLat``,
``llMaxBws``). The time is simulated; of the table it uses what the simulated parts do not contain.
"""

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from t3sim.config import Femtoseconds, PositiveBytes, PositiveBytesPerSecond, Spec
from t3sim.lowering.load import Load
from t3sim.units import FS_PER_S, ceil_div

LEAST_SHARE = 0.01


class PipelineSpec(Spec):
    """Stages of a kernel that hand loops of chunks over: in a loop all its channels move one chunk for every rank.

    A channel is NCCL's, a group of workgroups with a ring of its own; none of DRAM or of a link.

    The later the largest chunks, the sooner the first of them is through: a chunk of ``chunks[i]`` is taken when the
    buffer is at least ``loops[i]`` loops of it, else the next smaller one (NCCL, src/enqueue.cc, ``calcCollChunking``).
    """

    channels: Annotated[int, Field(gt=0, le=1024)]
    """Of the library: each moves a chunk for every rank at once."""
    chunks: tuple[PositiveBytes, ...] = Field(min_length=1)
    """Sizes of chunks that there are, the largest first."""
    loops: tuple[Annotated[int, Field(gt=0)], ...]
    """Least number of loops for each chunk but the smallest."""
    stages: Annotated[int, Field(ge=0, le=64)]
    """Stages beside the one on the wire: a loop is copied to and from the kernel's own buffers."""

    def loop_bytes(self, nbytes: int, ranks: int) -> int:
        """Bytes of a buffer of ``nbytes`` that go through the stages together."""
        at_once = self.channels * ranks
        for chunk, loops in zip(self.chunks, self.loops, strict=False):
            if nbytes >= loops * at_once * chunk:
                return chunk * at_once
        return min(nbytes, self.chunks[len(self.loops)] * at_once)

    def fill(self, nbytes: int, ranks: int) -> float:
        """Say for how much of the whole transfer's time the stages are being filled; one loop alone fills none."""
        loops = ceil_div(nbytes, self.loop_bytes(nbytes, ranks))
        return min(self.stages, loops - 1) / loops


class ProtocolSpec(Spec):
    """One kernel of a library's: an algorithm, how it moves data, and how it knows that they have arrived."""

    library: str = ""
    """Whose kernel it is; see ``software.libraries``."""
    algorithm: str = "ring"
    """What it carries out."""
    operations: tuple[str, ...] = ()
    """Collectives that it does; none: all that its algorithm does."""
    most_bytes: PositiveBytes | None = None
    """Largest buffer that the library takes it for; none: any."""
    most_ranks: Annotated[int, Field(ge=2)] | None = None
    """Most GPUs that it works for; none: any number."""
    base_latency: Femtoseconds
    """From the call to the first slice, the launch of the kernel included."""
    peer_latency: Femtoseconds = 0
    """Added to it for each other rank: flags that tell all that one is there."""
    step_latency: Femtoseconds
    """Of one step without data: wire, memory, and what tells the next GPU."""
    payload_share: Annotated[float, Field(ge=LEAST_SHARE, le=1)]
    """Share of the bytes on the wire that is payload."""
    rate_limit: PositiveBytesPerSecond | None = None
    """Most payload that all CUs together move with this protocol; none: the link's rate."""
    staged: bool = False
    """Whether data arrive in a buffer of the kernel's, so that what nobody sends on is copied from there in the end."""
    staging: PositiveBytes | None = None
    """How much of a chunk that buffer holds: more of it is copied while the rest comes; none: all of a chunk."""
    pipeline: PipelineSpec | None = None
    """Stages that hand data over in loops; none: nothing is held back."""
    extra_latency: Femtoseconds = 0
    """What a kernel takes longer than the table says; the choice does not know of it."""

    def does(self, operation: str, nbytes: int, ranks: int) -> bool:
        """Whether the library takes it for such a collective; that its algorithm does the operation is not asked."""
        if self.operations and operation not in self.operations:
            return False
        small = self.most_bytes is None or nbytes <= self.most_bytes
        return small and (self.most_ranks is None or ranks <= self.most_ranks)

    def bytes_per_s(self, link_bytes_per_s: int) -> int:
        """Payload rate over a link of ``link_bytes_per_s``."""
        shared = int(self.payload_share * link_bytes_per_s)
        return shared if self.rate_limit is None else min(self.rate_limit, shared)

    def wire_bytes(self, nbytes: int, link_bytes_per_s: int) -> int:
        """Bytes whose time ``nbytes`` of payload hold the wire."""
        return ceil_div(nbytes * link_bytes_per_s, self.bytes_per_s(link_bytes_per_s))

    def expected_fs(self, load: Load) -> int:
        """Read off the library's table what a collective costs, fs."""
        return self._latency_fs(load.ranks) + load.steps * self.step_latency + self._moving_fs(load)

    def start_fs(self, load: Load, launch_fs: int) -> int:
        """From the call to the first slice, fs; ``launch_fs``: of a kernel whose base latency is not given."""
        filling = self.pipeline.fill(load.buffer_bytes, load.ranks) if self.pipeline is not None else 0.0
        return (
            (self._latency_fs(load.ranks) or launch_fs)
            + self.extra_latency
            + math.ceil(filling * self._moving_fs(load))
        )

    def _latency_fs(self, ranks: int) -> int:
        return self.base_latency + (ranks - 1) * self.peer_latency

    def _moving_fs(self, load: Load) -> int:
        return math.ceil(load.moved_bytes * FS_PER_S / self.bytes_per_s(load.bytes_per_s))


NO_PROTOCOL = ProtocolSpec(base_latency=0, step_latency=0, payload_share=1.0)
"""Costs nothing beyond what is simulated: for algorithms that no protocol is for."""


def usable(
    protocols: Mapping[str, ProtocolSpec], algorithm: str, operation: str, nbytes: int, ranks: int
) -> dict[str, ProtocolSpec]:
    """Pick the protocols by which ``algorithm`` can do a collective."""
    return {
        name: protocol
        for name, protocol in protocols.items()
        if protocol.algorithm == algorithm and protocol.does(operation, nbytes, ranks)
    }


def chosen(protocols: Mapping[str, ProtocolSpec], load: Load) -> ProtocolSpec:
    """Choose what the library takes for the fastest; the first of equals; ``PLAIN`` if there is none."""
    return min(protocols.values() or (NO_PROTOCOL,), key=lambda protocol: protocol.expected_fs(load))
