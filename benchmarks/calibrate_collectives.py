"""Fits collectives to measured ones: `python benchmarks/calibrate_collectives.py [SYSTEM ...]`.

At most two numbers a system. A100 and H100, to NCCL's rings: the share of the link's quoted rate that payload reaches,
and how much longer or shorter a kernel takes than NCCL's cost table says (A100: with protocol Simple; H100: with any).
Two nodes of A100: how much longer the tree takes. By coordinate descent on the geomean error of the rows of
configs/measured/collectives.csv that are marked `fit`; nothing is fitted by collective, number of GPUs or size. Prints
each step, the values for `configs/systems`, and the errors of both halves of every group.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from t3sim.validation.collectives import load_measured_collectives, simulated


@dataclass(frozen=True)
class Parameter:
    """One number to fit: where it stands, added to what, its unit, where the search starts and its two steps."""

    added_to: Mapping[str, float]
    unit: str
    start: float
    steps: tuple[float, float]

    def settings(self, value: float) -> list[str]:
        """Write it as overrides of a system."""
        return [f"{key}={base + value:g} {self.unit}" for key, base in self.added_to.items()]


NCCL_BASE_LATENCY_US = {
    "protocols.ll.base_latency": 6.6,
    "protocols.ll128.base_latency": 14.0,
    "protocols.simple.base_latency": 8.4,
}
"""As in NCCL's tuner (src/graph/tuning.cc, baseLat, ring)."""

PARAMETERS: dict[str, tuple[str, tuple[Parameter, ...]]] = {
    "a100-80g": (
        "NCCL, ring",
        (
            Parameter({"link.efficiency": 0}, "", 0.73, (0.02, 0.01)),
            Parameter({"protocols.simple.extra_latency": 0}, "us", 26, (4, 1)),
        ),
    ),
    "h100-sxm": (
        "NCCL, ring",
        (
            Parameter({"link.efficiency": 0}, "", 0.79, (0.02, 0.01)),
            Parameter(NCCL_BASE_LATENCY_US, "us", -4, (1, 0.5)),
        ),
    ),
    "a100-80g-2-nodes": (
        "NCCL, two nodes",
        (Parameter({"protocols.tree.base_latency": 8.4}, "us", 750, (100, 50)),),
    ),
}
"""Of each system: the group of rows that it is fitted to, and what is fitted."""


class Fit:
    """Geomean errors of one system at settings of its parameters, each simulated once."""

    def __init__(self, system: str) -> None:
        self.system = system
        self.group, self.parameters = PARAMETERS[system]
        self.rows = [item for item in load_measured_collectives() if item.system == system]
        self.fitted = [item for item in self.rows if (item.group, item.use) == (self.group, "fit")]
        self._errors: dict[tuple[float, ...], float] = {}

    def error(self, values: tuple[float, ...]) -> float:
        """Geomean distance of simulated from measured times, as a fraction."""
        if values not in self._errors:
            settings = tuple(self.settings(values))
            self._errors[values] = _geomean_error([simulated(item, settings) / item.time_us for item in self.fitted])
            print(f"{self.system} {', '.join(settings)}: {self._errors[values]:.2%}", flush=True)
        return self._errors[values]

    def report(self) -> None:
        """Print what is left in either half of each group, with the system as it is shipped."""
        for group, use in dict.fromkeys((item.group, item.use) for item in self.rows):
            ratios = [simulated(item) / item.time_us for item in self.rows if (item.group, item.use) == (group, use)]
            mean = fmean(abs(ratio - 1) for ratio in ratios)
            print(f"{self.system}, {group}, {use}: {len(ratios)} rows, mean error {mean:.1%}", flush=True)

    def settings(self, values: tuple[float, ...]) -> list[str]:
        """Write a setting as overrides of the system."""
        pairs = zip(self.parameters, values, strict=True)
        return [setting.strip() for item, value in pairs for setting in item.settings(value)]

    def search(self) -> tuple[float, ...]:
        """Descend one coordinate at a time, first in large steps, then in small ones."""
        best = tuple(item.start for item in self.parameters)
        for size in range(2):
            moved = True
            while moved:
                moved = False
                for index, item in enumerate(self.parameters):
                    for sign in (-1, 1):
                        trial = list(best)
                        trial[index] = round(trial[index] + sign * item.steps[size], 6)
                        if self.error(tuple(trial)) < self.error(best):
                            best, moved = tuple(trial), True
        return best


def _geomean_error(ratios: Sequence[float]) -> float:
    return math.exp(fmean(abs(math.log(ratio)) for ratio in ratios)) - 1


def main() -> None:
    """Fit the systems that are named, or all."""
    for system in sys.argv[1:] or PARAMETERS:
        fit = Fit(system)
        best = fit.search()
        found = ", ".join(fit.settings(best))
        print(f"{system}: {found}: geomean error {fit.error(best):.2%} over {len(fit.fitted)} collectives")
        fit.report()


if __name__ == "__main__":
    main()
