"""What plain T3's loss depends on: `python benchmarks/sensitivity.py`.

Prints the Markdown table of tests/validation/DEVIATIONS.md: the base set with one setting of `t3-paper` changed.
"""

from t3sim.simulation import load_system
from t3sim.study import load_published, reproduce

SETTINGS = (
    ((), "the default: 11 ns, HBM2 bus turnaround, in order"),
    (("memory.turnaround=0.7 ns",), "what batching in 64-entry FR-FCFS queues leaves of it (Ramulator 2.1)"),
    (("memory.turnaround=8 ns",), ""),
    (("memory.stream_switch=2 ns",), "some rows reopened when the stream changes"),
    (("compute.store_buffer=1 MiB",), "less output in flight: workgroups wait for their stores"),
    (("compute.store_buffer=256 MiB",), "workgroups never wait for their stores"),
    (("arbitration.t3-mca={policy: compute-first}",), "MCA without thresholds and starvation limit"),
    (("tracker.entries=16",), "a small tracker: counts wait, data do not"),
)


def main() -> None:
    """Run the base set at each setting."""
    spec = load_published().spec
    # Without the figures of shared CUs, which are runs of their own and no scheme's.
    published = spec.model_copy(update={"targets": tuple(item for item in spec.targets if item.collective_cus is None)})
    print("| changed | t3 | t3-mca | |\n|---|---|---|---|")
    print("| paper | 1.20 (1.39) | 1.30 (1.47) | |")
    for overrides, note in SETTINGS:
        result = reproduce(published, load_system(overrides=overrides), ("base",)).result
        means = result.geomean()
        best = {name: max(row["speedup"] for row in result.of(name)) for name in means}
        cells = [f"{means[name]:.3f} ({best[name]:.3f})" for name in ("t3", "t3-mca")]
        print(f"| {', '.join(overrides)} | {' | '.join(cells)} | {note} |", flush=True)


if __name__ == "__main__":
    main()
