"""Ring collectives alone on free memory, against the closed form.

time = passes x ((n - 1) / n x bytes / rate + (n - 1) x latency), one pass for a reduce-scatter or an all-gather, two
for an all-reduce. ASTRA-sim 2 (analytical network, direct ring) is within 0.6% of it at these points.
"""

from functools import cache
from itertools import product
from operator import attrgetter
from typing import NamedTuple

from t3sim.config import Loaded
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import SystemSpec, load_system
from t3sim.simulation.collective import FREE_MEMORY, collective_point, run_collective
from t3sim.units import FS_PER_NS, FS_PER_S, FS_PER_US
from t3sim.validation.comparison import KIND

_PASSES = {
    "reduce_scatter": 1,
    "all_gather": 1,
    "all_reduce": 2,
}
_GPUS = (4, 8, 16, 32)
_GB_PER_S = (75, 150)
_BYTES = (6_000_000, 25_165_824, 69_730_304, 201_326_592)
_LATENCY_FS = 500 * FS_PER_NS
RING = (
    *FREE_MEMORY,
    "compute.collective_slice=256 KiB",
    "link.direction=per_direction",
    "link.latency=500 ns",
)
"""Overrides of a system, but for the links' rate."""


@register(KIND, "ring")
class RingClosedForm:
    """Collectives alone, by link rate, ring size and buffer."""

    against = "ring"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every collective of the comparison."""
        cases = [_Case(*case) for case in product(_PASSES, _GPUS, _GB_PER_S, _BYTES)]
        return each(_compared, cases, jobs=jobs, progress=progress, label=attrgetter("label"))


class _Case(NamedTuple):
    collective: str
    gpus: int
    rate: int
    """Of the links, GB/s."""
    nbytes: int

    @property
    def label(self) -> str:
        return f"{self.collective} {self.nbytes} B, n={self.gpus}, {self.rate} GB/s"


def _compared(case: _Case) -> Comparison:
    gpus, nbytes = case.gpus, case.nbytes
    simulated_fs = run_collective(collective_point(_system(case.rate), case.collective, gpus, nbytes)).total_fs
    once_fs = (gpus - 1) * nbytes * FS_PER_S / (gpus * case.rate * 10**9) + (gpus - 1) * _LATENCY_FS
    return Comparison(
        group=case.collective,
        band=f"n={gpus}",
        case=case.label,
        quantity="time_us",
        reference=_PASSES[case.collective] * once_fs / FS_PER_US,
        simulated=simulated_fs / FS_PER_US,
        source="(n-1)/n x bytes / rate + (n-1) x latency a pass",
    )


@cache
def _system(rate: int) -> Loaded[SystemSpec]:
    return load_system(overrides=[*RING, f"link.bandwidth={rate} GB/s"])
