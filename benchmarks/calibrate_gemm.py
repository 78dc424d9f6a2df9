"""Fit the calibrated numbers of the GEMM model: `python benchmarks/calibrate_gemm.py [SYSTEM...]`.

Two numbers a GPU, `compute.sustained_fraction` and `compute.stage_overhead`, chosen for the least mean error over the
measured GEMMs of at least 512 rows: a descent on a grid, from the values that the system has. As evidence against
overfitting, the same fit is made on every other figure and judged on the rest. Prints, changes nothing.
"""

import sys
from collections.abc import Callable, Iterable
from functools import cache
from statistics import fmean

from t3sim.simulation import load_system
from t3sim.units import FS_PER_NS
from t3sim.validation.gemm import compare_gemms
from t3sim.validation.measured_gemms import MeasuredGemm, load_measured_gemms

LEAST_ROWS = 512
FRACTION_STEP = 0.01
OVERHEAD_STEP_NS = 250
STRIDES = (4, 2, 1)
Numbers = tuple[int, int]
"""The sustained fraction and the overhead of a stage, in steps of the grid."""


def fitted(start: Numbers, errors: Callable[[Numbers], list[float]], members: Iterable[int]) -> Numbers:
    """Descend from ``start`` to the numbers of the least mean error over ``members``, in ever smaller strides."""
    chosen = list(members)

    def mean_error(numbers: Numbers) -> float:
        found = errors(numbers)
        return fmean(abs(found[index]) for index in chosen)

    best = start
    for stride in STRIDES:
        while True:
            near = [(best[0] + a * stride, best[1] + b * stride) for a, b in ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))]
            lowest = min((place for place in near if place[0] * FRACTION_STEP <= 1 and place[1] >= 0), key=mean_error)
            if mean_error(lowest) >= mean_error(best):
                break
            best = lowest
    return best


def calibrate(name: str, measured: list[MeasuredGemm]) -> None:
    """Fit one system and print what came out."""
    spec = load_system(name).spec

    @cache
    def errors(numbers: Numbers) -> list[float]:
        fraction, overhead = numbers[0] * FRACTION_STEP, numbers[1] * OVERHEAD_STEP_NS
        settings = [f"compute.sustained_fraction={fraction:.2f}", f"compute.stage_overhead={overhead} ns"]
        return [item.error for item in compare_gemms(measured, {name: load_system(name, settings).spec})]

    start = (
        round(spec.compute.sustained_fraction / FRACTION_STEP),
        round(spec.compute.stage_overhead / FS_PER_NS / OVERHEAD_STEP_NS),
    )
    everything = range(len(measured))
    halves = [everything[0::2], everything[1::2]]
    for label, fit_on, judge_on in (
        ("all", everything, everything),
        ("fitted on one half, judged on the other", halves[0], halves[1]),
        ("and the other way round", halves[1], halves[0]),
    ):
        best = fitted(start, errors, fit_on)
        judged = [errors(best)[index] for index in judge_on]
        print(
            f"{name}: {label}: sustained_fraction {best[0] * FRACTION_STEP:.2f}, "
            f"stage_overhead {best[1] * OVERHEAD_STEP_NS} ns, n {len(judged)}, "
            f"mean error {fmean(map(abs, judged)):.3f}, bias {fmean(judged):+.3f}",
            flush=True,
        )


def main() -> None:
    """Fit the systems named, or all that have measured figures."""
    measured = [item for item in load_measured_gemms().spec.gemms() if item.op.M >= LEAST_ROWS]
    for name in sys.argv[1:] or dict.fromkeys(item.system for item in measured):
        calibrate(name, [item for item in measured if item.system == name])


if __name__ == "__main__":
    main()
