"""What a sweep costs beside its points: `python benchmarks/sweeps.py overhead|efficiency|all`.

overhead: 1,000, 10,000 and 100,000 points that take no time: wall time a point, and a resume that finds all of them
finished, with its peak memory. efficiency: N points of T-NLG FC-2, sequential and t3-mca, by one worker and by two,
chunk by chunk in turns, so that a machine that others use too is as slow for both. Exits 1 when a budget is missed.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
OVERHEAD_MS = 5.0
RESUME_S = 5.0
RESUME_MB = 500.0
EFFICIENCY = 0.9
SIZES = (1_000, 10_000, 100_000)
CHUNKS = 5

OVERHEAD = """
import sys, time
from pathlib import Path
from sweep_stub import stub
from t3sim.sweeps import load_sweep, run_sweep
from t3sim.sweeps.pool import LocalPool
count, out = int(sys.argv[1]), Path(sys.argv[2])
base = {"model": "t-nlg", "tp": 8, "sublayer": "fc2", "scheme": "sequential"}
axis = {"kind": "random", "seed": 1, "count": count, "keys": {
    "tokens": {"from": 1024, "to": 16384}, "system.link.bandwidth": {"from": "50 GB/s", "to": "900 GB/s"}}}
started = time.perf_counter()
result = run_sweep(load_sweep({"name": "overhead", "base": base, "axes": [axis]}), out, LocalPool(1, stub))
assert result.tally.left == 0 and result.written.rows == count
print(result.tally.done, time.perf_counter() - started)
"""
EFFICIENT = """
import sys, time
from pathlib import Path
from t3sim.sweeps import load_sweep, run_sweep
from t3sim.sweeps.pool import LocalPool
first, count, jobs, out = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
base = {"model": "t-nlg", "tp": 8, "sublayer": "fc2", "scheme": ["sequential", "t3-mca"]}
rates = [f"{rate} MB/s" for rate in range(100_000 + first, 100_000 + first + count)]
spec = {"name": "e", "base": base, "axes": [{"kind": "list", "key": "system.link.bandwidth", "values": rates}]}
started = time.perf_counter()
result = run_sweep(load_sweep(spec), out, LocalPool(jobs))
assert result.tally.done == count and not result.written.failed
print(count, time.perf_counter() - started)
"""


def measured(code: str, *arguments: object) -> tuple[int, float, float]:
    """Run a piece of Python; what it prints, points and seconds, and its peak memory in MB."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, env=environment)  # noqa: S603 - the code stands above
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        points, seconds = output.read().split()[-2:] if not status else ("0", "0")
    if status:
        raise SystemExit("failed")
    return int(points), float(seconds), usage.ru_maxrss / 1000


def overhead() -> bool:
    """Measure sweeps of points that take no time; whether all budgets hold."""
    held = True
    print(f"{'points':>8} {'run s':>8} {'ms/point':>9} {'resume s':>9} {'resume MB':>10}")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as out:
            _, run_s, _ = measured(OVERHEAD, size, out)
            done, resume_s, peak_mb = measured(OVERHEAD, size, out)
        each = 1000 * run_s / size
        print(f"{size:8} {run_s:8.2f} {each:9.2f} {resume_s:9.2f} {peak_mb:10.0f}", flush=True)
        held &= done == 0 and resume_s < RESUME_S and peak_mb < RESUME_MB
        held &= each < OVERHEAD_MS or size == SIZES[0]  # starting takes its time, whatever the number of points
    return held


def efficiency(points: int) -> bool:
    """Measure two workers against one; whether the budget holds."""
    walls = {1: 0.0, 2: 0.0}
    each = points // CHUNKS
    for chunk in range(CHUNKS):
        for jobs in (1, 2) if chunk % 2 else (2, 1):
            with tempfile.TemporaryDirectory() as out:
                walls[jobs] += measured(EFFICIENT, chunk * each, each, jobs, out)[1]
    share = walls[1] / walls[2] / 2
    print(f"{each * CHUNKS} points: --jobs 1 {walls[1]:.1f} s, --jobs 2 {walls[2]:.1f} s, efficiency {share:.3f}")
    return share >= EFFICIENCY


def main() -> None:
    """Run what was asked for."""
    what = sys.argv[1] if len(sys.argv) > 1 else "all"
    points = int(sys.argv[2]) if len(sys.argv) > 2 else 1000  # noqa: PLR2004
    started = time.perf_counter()
    held = True
    if what in {"overhead", "all"}:
        held &= overhead()
    if what in {"efficiency", "all"}:
        held &= efficiency(points)
    print(f"{time.perf_counter() - started:.0f} s in all")
    raise SystemExit(not held)


if __name__ == "__main__":
    main()
