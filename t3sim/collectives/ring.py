"""Ring reduce-scatter and all-gather.

Alone and on free memory each takes ``(n-1)/n x bytes / bandwidth + (n-1) x latency``: ``n - 1`` steps, each of
which needs the whole chunk of the step before.
"""

from t3sim.collectives.steps import KIND, ChunkMapping, Step
from t3sim.registry import register


@register(KIND, "reduce_scatter")
class RingReduceScatter:
    """Each chunk travels the ring once and gathers every GPU's contribution; its last stop keeps it."""

    def steps(self, count: int) -> tuple[Step, ...]:
        """Send the own chunk, then reduce and pass on what arrives; reduce and keep the last one."""
        first = Step(position=0, after_arrival=False, reads=1, sends=True, writes=False)
        middle = (
            Step(position=position, after_arrival=True, reads=2, sends=True, writes=False)
            for position in range(1, count - 1)
        )
        last = Step(position=count - 1, after_arrival=True, reads=2, sends=False, writes=True)
        return (first, *middle, last)

    def mappings(self, count: int) -> tuple[ChunkMapping, ...]:
        """Address-space configuration of the fused form, by position (T3, section 4.4)."""
        return (ChunkMapping.REMOTE, *(ChunkMapping.FORWARD,) * (count - 2), ChunkMapping.KEEP)


@register(KIND, "all_gather")
class RingAllGather:
    """Each GPU passes its own chunk on, then every chunk that arrives except the last."""

    def steps(self, count: int) -> tuple[Step, ...]:
        """Start from the chunk a reduce-scatter leaves at position ``count - 1``."""
        first = Step(position=count - 1, after_arrival=False, reads=1, sends=True, writes=False)
        middle = (
            Step(position=position, after_arrival=True, reads=1, sends=True, writes=False)
            for position in range(count - 2)
        )
        last = Step(position=count - 2, after_arrival=True, reads=0, sends=False, writes=False)
        return (first, *middle, last)
