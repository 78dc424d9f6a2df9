"""Fit fused attention: `python benchmarks/calibrate_attention.py attention.csv [SYSTEM...]`.

The table has the columns of configs/measured/attention.csv but `use`, and more rows of the same source. Three numbers
a GPU: `other_kernels.attention_start`, and the shares of prompts and of generated tokens, for the least sum of both
phases' mean errors over every second row, sorted by all parameters. Rows that would need more than the DRAM's peak are
left out and counted. Prints the errors of both halves; changes nothing.
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from t3sim.lowering.other_kernels import OtherKernelsSpec
from t3sim.simulation import load_system
from t3sim.units import FS_PER_US
from t3sim.validation.attention import COUNTS, Gpu, MeasuredAttention

STARTS_US = range(5, 31)
SHARES = [0.01 * step for step in range(40, 101, 2)]
GPUS = {"A100-80G": "a100-80g", "H100-SXM": "h100-sxm"}
"""Systems by the names that a column `gpu` may have in place of `system`."""


def read(path: Path) -> list[MeasuredAttention]:
    """Read the table, sorted."""
    found = []
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            system = row["system"] if "system" in row else GPUS[row["gpu"]]
            values = {name: row[name] for name in ("phase", "dtype", "source")}
            counts = {name: int(row[name]) for name in COUNTS}
            found.append(
                MeasuredAttention.model_validate(
                    {**values, **counts, "system": system, "use": "fit", "time_us": float(row["time_us"])}
                )
            )
    return sorted(found, key=lambda item: (item.system, item.phase, [getattr(item, name) for name in COUNTS]))


def mean_error(gpu: Gpu, rows: Sequence[MeasuredAttention], spec: OtherKernelsSpec) -> float:
    """Mean size of the relative errors."""
    return fmean(abs(gpu.time_us(item, spec) / item.time_us - 1) for item in rows)


def calibrate(name: str, rows: Sequence[MeasuredAttention]) -> None:
    """Fit one GPU and print what came out."""
    system = load_system(name).spec
    gpu = Gpu.of(system)
    kept = {
        phase: [item for item in rows if item.phase == phase and not gpu.beyond_dram(item)]
        for phase in ("prompt", "generation")
    }

    def spec(start_us: int, shares: Sequence[float]) -> OtherKernelsSpec:
        changes = {"attention_start": start_us * FS_PER_US, "prompt_share": shares[0], "generation_share": shares[1]}
        return system.other_kernels.model_copy(update=changes)

    def cost(start_us: int, phase: str, share: float) -> float:
        return mean_error(gpu, kept[phase][0::2], spec(start_us, (share, share)))

    found: dict[int, tuple[float, list[float]]] = {}
    for start_us in STARTS_US:
        shares = [min(SHARES, key=lambda share: cost(start_us, phase, share)) for phase in kept]
        found[start_us] = sum(cost(start_us, phase, share) for phase, share in zip(kept, shares, strict=True)), shares
    start_us = min(found, key=lambda each: found[each][0])
    best = spec(start_us, found[start_us][1])
    shares_found = f"prompt_share {best.prompt_share:.2f}, generation_share {best.generation_share:.2f}"
    print(f"{name}: attention_start {start_us} us, {shares_found}; {len(rows) - sum(map(len, kept.values()))} left out")
    for phase, items in kept.items():
        halves = ((items[0::2], "fitted"), (items[1::2], "held out"))
        text = ", ".join(
            f"{label} n {len(half)} mean error {mean_error(gpu, half, best):.1%}" for half, label in halves
        )
        print(f"  {phase}: {text}")


def main() -> None:
    """Fit the systems named, or all of the table."""
    rows = read(Path(sys.argv[1]))
    for name in sys.argv[2:] or dict.fromkeys(item.system for item in rows):
        calibrate(name, [item for item in rows if item.system == name])


if __name__ == "__main__":
    main()
