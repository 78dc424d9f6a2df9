"""Collectives alone, by size: times, bandwidths and what binds them, as nccl-tests asks real machines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from t3sim.config import Loaded
from t3sim.execution.data import DataMode
from t3sim.experiments.binding import bound, judged_bytes
from t3sim.processes import Progress
from t3sim.results import Row
from t3sim.simulation import SystemSpec
from t3sim.simulation.collective import collective_point, collective_row, run_seeds
from t3sim.simulation.lab import MIRROR
from t3sim.simulation.plans import plans_of
from t3sim.simulation.run import manifest

COLLECTIVE_COLUMNS = (
    "op",
    "algorithm",
    "topology",
    "gpus",
    "bytes",
    "time_us",
    "algbw_gbps",
    "busbw_gbps",
    "wire_bytes_max",
    "link_util",
    "busiest_link",
    "bound",
    "data_errors",
    "data_spread",
    "gpus_simulated",
    "time_us_min",
    "time_us_p50",
    "time_us_p99",
    "seed",
    "seeds",
)


@dataclass(frozen=True)
class Collectives:
    """Rows of one collective, one a size, and what made them."""

    rows: tuple[Row, ...]
    manifest: dict[str, Any]
    failures: tuple[str, ...] = ()
    """What data mode found wrong, size by size."""

    def document(self) -> dict[str, Any]:
        """Everything as plain data, as ``--format json`` prints it."""
        return {"rows": list(self.rows), "manifest": self.manifest}


def collectives(
    system: Loaded[SystemSpec],
    operation: str,
    gpus: int,
    sizes: Sequence[int],
    *,
    simulated: str = MIRROR,
    bounds: bool = True,
    data: DataMode | None = None,
    progress: Progress | None = None,
) -> Collectives:
    """Run one collective alone for each of ``sizes`` (bytes), under every seed where something is random.

    ``simulated``: ``mirror`` or ``all``. ``bounds``: say what binds each under the first seed (runs it again, up to six
    times). ``data``: let memories hold numbers. Raises ``InputError`` when the algorithm does not work there or a size
    cannot be simulated, before anything runs; ``SimulationError`` when a run fails its own checks.
    """
    points = [collective_point(system, operation, gpus, nbytes, simulated, data) for nbytes in sizes]
    for point in points:
        point.check()
    for nbytes in sizes:
        plans_of(system.spec, gpus)(operation, nbytes)  # refuses an algorithm that does not work there
    rows, failures = [], []
    binding: dict[int, str | None] = {}
    for number, (point, nbytes) in enumerate(zip(points, sizes, strict=True)):
        if progress is not None:
            progress(number, len(points), f"{operation} {nbytes} B")
        found = run_seeds(point)
        row = collective_row(point, found)
        if found.data is not None and found.data.errors:
            failures.append(f"{operation} {nbytes} B: {found.data}")
        judged = judged_bytes(nbytes, gpus)
        if bounds and judged not in binding:
            binding[judged] = bound(system, operation, gpus, nbytes)
        rows.append({name: {**row, "bound": binding.get(judged)}.get(name) for name in COLLECTIVE_COLUMNS})
    if progress is not None:
        progress(len(points), len(points), "done")
    notes = list(dict.fromkeys(note for point in points for note in point.notes))
    return Collectives(tuple(rows), manifest(points, notes), tuple(failures))
