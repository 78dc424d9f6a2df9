"""Worker processes that die, and those that outlive nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from t3sim.errors import InputError
from t3sim.sweeps import load_sweep, run_sweep
from t3sim.sweeps.dask import DaskPool
from t3sim.sweeps.pool import LocalPool

TOKENS = {"kind": "list", "key": "tokens", "values": [64, 128, 192, 256, 320]}
# A shell starts what it runs in the background with SIGINT ignored, and children inherit that.
INTERRUPTIBLE = """
import signal
from t3sim.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""
SIMULATE = '''
import os, pathlib, signal
from t3sim.simulation import simulate_point

def killed_once(point, schemes):
    """Die in the point of 128 tokens, the first time."""
    mark = pathlib.Path(os.environ["SWEEP_TEST_MARK"])
    if point.sublayer.operations[0].M == 128 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return simulate_point(point, schemes)

def always_killed(point, schemes):
    """Die in the point of 128 tokens every time, and count."""
    if point.sublayer.operations[0].M == 128:
        with open(os.environ["SWEEP_TEST_MARK"], "a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGSEGV)
    return simulate_point(point, schemes)

def raises(point, schemes):
    """Fail in the point of 128 tokens with an error of no kind that is known."""
    if point.sublayer.operations[0].M == 128:
        raise RuntimeError("a bug")
    return simulate_point(point, schemes)
'''


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Give a module with points that kill, for this process and for workers."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "deadly_points.py").write_text(SIMULATE, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setenv("SWEEP_TEST_MARK", str(tmp_path / "mark"))
    monkeypatch.syspath_prepend(folder)
    yield __import__("deadly_points")
    del sys.modules["deadly_points"]


def children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text(encoding="utf-8").split()}


@pytest.mark.parametrize("jobs", [1, 2])
def test_workers_give_what_this_process_gives(sweep_of, inline, results, tmp_path, jobs):
    """The table of one worker, and of two, is that of no worker at all."""
    spec = load_sweep(sweep_of(TOKENS))
    before = children(os.getpid())
    run_sweep(spec, tmp_path / "here", inline())
    run_sweep(spec, tmp_path / "there", LocalPool(jobs))
    assert results(tmp_path / "there") == results(tmp_path / "here")
    assert children(os.getpid()) == before, "no worker is left"


def test_the_point_of_a_killed_worker_is_run_again(sweep_of, results, inline, tmp_path, deadly):
    """Nothing is lost, and nothing counted twice."""
    spec = load_sweep(sweep_of(TOKENS))
    result = run_sweep(spec, tmp_path / "killed", LocalPool(2, deadly.killed_once))
    assert (tmp_path / "mark").exists()
    assert (result.tally.done, result.tally.failed) == (5, 0)
    run_sweep(spec, tmp_path / "calm", inline())
    assert results(tmp_path / "killed") == results(tmp_path / "calm")


def test_a_point_that_kills_every_worker_is_a_failed_row(sweep_of, results, tmp_path, deadly):
    """After three workers the point has failed, and says how; the others are simulated."""
    run_sweep(load_sweep(sweep_of(TOKENS)), tmp_path, LocalPool(2, deadly.always_killed))
    assert (tmp_path / "mark").read_text(encoding="utf-8") == "xxx"
    failed = [row for row in results(tmp_path) if row["status"] != "ok"]
    assert [(row["tokens"], row["M"], row["error_type"]) for row in failed] == [("128", "128", "WorkerDied")] * 2
    assert "SIGSEGV" in failed[0]["error_message"]


def test_an_error_in_a_point_is_a_failed_row(sweep_of, results, tmp_path, deadly):
    """Whatever is raised in a worker is written down with its point."""
    run_sweep(load_sweep(sweep_of(TOKENS)), tmp_path, LocalPool(1, deadly.raises))
    failed = {
        (row["tokens"], row["error_type"], row["error_message"]) for row in results(tmp_path) if row["error_type"]
    }
    assert failed == {("128", "RuntimeError", "a bug")}


def test_workers_end_with_a_parent_that_is_killed(sweep_file, tmp_path):
    """After kill -9 of the sweep no worker is left, in the middle of a point or not."""
    spec = sweep_file({"kind": "range", "key": "tokens", "from": 16, "to": 3200, "count": 200})
    command = [sys.executable, "-m", "t3sim", "sweep", spec, "--jobs", "2", "--out", tmp_path / "out"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(workers := children(process.pid)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(workers) == 2
        process.kill()
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline


def test_ctrl_c_ends_the_command_in_order(sweep_file, tmp_path, results):
    """SIGINT: the finished points are in the table, exit code 130, and the same command goes on."""
    spec = sweep_file({"kind": "range", "key": "tokens", "from": 16, "to": 3200, "count": 200})
    command = [sys.executable, "-c", INTERRUPTIBLE, "sweep", spec, "--jobs", "1", "--out", tmp_path / "out"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        journal, deadline = tmp_path / "out" / "journal.txt", time.monotonic() + 60
        while not (journal.exists() and journal.read_bytes().count(b"\n") > 2) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    assert 4 <= len(results(tmp_path / "out")) < 400


def test_dask_that_is_not_there():
    """An address where nothing listens is bad input, not a traceback."""
    pytest.importorskip("distributed", reason="the extra 'dask' is not installed")
    with pytest.raises(InputError, match="no Dask scheduler"):
        list(DaskPool("tcp://127.0.0.1:9").run(iter(())))
