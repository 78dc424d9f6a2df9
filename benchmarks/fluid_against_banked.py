"""How far the fluid memory is from the banked one that it follows: `python benchmarks/fluid_against_banked.py [PART]`.

Simulates 36 shipped sublayers on links of five rates and 30 random shapes, six phases each, with both memories, and
prints by phase and rate how many are within 3% and the worst, as a table for docs/model/fluid-memory.md. PART: only
cases whose name holds it. Some 10 minutes on one core.
"""

import sys
from collections import defaultdict

from t3sim.simulation.part_store import without_disk
from t3sim.validation.memories import PHASES, RATES_GBPS, cases, phase_times

NEAR = 0.03
WORST = 12


def main() -> None:
    """Print the table, and the worst cases."""
    without_disk()
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    errors: dict[tuple[str, float], list[float]] = defaultdict(list)
    named: list[tuple[float, str, str]] = []
    for case in cases():
        if wanted not in case.name:
            continue
        fluid, banked = (phase_times(case, system) for system in ("t3-paper-fluid", "t3-paper-banked"))
        for phase in PHASES:
            error = fluid[phase] / banked[phase] - 1
            errors[phase, case.rate_gbps].append(error)
            named.append((error, phase, case.name))
    print("| phase | " + " | ".join(f"{rate:g} GB/s" for rate in RATES_GBPS) + " |")
    print("| --- " * (1 + len(RATES_GBPS)) + "|")
    for phase in PHASES:
        cells = [cell(errors[phase, rate]) for rate in RATES_GBPS]
        print(f"| {phase} | " + " | ".join(cells) + " |")
    near = sum(abs(error) <= NEAR for error, _, _ in named)
    print(f"\n{near} of {len(named)} phases within {NEAR:.0%}; the worst:")
    for error, phase, name in sorted(named, key=lambda item: -abs(item[0]))[:WORST]:
        print(f"{error:+.1%} {phase}, {name}")


def cell(found: list[float]) -> str:
    """Say how many are near, and the worst."""
    if not found:
        return ""
    return f"{sum(abs(error) <= NEAR for error in found) / len(found):.0%}, {max(found, key=abs):+.1%}"


if __name__ == "__main__":
    main()
