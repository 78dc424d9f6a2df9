"""A trace of t3sim in ASTRA-sim: `python benchmarks/astra_sim.py BINARY [--trace NAME] [--topology T] [--work FOLDER]`.

BINARY is AstraSim_Analytical_Congestion_Aware of https://github.com/astra-sim/astra-sim. The trace is exported with the
times that its GEMMs take alone on t3-paper, run there on one dimension of links of 75 GB/s (ASTRA-sim counts 2^30) and
500 ns with local reduction free, and each collective's time, from its log of rank 0, is set beside ours of the same
collective alone on free memory. Results: docs/validation.md.
"""

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

from t3sim.config import Loaded
from t3sim.data import traces_dir
from t3sim.experiments.gemm_times import gemm_times_fs
from t3sim.simulation import SystemSpec, load_system
from t3sim.simulation.collective import collective_point, run_collective
from t3sim.units import FS_PER_US
from t3sim.validation.ring import RING
from t3sim.workload import Collective, Trace, load_trace
from t3sim.workload.chakra import rank_files

GB_PER_S = 75
LATENCY_NS = 500
ALGORITHMS = {"ring": "ring", "fully-connected": "direct"}
THEIR_NAMES = {"ring": "Ring", "fully-connected": "FullyConnected"}
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")
EVENT = re.compile(r"(issue|callback),sys->id=0, tick=(\d+), node->id=\d+, node->name=([^,]+),")


def main() -> None:
    """Run the trace in both, and print a line for each operation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--trace", default="t-nlg-tp8")
    parser.add_argument("--topology", choices=ALGORITHMS, default="ring")
    parser.add_argument("--work", type=Path, help="folder for ASTRA-sim's input and log; a temporary one by default")
    options = parser.parse_args()
    trace = load_trace(options.trace, folder=traces_dir()).spec
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.work or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        theirs = in_astra_sim(options.binary, trace, options.topology, folder)
    ours = in_t3sim(trace, options.topology)
    print("| operation | bytes | ASTRA-sim, us | t3sim, us | difference |\n| --- | --- | --- | --- | --- |")
    for operation in trace.operations:
        if isinstance(operation, Collective):
            their_us, our_us = theirs[operation.id] / 1000, ours[operation.id]
            difference = f"{our_us / their_us - 1:+.3%}"
            print(f"| {operation.id} | {operation.bytes} | {their_us:.3f} | {our_us:.3f} | {difference} |")


def in_astra_sim(binary: Path, trace: Trace, topology: str, folder: Path) -> dict[str, int]:
    """Run ``trace``: how long each operation took on rank 0, ns."""
    durations = {
        name: max(1, round(time / FS_PER_US)) for name, time in gemm_times_fs(load_system("t3-paper"), trace).items()
    }
    for rank, data in enumerate(rank_files(trace, durations)):
        (folder / f"trace.{rank}.et").write_bytes(data)
    (folder / "network.yml").write_text(
        f"topology: [ {THEIR_NAMES[topology]} ]\nnpus_count: [ {trace.tp} ]\n"
        f"bandwidth: [ {GB_PER_S * 1e9 / 2**30} ]\nlatency: [ {LATENCY_NS} ]\n",
        encoding="utf-8",
    )
    system = {
        "scheduling-policy": "FIFO",
        "endpoint-delay": 1,  # ns; with none, a collective at the very beginning stops it
        "active-chunks-per-dimension": 1,
        "preferred-dataset-splits": 1,
        **{f"{name}-implementation": [ALGORITHMS[topology]] for name in COLLECTIVES},
        "collective-optimization": "baseline",
        "local-mem-bw": 10**9,
        "local-reduction-delay": 0,
        "boost-mode": 0,
        "roofline-enabled": 0,
        "trace-enabled": 1,
    }
    (folder / "system.json").write_text(json.dumps(system), encoding="utf-8")
    (folder / "memory.json").write_text('{"memory-type": "NO_MEMORY_EXPANSION"}', encoding="utf-8")
    files = {"workload": "trace", "system": "system.json", "remote-memory": "memory.json", "network": "network.yml"}
    arguments = [f"--{name}-configuration={folder.resolve() / file}" for name, file in files.items()]
    subprocess.run([binary.resolve(), *arguments], cwd=folder, check=True, capture_output=True)  # noqa: S603
    started: dict[str, int] = {}
    took: dict[str, int] = {}
    for event, tick, name in EVENT.findall((folder / "log" / "log.log").read_text(encoding="utf-8")):
        if event == "issue":
            started[name] = int(tick)
        else:
            took[name] = int(tick) - started[name]
    assert all(took[name] == 1000 * time for name, time in durations.items()), "GEMMs take the times they were given"
    return took


def in_t3sim(trace: Trace, topology: str) -> dict[str, float]:
    """Simulate each collective of ``trace`` alone on free memory, us."""
    collectives = [operation for operation in trace.operations if isinstance(operation, Collective)]
    found = {}
    for operation in collectives:
        run = run_collective(collective_point(free(operation, topology), operation.op, trace.tp, operation.bytes))
        found[operation.id] = run.total_fs / FS_PER_US
    return found


def free(operation: Collective, topology: str) -> Loaded[SystemSpec]:
    """Give the system on whose links alone an operation depends."""
    overrides = [
        *RING,
        f"link.bandwidth={GB_PER_S} GB/s",
        f"link.latency={LATENCY_NS} ns",
        f"topology={{kind: {topology}}}",
    ]
    if operation.op not in ("send", "broadcast"):
        overrides.append(f"algorithms={{{operation.op}: {ALGORITHMS[topology]}}}")
    return load_system(overrides=overrides)


if __name__ == "__main__":
    main()
