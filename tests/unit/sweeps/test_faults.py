"""Random kills over one sweep: the final table is that of a sweep that nothing happened to."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
PATIENCE_S = 600
PARENTS = 0.3  # share of the kills that hit the sweep and not a worker of it


def children(pid, words):
    """Return the processes below ``pid`` whose command line holds the words."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = task.read_text(encoding="utf-8").split()
            found += [int(child) for child in pids if words in Path(f"/proc/{child}/cmdline").read_bytes()]
        except OSError:  # it ended while we looked
            continue
    return found


@contextmanager
def cluster(tmp_path):
    """Run a Dask cluster of two worker processes; its address, and its process."""
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER, encoding="utf-8")
    command = [sys.executable, script]
    quiet = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **quiet) as process:
        yield process.stdout.readline().strip(), process
        process.stdin.close()


def sweep_command(spec, out, *options):
    return [sys.executable, "-m", "t3sim", "sweep", spec, "--out", out, *options]


def disturbed(command, out, kills, victims, seed):
    """Run a command to its end, through kills of it or of what ``victims`` finds; how many of each there were.

    A killed command is started again. Workers are killed at random moments, but only once a point has finished since
    the last kill, and the oldest goes: a point that costs several workers in a row would rightly count as failed.
    """
    draw = random.Random(seed)
    done = {"parent": 0, "worker": 0}
    before = 0
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            while process.poll() is None and sum(done.values()) < kills and time.monotonic() < deadline:
                time.sleep(draw.uniform(0.05, 2) if done["worker"] else 0.02)  # a worker goes first, and early
                found = victims(process.pid)
                size = (out / "journal.txt").stat().st_size if (out / "journal.txt").exists() else 0
                if done["worker"] and draw.random() < PARENTS:
                    process.kill()
                    done["parent"] += 1
                    break
                if found and size > before:
                    os.kill(min(found), signal.SIGKILL)
                    done["worker"] += 1
                    before = size
            code = process.wait(timeout=PATIENCE_S)
            if code != -signal.SIGKILL:
                assert code == 0, process.stderr.read().decode()
                return done


@pytest.fixture
def spec(sweep_file):
    """Give a sweep of ``count`` points of some ten milliseconds each."""
    return lambda count: sweep_file(
        {"kind": "range", "key": "tokens", "from": 256, "to": 255 + count, "count": count},
        topology="ring",
        tp=4,
    )


def calm(spec, tmp_path):
    subprocess.run(sweep_command(spec, tmp_path / "calm", "--jobs", "1"), check=True, capture_output=True)
    return tmp_path / "calm"


@pytest.mark.parametrize(("points", "kills"), [(30, 4), pytest.param(200, 25, marks=pytest.mark.campaign)])
def test_kills_of_workers_and_of_the_sweep(spec, results, tmp_path, points, kills):
    """Workers and the sweep itself are killed at random; every point is in the table once."""
    path, out = spec(points), tmp_path / "out"
    done = disturbed(
        sweep_command(path, out, "--jobs", "2"), out, kills, lambda pid: children(pid, b"t3sim.processes"), seed=points
    )
    assert done["worker"], "some workers were killed"
    assert results(out) == results(calm(path, tmp_path))


@pytest.mark.parametrize(("points", "kills"), [(30, 2), pytest.param(200, 25, marks=pytest.mark.campaign)])
def test_kills_of_dask_workers_and_of_the_sweep(spec, results, tmp_path, points, kills):
    """The same on a Dask cluster of real worker processes."""
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    path, out = spec(points), tmp_path / "out"
    with cluster(tmp_path) as (address, host):
        command = sweep_command(path, out, "--dask", address)
        done = disturbed(command, out, kills, lambda _: children(host.pid, b"spawn_main"), seed=points)
    assert done["worker"], "some workers were killed"
    assert results(out) == results(calm(path, tmp_path))
