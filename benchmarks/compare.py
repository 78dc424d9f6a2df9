"""Compare the speed of two checkouts: `python benchmarks/compare.py OLD NEW [--rounds 5] [--job TEXT ...]`.

The jobs of `speed.py`, each run by both in turn, so that what else the machine does hits both alike. A ratio is NEW's
CPU time over OLD's in one round: the median of them is what counts, the least and the greatest say how sure it is.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from speed import Job, Measured, jobs, measure

COLD = "first run"
"""Begins the name of the job that starts with nothing compiled: each of its runs needs a folder of its own."""


def measured(name: str, checkout: str) -> Measured:
    """Run the job called ``name`` by ``checkout``."""
    with tempfile.TemporaryDirectory() as empty_cache:
        return measure(next(job for job in jobs(empty_cache) if job.name == name), checkout)


def compare(job: Job, checkouts: Sequence[str], rounds: int) -> str:
    """Run a job by both checkouts in turn and write a line."""
    if not job.name.startswith(COLD):
        for checkout in checkouts:
            measured(job.name, checkout)  # compiles what this checkout needs
    pairs = [[measured(job.name, checkout) for checkout in checkouts] for _ in range(rounds)]
    ratios = [new.cpu_s / old.cpu_s for old, new in pairs]
    old, new = (median(pair[side].cpu_s for pair in pairs) for side in range(2))
    line = f"{job.name:58} {old:8.2f} {new:8.2f} {median(ratios):6.2f} {f'{min(ratios):.2f} to {max(ratios):.2f}':>14}"
    return f"{line} {max(pair[0].peak_mb for pair in pairs):8.0f} {max(pair[1].peak_mb for pair in pairs):8.0f}"


def main() -> None:
    """Compare all jobs, or those whose names contain a text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of a checkout")
    parser.add_argument("new", type=Path, help="folder of the other")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--job", action="append", default=[], help="only jobs with this in their names")
    asked = parser.parse_args()
    checkouts = [str(folder.resolve()) for folder in (asked.old, asked.new)]
    print(f"{'job':58} {'old s':>8} {'new s':>8} {'ratio':>6} {'of rounds':>14} {'old MB':>8} {'new MB':>8}")
    for job in jobs(""):
        if not asked.job or any(text in job.name for text in asked.job):
            print(compare(job, checkouts, asked.rounds), flush=True)


if __name__ == "__main__":
    main()
