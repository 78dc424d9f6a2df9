"""Requests a second that one DRAM channel simulates on one core: `python benchmarks/dram.py`.

Process time of the best of several runs, HBM2 with refresh, FR-FCFS, 64-entry queues, 262,144 requests of 64 B.
"""

import time

from t3sim.hardware.memory.banked.control import ControlSpec
from t3sim.hardware.memory.banked.dram.spec import load_dram
from t3sim.hardware.memory.banked.dram.stream import run_stream
from t3sim.hardware.memory.banked.mappings.mop4 import Mop4
from t3sim.validation.dram_patterns import request_stream

REQUESTS = 2**18
REPEATS = 12
PEAK_CYCLES = 2
STREAMS = ("sequential", "writes", "segments", "slab", "tiles", "mixed-1", "mixed-64", "slab-tiles-1", "random")


def requests_per_s(name: str) -> float:
    """Measure one stream."""
    dram = load_dram("hbm2").spec
    control = ControlSpec(
        scheduler="frfcfs-row-hit",
        hit_cap=0,
        read_entries=64,
        write_entries=64,
        drain_from=0.8,
        drain_to=0.2,
        refresh=True,
    )
    stream = request_stream(name, REQUESTS, PEAK_CYCLES)
    times = []
    for _ in range(REPEATS):
        started = time.process_time()
        run_stream(dram, control, Mop4(), *stream)
        times.append(time.process_time() - started)
    return REQUESTS / min(times)


def main() -> None:
    """Print the table."""
    print(f"{'stream':14} {'M requests/s':>12}")
    for name in STREAMS:
        print(f"{name:14} {requests_per_s(name) / 1e6:12.2f}")


if __name__ == "__main__":
    main()
