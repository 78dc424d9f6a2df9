"""Time the main jobs against their budgets: `python benchmarks/speed.py`.

Each job runs in a process of its own, start-up included where a user would pay for it; `run` jobs are warmed up once
inside the process. Nothing is taken from what earlier runs left on disk, or in the process. Prints wall time, peak
memory and budget; exits 1 when a budget is missed.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

NOTHING_KEPT = {"T3SIM_CACHE": "off"}
PEAK_MB = 1000
CLI = (sys.executable, "-m", "t3sim")
FIVE_SCHEMES = """
import time
from t3sim.simulation import simulate
simulate("t-nlg-tp8", sublayers=["fc2"], system="SYSTEM")
try:
    from t3sim.simulation.part_store import REMEMBERED
    REMEMBERED.forget()
except ImportError:
    pass  # remembers nothing
wall, cpu = time.perf_counter(), time.process_time()
simulate("t-nlg-tp8", sublayers=["fc2"], system="SYSTEM")
print("MEASURED", time.perf_counter() - wall, time.process_time() - cpu)
"""


@dataclass(frozen=True)
class Job:
    """One command, what it stands for, and its budget."""

    name: str
    command: tuple[str, ...]
    budget_s: float | None
    environment: dict[str, str] = field(default_factory=dict)


def five_schemes(system: str) -> tuple[str, ...]:
    """Say how to run all schemes of one sublayer in a process that has done so before and remembers nothing."""
    return sys.executable, "-c", FIVE_SCHEMES.replace("SYSTEM", system)


def jobs(empty_cache: str) -> list[Job]:
    """List the jobs."""
    run = ("run", "t-nlg-tp8", "--sublayer", "fc2")
    in_order = ("--system", "t3-paper-published")
    torus = ("run", "futuristic-1t-tp64", "--set", "topology={kind: torus, shape: [4, 4, 4]}")
    all_gpus = ("--sublayer", "fc2", "--scheme", "t3", "--gpus", "64")
    all_reduce = ("collective", "all_reduce", "--bytes", "1GiB", "--no-bound")
    return [
        Job("the list of commands", (*CLI, "--help"), 0.35),
        Job("first run, nothing compiled yet", (*CLI, *run), 20.0, {"XDG_CACHE_HOME": empty_cache}),
        Job("T-NLG FC-2 TP=8, five schemes, mirrored", five_schemes("t3-paper"), 1.0),
        Job("the same, in-order memory", five_schemes("t3-paper-published"), 0.3),
        Job("the same as a command", (*CLI, *run), 4.0),
        Job("the same with --timeline", (*CLI, *run, "--timeline", f"{empty_cache}/timeline.json.gz"), None),
        Job("T-NLG FC-2 TP=8, t3, ring of 8 GPUs", (*CLI, *run, "--scheme", "t3", "--gpus", "8"), 8.0),
        Job("futuristic-1t FC-2 TP=64, t3, 4 x 4 x 4 torus of 64 GPUs", (*CLI, *torus, *all_gpus), 90.0),
        Job("the same, in-order memory", (*CLI, *torus, *all_gpus, *in_order), 30.0),
        Job("all-reduce of 1 GiB, 8 GPUs, mirrored", (*CLI, *all_reduce, "--gpus", "8"), None),
        Job("all-reduce of 1 GiB, 1,024 GPUs, mirrored", (*CLI, *all_reduce, "--gpus", "1024"), None),
        Job("reproduce --set all, with its calibrated column", (*CLI, "reproduce", "--set", "all"), 20.0),
        Job("the same, in-order memory alone", (*CLI, "reproduce", "--set", "all", *in_order), 8.0),
    ]


@dataclass(frozen=True)
class Measured:
    """What one run of a job took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure(job: Job, checkout: str = "") -> Measured:
    """Run ``job`` by the t3sim installed, or by that in ``checkout``; times are those that it prints, if it does."""
    environment = {**os.environ, **NOTHING_KEPT, **job.environment}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(  # noqa: S603 - the commands stand above
            job.command, stdout=output, stderr=subprocess.DEVNULL, env=environment, cwd=checkout or None
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        output.seek(0)
        printed = [line.split()[1:] for line in output if line.startswith("MEASURED")]
    if status:
        raise SystemExit(f"{job.name}: failed")
    wall, cpu = map(float, printed[0]) if printed else (wall, usage.ru_utime + usage.ru_stime)
    return Measured(wall, cpu, usage.ru_maxrss / 1000)


def main() -> None:
    """Run all jobs and print the table."""
    missed = False
    print(f"{'job':58} {'wall s':>8} {'budget s':>8} {'peak MB':>8}")
    with tempfile.TemporaryDirectory() as empty_cache:
        for job in jobs(empty_cache):
            took = measure(job)
            budget = "" if job.budget_s is None else f"{job.budget_s:g}"
            print(f"{job.name:58} {took.wall_s:8.2f} {budget:>8} {took.peak_mb:8.0f}")
            missed |= job.budget_s is not None and took.wall_s > job.budget_s
            missed |= took.peak_mb > PEAK_MB
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
