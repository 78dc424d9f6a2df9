"""Ring collectives alone on free memory, against the closed form.

time = passes x ((n - 1) / n x bytes / rate + (n - 1) x latency), one pass for a reduce-scatter or an all-gather, two
for an all-reduce. ASTRA-sim 2 (analytical network, direct ring) is within 0.6% of it at these points.
"""

from itertools import product
from typing import Literal

from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import Point, load_system, simulate_point
from t3sim.simulation.run import Progress
from t3sim.units import FS_PER_NS, FS_PER_S, FS_PER_US
from t3sim.validation.comparison import KIND
from t3sim.workload.operations import Collective, Sublayer

_PASSES: dict[Literal["reduce_scatter", "all_gather", "all_reduce"], int] = {
    "reduce_scatter": 1,
    "all_gather": 1,
    "all_reduce": 2,
}
_GPUS = (4, 8, 16, 32)
_GB_PER_S = (75, 150)
_BYTES = (6_000_000, 25_165_824, 69_730_304, 201_326_592)
_LATENCY_FS = 500 * FS_PER_NS
FREE_MEMORY = (
    "memory.bandwidth=1000000 TB/s",
    "memory.efficiency=1.0",
    "memory.read_latency=0 ns",
    "memory.update_cost=1.0",
    "memory.turnaround=0 ns",
    "memory.stream_switch=0 ns",
    "compute.launch_overhead=0 ns",
    "compute.collective_slice=256 KiB",
    "compute.collective_outstanding_per_cu=32 KiB",
    "link.direction=per_direction",
    "link.latency=500 ns",
)


@register(KIND, "ring")
class RingClosedForm:
    """Collectives alone, by link rate, ring size and buffer."""

    against = "ring"

    def compare(self, progress: Progress | None = None) -> list[Comparison]:
        """Simulate every collective of the comparison."""
        systems = {rate: load_system(overrides=[*FREE_MEMORY, f"link.bandwidth={rate} GB/s"]) for rate in _GB_PER_S}
        cases = list(product(_PASSES, _GPUS, _GB_PER_S, _BYTES))
        done: list[Comparison] = []
        for collective, gpus, rate, nbytes in cases:
            case = f"{collective} {nbytes} B, n={gpus}, {rate} GB/s"
            if progress is not None:
                progress(len(done), len(cases), case)
            operation = Collective(
                id=collective, op=collective, bytes=nbytes, dtype="fp16", phase="forward", sublayer=collective
            )
            alone = Sublayer(model="ring", phase="forward", sublayer=collective, tp=gpus, operations=(operation,))
            (row,) = simulate_point(Point(system=systems[rate], sublayer=alone), ["sequential"])
            once_fs = (gpus - 1) * nbytes * FS_PER_S / (gpus * rate * 10**9) + (gpus - 1) * _LATENCY_FS
            done.append(
                Comparison(
                    group=collective,
                    band=f"n={gpus}",
                    case=case,
                    quantity="time_us",
                    reference=_PASSES[collective] * once_fs / FS_PER_US,
                    simulated=row["total_us"],
                    source="(n-1)/n x bytes / rate + (n-1) x latency a pass",
                )
            )
        return done
