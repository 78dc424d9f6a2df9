"""Whole training iterations: `python benchmarks/calibrate_models.py ground_truth_single.csv [ground_truth_multi.csv]`.

The tables are vTrain's (github.com/VIA-Research/vTrain, data, MIT). Three numbers are fitted: what the host takes to
issue a kernel, forward and back, for the least mean error over every second row of the first table, and then the rate
of a GPU's share of the NICs on every second of the other; rows are sorted by all their columns. Rows with a layer over
more than one node are left out. Prints where the model stands without any of the three, then the errors of all rows and
of those held out by tensor-, data- and pipeline-parallel degree and micro-batch. Changes nothing.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from t3sim.iterations.kernel_times import KernelTimes
from t3sim.results.schemes import baseline
from t3sim.simulation import load_system
from t3sim.units import FS_PER_US
from t3sim.validation.measured_models import MeasuredGroup, MeasuredIteration, load_measured_models
from t3sim.validation.models import iteration_fs

COLUMNS = {
    "GPUs": "",
    "global batch": "global_batch",
    "micro batch": "micro_batch",
    "hidden size": "hidden",
    "attention heads": "heads",
    "layers": "layers",
    "sequence length": "sequence",
    "tensor parallelism": "tp",
    "data parallelism": "dp",
    "pipeline parallelism": "pp",
}
TIME = "iteration time (ms)"
NODE_GPUS = 8
STEP_US = 5
NICS_GB_PER_S = (2, 2.5, 3, 3.5, 4, 5, 6, 8, 10, 12.5, 15, 20, 25)
WITHOUT_NIC = 25.0


@dataclass(frozen=True)
class Numbers:
    """What is fitted."""

    issue_us: int = 0
    backward_issue_us: int = 0
    nic_gb_per_s: float = WITHOUT_NIC

    @property
    def settings(self) -> list[str]:
        """Write them as overrides of the system."""
        return [
            "other_kernels.attention=unfused",
            f"other_kernels.issue={self.issue_us} us",
            f"other_kernels.backward_issue={self.backward_issue_us} us",
            f"cluster.nic_bandwidth={self.nic_gb_per_s:g} GB/s",
        ]


START = Numbers(issue_us=75, backward_issue_us=40)


class Table:
    """Errors of one table's rows."""

    def __init__(self, path: Path, group: MeasuredGroup, times: dict[int, KernelTimes]) -> None:
        self.group, self.times = group, times
        with path.open(encoding="utf-8", newline="") as lines:
            rows = sorted((*(int(row[name]) for name in COLUMNS), float(row[TIME])) for row in csv.DictReader(lines))
        names = list(COLUMNS.values())
        found = [
            MeasuredIteration.model_validate(
                {key: value for key, value in zip(names, row, strict=False) if key}
                | {"time_ms": row[-1], "recompute": "full"}
            )
            for row in rows
        ]
        self.rows = [item for item in found if item.tp <= NODE_GPUS]

    def errors(self, rows: Sequence[MeasuredIteration], numbers: Numbers) -> list[float]:
        """Relative errors of some rows."""
        system = load_system(self.group.system, numbers.settings).spec
        found = []
        for item in rows:
            if item.tp not in self.times:
                self.times[item.tp] = KernelTimes(system, baseline(), item.tp)
            time_fs = iteration_fs(self.group, system, item, self.times[item.tp].sharing(system))
            found.append(time_fs / FS_PER_US / 1000 / item.time_ms - 1)
        return found

    def cost(self, numbers: Numbers) -> float:
        """Mean error of every second row."""
        return fmean(map(abs, self.errors(self.rows[0::2], numbers)))

    def descend(self, start: Numbers) -> Numbers:
        """Descend from ``start`` in steps of what the host takes, forward or back."""
        costs = {start: self.cost(start)}
        best = start
        while True:
            near = [
                replace(best, issue_us=best.issue_us + forward, backward_issue_us=best.backward_issue_us + back)
                for forward, back in ((STEP_US, 0), (-STEP_US, 0), (0, STEP_US), (0, -STEP_US))
            ]
            costs |= {each: self.cost(each) for each in near if each not in costs}
            lowest = min(near, key=lambda each: costs[each])
            if costs[lowest] >= costs[best]:
                return best
            best = lowest

    def report(self, label: str, numbers: Numbers) -> None:
        """Print errors of all rows and of those held out."""
        print(f"{self.group.group}, {label}: {', '.join(numbers.settings)}")
        errors = self.errors(self.rows, numbers)
        pairs = list(zip(self.rows, errors, strict=True))
        for half, members in (("all", pairs), ("held out", pairs[1::2])):
            print(f"  {half}: {_summary([error for _, error in members])}")
            for key in ("tp", "dp", "pp", "micro_batch"):
                for value in sorted({getattr(item, key) for item, _ in members}):
                    chosen = [error for item, error in members if getattr(item, key) == value]
                    print(f"    {key} {value}: {_summary(chosen)}")


def _summary(errors: Sequence[float]) -> str:
    worst = max(errors, key=abs)
    return f"n {len(errors)}, mean error {fmean(map(abs, errors)):.1%}, bias {fmean(errors):+.1%}, worst {worst:+.1%}"


def main() -> None:
    """Fit, and say what is left."""
    single, multi = load_measured_models().spec.groups[:2]
    times: dict[int, KernelTimes] = {}
    paths = [Path(argument) for argument in sys.argv[1:]]
    one = Table(paths[0], single, times)
    one.report("nothing fitted", Numbers())
    numbers = one.descend(START)
    one.report("fitted", numbers)
    for path in paths[1:]:
        many = Table(path, multi, times)
        many.report("nothing fitted to it", numbers)
        rates = [replace(numbers, nic_gb_per_s=rate) for rate in NICS_GB_PER_S]
        many.report("fitted", min(rates, key=many.cost))


if __name__ == "__main__":
    main()
