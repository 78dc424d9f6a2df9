"""Choose what a stack of software costs, on the measured pairs marked ``fit``; report the others.

    python benchmarks/calibrate_overlap.py

Each number is tried alone, in the order given, the others as they are in configs/measured/overlap.yaml.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from t3sim.results.comparison import SPEEDUP, Comparison
from t3sim.validation.measured_overlap import Stack, completed, load_measured_overlaps
from t3sim.validation.overlap import Item, compared, usable_stacks

TRIED: Mapping[str, Mapping[str, tuple[str | float, ...]]] = {
    "async-tp": {
        "software.scatter_overhead": ("0 us", "10 us", "20 us", "25 us", "30 us", "35 us", "40 us", "50 us"),
        "software.gather_overhead": ("0 us", "5 us", "10 us", "15 us", "20 us", "30 us"),
    },
    "triton-copy-engine": {
        "software.scatter_floor": ("0 us", "200 us", "250 us", "300 us", "350 us", "400 us"),
        "software.reduction_share": (0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 1.0),
    },
    "flux-hopper": {"software.reduction_share": (0.04, 0.06, 0.07, 0.08, 0.09, 0.1, 0.12, 0.15, 1.0)},
    "triton-distributed": {"software.scatter_floor": ("0 us", "450 us", "500 us", "550 us", "600 us", "700 us")},
}


def errors(name: str, settings: Mapping[str, str | float]) -> dict[str, list[Comparison]]:
    """Compare all pairs of a stack under ``settings``; by band. A pair without a time counts by its speedup."""
    loaded = load_measured_overlaps()
    found: dict[str, list[Comparison]] = {"fit": [], "held out": []}
    for pair in completed(loaded):
        stack: Stack | None = usable_stacks(loaded.spec, pair).get(name)
        if stack is None:
            continue
        own = compared(Item(pair, {name: stack.model_copy(update={"settings": dict(settings)})}))
        times = [one for one in own if one.quantity == "overlapped_us"]
        for one in times or [one for one in own if one.quantity == SPEEDUP]:
            found[one.band].append(one)
    return found


def geomean_error(comparisons: Sequence[Comparison]) -> float:
    """Give the geomean distance of simulated from measured."""
    return math.exp(fmean(abs(math.log(one.simulated / one.reference)) for one in comparisons)) - 1


def main() -> None:
    """Print the error of every value, and of all pairs with the best."""
    stacks = load_measured_overlaps().spec.stacks
    for name, keys in TRIED.items():
        best = dict(stacks[name].settings)
        for key, values in keys.items():
            by_value = {value: geomean_error(errors(name, best | {key: value})["fit"]) for value in values}
            best[key] = min(by_value, key=lambda value: by_value[value])
            print(f"{name} {key}: " + ", ".join(f"{value} {error:.1%}" for value, error in by_value.items()))
        for band, ones in errors(name, best).items():
            print(f"{name} {best}: {band} {geomean_error(ones):.1%} of {len(ones)}")


if __name__ == "__main__":
    main()
