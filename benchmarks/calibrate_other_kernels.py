"""Fit kernels beside GEMMs: `python benchmarks/calibrate_other_kernels.py layer_ops.csv [SYSTEM]`.

The table has times of a layer's operations, as profiles of microsoft/vidur have them (data/profiling/compute, MIT):
columns model, tp, tokens, hidden, ffn and input_layernorm_ms, post_attention_layernorm_ms, mlp_act_ms, add_ms. Fitted
are the share of the DRAM's peak that a class of kernels reaches, by rows that move more than twice what the LLC holds
(smaller ones may find in it what the run before left), then one `start`, by all rows: for the least mean error over
every second row, sorted by class and all parameters. Bytes are those that t3sim/workload/layers.py counts. Prints the
errors of the other half by class and band of bytes; changes nothing.
"""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from t3sim.simulation import load_system

ELEMENT = 2
STARTS_US = [0.25 * step for step in range(41)]
SHARES = [0.01 * step for step in range(5, 101)]
MIB = 2**20
BANDS = ((2 * MIB, "below 2 MiB"), (32 * MIB, "2-32 MiB"), (2**63, "above 32 MiB"))
NORMS = ("input_layernorm_ms", "post_attention_layernorm_ms")


@dataclass(frozen=True, order=True)
class Timed:
    """One measured kernel."""

    kind: str
    parameters: tuple[str, int, int, str]
    """Model, tensor-parallel degree, tokens and column."""
    nbytes: int
    time_us: float

    def error(self, start_us: float, bytes_per_us: float) -> float:
        """Relative error of a start and a rate."""
        return (start_us + self.nbytes / bytes_per_us) / self.time_us - 1


def read(path: Path) -> list[Timed]:
    """Read the table: norms and residuals move whole rows, a gated activation three times its width."""
    found = []
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            tokens, tp = int(row["tokens"]), int(row["tp"])
            hidden, width = int(row["hidden"]), int(row["ffn"]) // tp
            elements = dict.fromkeys(NORMS, ("norm", 2 * hidden))
            elements |= {"mlp_act_ms": ("activation", 3 * width), "add_ms": ("residual", 3 * hidden)}
            for column, (kind, each) in elements.items():
                if row[column]:
                    parameters = (row["model"], tp, tokens, column)
                    found.append(Timed(kind, parameters, tokens * each * ELEMENT, float(row[column]) * 1000))
    return sorted(found)


def best_share(members: Sequence[Timed], peak: float) -> float:
    """Give the share of the least mean error."""
    return min(SHARES, key=lambda share: fmean(abs(item.error(0, share * peak)) for item in members))


def main() -> None:
    """Fit on every second row and judge on the others."""
    path, system = Path(sys.argv[1]), (sys.argv[2:] or ["a100-80g"])[0]
    spec = load_system(system).spec
    peak, large = spec.memory.peak_bytes_per_s / 1e6, 2 * spec.llc.capacity
    rows = read(path)
    kinds = list(dict.fromkeys(item.kind for item in rows))
    shares = {
        kind: best_share([item for item in rows[0::2] if item.kind == kind and item.nbytes > large], peak)
        for kind in kinds
    }
    costs = {
        start: fmean(abs(item.error(start, shares[item.kind] * peak)) for item in rows[0::2]) for start in STARTS_US
    }
    start = min(costs, key=lambda each: costs[each])
    print(f"{system}: start {start} us, fitted on {len(rows[0::2])} of {len(rows)} rows, mean error {costs[start]:.1%}")
    for kind in kinds:
        share = shares[kind]
        print(f"{kind}: dram_share {share:.2f}")
        held = [item for item in rows[1::2] if item.kind == kind]
        least = 0
        for most, band in (*BANDS, (2**63, "all")):
            members = [item for item in held if (least if band != "all" else 0) <= item.nbytes < most]
            least = most
            errors = [item.error(start, share * peak) for item in members]
            print(f"  held out, {band}: n {len(errors)}, mean error {fmean(map(abs, errors)):.1%}, ", end="")
            print(f"bias {fmean(errors):+.1%}, worst {max(errors, key=abs):+.1%}")


if __name__ == "__main__":
    main()
