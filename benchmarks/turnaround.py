"""How plain T3 and T3-MCA depend on what a switch costs the DRAM: `python benchmarks/turnaround.py`.

Prints the Markdown table of tests/validation/DEVIATIONS.md.
"""

from t3sim.simulation import load_system
from t3sim.study import load_published, reproduce

SETTINGS = (
    ("0.7 ns", "0 ns", "what 64-entry FR-FCFS queues leave of it (reads and writes mixed 1:1, Ramulator 2.1)"),
    ("8 ns", "0 ns", ""),
    ("11 ns", "0 ns", "HBM2 bus turnaround, in order: the default"),
    ("11 ns", "2 ns", "and some rows reopened when the stream changes"),
)


def main() -> None:
    """Run the base set at each setting."""
    published = load_published().spec
    print("| turnaround | stream switch | t3 | t3-mca | |\n|---|---|---|---|---|")
    print("| paper | | 1.20 (1.39) | 1.30 (1.47) | |")
    for turnaround, switch, note in SETTINGS:
        overrides = (f"memory.turnaround={turnaround}", f"memory.stream_switch={switch}")
        result = reproduce(published, load_system(overrides=overrides), ("base",)).result
        means = result.geomean()
        cells = [
            f"{means[name]:.3f} ({max(row['speedup'] for row in result.of(name)):.3f})" for name in ("t3", "t3-mca")
        ]
        print(f"| {turnaround} | {switch} | {' | '.join(cells)} | {note} |", flush=True)


if __name__ == "__main__":
    main()
