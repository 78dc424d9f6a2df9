"""Ring collectives alone on free memory, against the closed form.

time = passes x ((n - 1) / n x bytes / rate + (n - 1) x latency), one pass for a reduce-scatter or an all-gather, two
for an all-reduce. ASTRA-sim 2 (analytical network, direct ring) is within 0.6% of it at these points.
"""

from itertools import product
from typing import Literal

from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import load_system
from t3sim.simulation.collective import FREE_MEMORY, collective_point, run_collective
from t3sim.simulation.run import Progress
from t3sim.units import FS_PER_NS, FS_PER_S, FS_PER_US
from t3sim.validation.comparison import KIND

_PASSES: dict[Literal["reduce_scatter", "all_gather", "all_reduce"], int] = {
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

    def compare(self, progress: Progress | None = None) -> list[Comparison]:
        """Simulate every collective of the comparison."""
        systems = {rate: load_system(overrides=[*RING, f"link.bandwidth={rate} GB/s"]) for rate in _GB_PER_S}
        cases = list(product(_PASSES, _GPUS, _GB_PER_S, _BYTES))
        done: list[Comparison] = []
        for collective, gpus, rate, nbytes in cases:
            case = f"{collective} {nbytes} B, n={gpus}, {rate} GB/s"
            if progress is not None:
                progress(len(done), len(cases), case)
            simulated_fs = run_collective(collective_point(systems[rate], collective, gpus, nbytes)).total_fs
            once_fs = (gpus - 1) * nbytes * FS_PER_S / (gpus * rate * 10**9) + (gpus - 1) * _LATENCY_FS
            done.append(
                Comparison(
                    group=collective,
                    band=f"n={gpus}",
                    case=case,
                    quantity="time_us",
                    reference=_PASSES[collective] * once_fs / FS_PER_US,
                    simulated=simulated_fs / FS_PER_US,
                    source="(n-1)/n x bytes / rate + (n-1) x latency a pass",
                )
            )
        return done
