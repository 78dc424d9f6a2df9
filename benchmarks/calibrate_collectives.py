"""Fits collectives to measured ones: `python benchmarks/calibrate_collectives.py [SYSTEM ...]`.

Two numbers a GPU: the share of the link's quoted rate that payload reaches, and how much longer or shorter a kernel
takes than NCCL's cost table says (A100: with protocol Simple; H100: with any). Both by coordinate descent on the
geomean error of all collectives and sizes that run as rings; nothing is fitted by collective, ring size or message
size. Prints each step, the values for `configs/systems`, and the error left.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from t3sim.simulation import load_system
from t3sim.validation.collectives import load_measured, simulated_us


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

PARAMETERS = {
    "a100-80g": (
        Parameter({"link.efficiency": 0}, "", 0.74, (0.02, 0.01)),
        Parameter({"protocols.simple.extra_latency": 0}, "us", 22, (4, 1)),
    ),
    "h100-sxm": (
        Parameter({"link.efficiency": 0}, "", 0.79, (0.02, 0.01)),
        Parameter(NCCL_BASE_LATENCY_US, "us", -3, (1, 0.5)),
    ),
}


class Fit:
    """Geomean errors of one system at settings of its parameters, each simulated once."""

    def __init__(self, system: str) -> None:
        table = load_measured()
        self.system = system
        self.parameters = PARAMETERS[system]
        self.cases = [
            (curve.gpus, curve.collective, nbytes, time_us)
            for curve in table.curves
            if curve.system == system
            for nbytes, time_us in zip(table.bytes, curve.times_us, strict=True)
            if curve.in_switch_from is None or nbytes < curve.in_switch_from
        ]
        self._errors: dict[tuple[float, ...], float] = {}

    def error(self, values: tuple[float, ...]) -> float:
        """Geomean distance of simulated from measured times, as a fraction."""
        if values not in self._errors:
            system = load_system(self.system, self.settings(values))
            distances = [
                abs(math.log(simulated_us(system, gpus, collective, nbytes) / time_us))
                for gpus, collective, nbytes, time_us in self.cases
            ]
            self._errors[values] = math.exp(fmean(distances)) - 1
            print(f"{self.system} {', '.join(self.settings(values))}: {self._errors[values]:.2%}", flush=True)
        return self._errors[values]

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


def main() -> None:
    """Fit the systems that are named, or all."""
    for system in sys.argv[1:] or PARAMETERS:
        fit = Fit(system)
        best = fit.search()
        found = ", ".join(fit.settings(best))
        print(f"{system}: {found}: geomean error {fit.error(best):.2%} over {len(fit.cases)} collectives")


if __name__ == "__main__":
    main()
