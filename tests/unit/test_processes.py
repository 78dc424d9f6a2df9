"""One function on many items, in this process or in several: the same results, in the order of the items."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from t3sim.errors import InputError, Problem
from t3sim.processes import WorkerError, _ByGroup, each

FUNCTIONS = '''
import os, signal
from t3sim.errors import InputError, Problem

def squared(number):
    """Say what comes of a number, and where."""
    return number * number, os.getpid()

def refused(number):
    """Refuse one of the numbers as bad input."""
    if number == 3:
        raise InputError(Problem(message="three is none", key="number", value=number))
    return number

class Odd(Exception):
    """Cannot be pickled: it is made of two things, and remembers one."""
    def __init__(self, one, two):
        super().__init__(one)

def odd(number):
    """Fail with an error that cannot be handed on."""
    raise Odd("the text", number)

def deadly(number):
    """Die."""
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number
'''


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """Give a module of functions, for this process and for workers."""
    (tmp_path / "worked_functions.py").write_text(FUNCTIONS, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.syspath_prepend(tmp_path)
    yield __import__("worked_functions")
    del sys.modules["worked_functions"]


def children():
    tasks = Path("/proc/self/task").glob("*/children")
    return {int(child) for task in tasks for child in task.read_text(encoding="utf-8").split()}


@pytest.mark.parametrize(("jobs", "processes"), [(1, 1), (2, 2), (16, 5)])
def test_results_are_in_the_order_of_the_items(functions, jobs, processes):
    """In one process it is this one; in several, all others, no more of them than items, and none is left."""
    before = children()
    found = each(functions.squared, iter(range(5)), jobs=jobs)
    assert [square for square, _ in found] == [0, 1, 4, 9, 16]
    pids = {pid for _, pid in found}
    assert (pids == {os.getpid()}) is (jobs == 1)
    assert len(pids) <= processes
    assert children() == before


def test_one_item_needs_no_other_process(functions):
    """Neither one item nor none starts a worker, however many jobs there may be."""
    assert each(functions.squared, [7], jobs=8) == [(49, os.getpid())]
    assert each(functions.squared, [], jobs=8) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_errors_are_those_of_the_function(functions, jobs):
    """What is raised in a worker is raised here, of its type and with what it holds; and no worker is left."""
    before = children()
    with pytest.raises(InputError) as raised:
        each(functions.refused, range(5), jobs=jobs)
    assert raised.value.problems == (Problem(message="three is none", key="number", value=3),)
    assert children() == before


def test_an_error_that_cannot_be_handed_on_is_told(functions):
    """Its type and text are."""
    with pytest.raises(WorkerError, match="Odd: the text"):
        each(functions.odd, range(5), jobs=2)


def test_an_item_that_kills_workers_is_given_up(functions):
    """After three of them, with how the last one died."""
    with pytest.raises(WorkerError, match=r"3 workers died.*SIGKILL"):
        each(functions.deadly, range(5), jobs=2)


@pytest.mark.parametrize("jobs", [1, 2])
def test_progress_counts_items(functions, jobs):
    """From none to all of them, each time with what comes next; at last there is nothing."""
    seen = []
    each(functions.squared, range(4), jobs=jobs, progress=lambda *news: seen.append(news), label="item {}".format)
    assert [(done, total) for done, total, _ in seen] == [(done, 4) for done in range(5)]
    assert seen[0][2] == "item 0"
    assert seen[-1][2] == "done"
    if jobs == 1:
        assert [label for *_, label in seen] == ["item 0", "item 1", "item 2", "item 3", "done"]


def test_items_of_a_group_go_to_one_worker():
    """A worker stays with its group; another one begins the next group; at the end it takes from the fullest."""
    source = _ByGroup(["a", "a", "a", "b", "b", "b", "b"])
    assert [source.take(None), source.take(None)] == [0, 3]
    assert [source.take(0), source.take(3), source.take(1)] == [1, 4, 2]
    assert source.take(2) == 6, "the last of the other group, which its own worker comes to last"
    assert [source.take(4), source.take(5)] == [5, None]


INTERRUPTED = """
import os, signal, sys, threading, time
sys.path.insert(0, {folder!r})
import worked_functions
from t3sim.processes import each
signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    each(time.sleep, [60] * 4, jobs=2)
except KeyboardInterrupt:
    tasks = os.listdir("/proc/self/task")
    print("left:", *(open(f"/proc/self/task/{{task}}/children").read() for task in tasks))
"""


@pytest.mark.usefixtures("functions")
def test_ctrl_c_leaves_no_worker(tmp_path):
    """The workers end with the wait for them."""
    program = INTERRUPTED.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.split() == ["left:"], done.stderr
    assert not done.stderr
