"""Compiled functions: compiled once, kept on disk, and counted."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from t3sim import compiled
from t3sim.version import source_hash
from t3sim.workload.model_traces import transformer_trace
from t3sim.workload.models import load_model
from t3sim.workload.trace import render_trace


@pytest.fixture
def counted(monkeypatch):
    """Give the list of compiled functions, restored after the test."""
    known = list(compiled._functions)
    monkeypatch.setattr(compiled, "_functions", known)
    return known


def sum_to(n):
    total = 0
    for i in range(n + 1):
        total += i
    return total


def test_a_compiled_function_computes_what_its_source_says(counted):
    """A compiled function gives what the plain one gives, and is on the list."""
    fast = compiled.compiled(sum_to)
    assert fast(100) == sum_to(100) == 5050
    assert counted[-1] is fast


def test_a_function_that_never_ran_is_named(counted):
    """Until its first call, a function is reported as one that will have to be compiled."""
    compiled.compiled(sum_to)(1)

    def never_called(n):
        return n

    compiled.compiled(never_called)
    assert "never_called" in compiled.uncached()
    assert compiled.uncached().count("never_called") == 1
    del counted


def test_nothing_is_left_to_compile_after_a_run():
    """One run compiles every function that runs need and keeps it on disk, so that no later run compiles."""
    run = "t3sim.cli, t3sim.simulation, t3sim.compiled as compiled"
    call = 't3sim.simulation.simulate("t-nlg-tp16", sublayers=["op"], schemes=["t3-mca"])'
    # In a process of its own: other tests load functions that no run needs.
    command = [sys.executable, "-c", f"import {run}; {call}; print(compiled.uncached())"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "()"


def test_the_cache_is_a_folder():
    """Compiled functions are kept where a person can find and delete them."""
    folder = compiled.cache_folder()
    assert isinstance(folder, Path)
    assert folder.is_dir()


def test_no_folder_to_write_to_is_no_error(monkeypatch):
    """Where no cache folder can be written to, there is none, and functions are compiled for this process alone."""
    monkeypatch.setattr(compiled.os, "access", lambda *_: False)
    assert find() is None
    monkeypatch.setattr(compiled, "cache_folder", lambda: None)
    monkeypatch.setattr(compiled, "_functions", [])

    @compiled.compiled
    def twice(value):
        return 2 * value

    assert twice(21) == 42
    assert compiled.uncached() == ("twice",)


def find():
    """Look for the cache folder anew."""
    return compiled.cache_folder.__wrapped__()


def mode(folder):
    return stat.S_IMODE(folder.lstat().st_mode)


@pytest.fixture(params=["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"])
def named(request, monkeypatch, tmp_path):
    """Give the folder of compiled functions to which one of the two variables leads; the next is tmp_path/last."""
    home = tmp_path / "last"
    root = tmp_path / "root"
    if request.param == "NUMBA_CACHE_DIR":
        monkeypatch.setenv("NUMBA_CACHE_DIR", str(root))
        monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    else:
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(root))
        monkeypatch.setenv(compiled.SHARED, str(home))
        home.mkdir(0o700)
        root /= "t3sim"
    return root / f"compiled-{source_hash(Path(compiled.__file__).parent)}"


def is_last(folder, tmp_path):
    return folder is not None and folder.is_relative_to(tmp_path / "last") and mode(folder) == 0o700


def test_the_cache_is_made_for_its_owner_only(named):
    """Whatever the umask, nobody else can look into the folder that is made."""
    before = os.umask(0)
    try:
        assert find() == named
    finally:
        os.umask(before)
    assert mode(named) == mode(named.parent) == 0o700
    assert named.stat().st_uid == os.geteuid()


def test_a_cache_that_others_can_read_is_closed(named):
    """A folder of the user's is made the user's alone, and what is in it is kept."""
    named.mkdir(parents=True)
    named.chmod(0o755)
    (named / "kept").touch()
    assert find() == named
    assert mode(named) == 0o700
    assert (named / "kept").exists()


def test_a_cache_that_cannot_be_closed_is_not_used(named, tmp_path, monkeypatch):
    """Where a file system takes a new mode without an error and keeps the old one, the next place is taken."""
    named.mkdir(parents=True)
    named.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    assert is_last(find(), tmp_path)


@pytest.mark.parametrize("bits", [0o770, 0o702])
def test_a_cache_that_others_could_write_to_is_emptied(named, bits):
    """What is in such a folder may be somebody else's, and would be run."""
    (named / "inner").mkdir(parents=True)
    (named / "inner" / "planted.nbi").touch()
    named.chmod(bits)
    assert find() == named
    assert mode(named) == 0o700
    assert not list(named.iterdir())


def test_a_cache_of_somebody_else_is_not_used(named, tmp_path, monkeypatch):
    """A folder under the right name but of another owner is left alone, and the next place is taken."""
    named.mkdir(parents=True)
    named.chmod(0o755)
    theirs = named.lstat()
    lstat = Path.lstat

    def as_another_user_s(path):
        found = lstat(path)
        if not os.path.samestat(found, theirs):
            return found
        return os.stat_result([*found[:4], os.geteuid() + 1, *found[5:]])

    monkeypatch.setattr(Path, "lstat", as_another_user_s)
    assert is_last(find(), tmp_path)
    assert mode(named) == 0o755


def test_a_link_to_a_folder_is_not_used(named, tmp_path):
    """Not even to one of the user's own."""
    (tmp_path / "own").mkdir(0o700)
    named.parent.mkdir(parents=True)
    named.symlink_to(tmp_path / "own")
    assert is_last(find(), tmp_path)


def test_a_file_in_the_place_of_the_folder_is_not_used(named, tmp_path):
    """Nor is it an error."""
    named.parent.mkdir(parents=True)
    named.touch()
    assert is_last(find(), tmp_path)


def test_a_folder_that_anybody_can_rename_is_not_used(named, tmp_path):
    """Where anybody may rename, the user's folder could be exchanged; a sticky folder lets the owner alone do so."""
    named.mkdir(parents=True, mode=0o700)
    named.parent.chmod(0o777)
    assert is_last(find(), tmp_path)
    named.parent.chmod(0o1777)
    assert find() == named


FOLDERS = """
import subprocess, sys
from t3sim import compiled
print(compiled.cache_folder(), flush=True)
if len(sys.argv) > 1:
    subprocess.run([sys.executable, "-c", sys.argv[1]], check=True)
"""


@pytest.fixture
def without_cache(tmp_path):
    """Give an environment without a usable user cache, and with a folder of somebody's where temporary files go."""
    temporary = tmp_path / "tmp"
    planted = temporary / "t3sim"
    planted.mkdir(parents=True)
    for folder in (temporary, planted):
        folder.chmod(0o1777)
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "cache")
    kept = {name: value for name, value in os.environ.items() if name != compiled.SHARED}
    return {**kept, "NUMBA_CACHE_DIR": nowhere, "XDG_CACHE_HOME": nowhere, "TMPDIR": str(temporary)}


def test_without_a_cache_a_private_folder_is_shared_with_workers_and_removed(without_cache):
    """The folder has a name that nobody can know before, one warning is given for all processes, nothing is left."""
    command = [sys.executable, "-c", FOLDERS + "print(oct(compiled.cache_folder().lstat().st_mode))", FOLDERS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=without_cache)
    folder, workers, bits = done.stdout.split()
    temporary = Path(without_cache["TMPDIR"])
    assert folder == workers
    assert Path(folder).is_relative_to(temporary)
    assert not Path(folder).is_relative_to(temporary / "t3sim")
    assert bits.endswith("40700")
    assert done.stderr.count("\n") == done.stderr.count("no cache folder that is yours alone") == 1
    assert [path.name for path in temporary.iterdir()] == ["t3sim"]
    assert not list((temporary / "t3sim").iterdir())


def test_a_shared_folder_is_checked_as_any_other(without_cache, tmp_path):
    """What the variable for workers names is not used when it is not the user's alone."""
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    environment = {**without_cache, compiled.SHARED: str(open_to_all)}
    command = [sys.executable, "-c", FOLDERS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert not Path(done.stdout.strip()).is_relative_to(open_to_all)
    assert "no cache folder that is yours alone" in done.stderr


def test_a_user_without_a_home_is_no_error(without_cache):
    """Where nothing says what the user's home is, the private folder is taken."""
    del without_cache["XDG_CACHE_HOME"]
    nameless = "import pwd; pwd.getpwuid = {}.__getitem__\n"
    environment = {name: value for name, value in without_cache.items() if name != "HOME"}
    command = [sys.executable, "-c", nameless + FOLDERS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    assert Path(done.stdout.strip()).is_relative_to(without_cache["TMPDIR"])


PLAIN = """
import sys
from t3sim import compiled
from t3sim.results import COLUMN_NAMES
from t3sim.simulation import simulate
row = simulate(sys.argv[1], sublayers=["op"], schemes=["t3"], system=sys.argv[2], overrides=sys.argv[3:]).rows[0]
print(compiled.PLAIN, compiled.uncached(), "|", [(name, row[name]) for name in COLUMN_NAMES if name != "wall_s"])
"""


TINY = ("compute.cus=4", "compute.store_buffer=16 KiB", "gemm.tile_m=16", "gemm.tile_n=16", "tracker.entries=64")


@pytest.fixture
def tiny_trace(tiny_settings, tmp_path):
    """Write the trace of a tiny model, which fits systems changed by TINY."""
    path = tmp_path / "trace.yaml"
    trace = transformer_trace(load_model(tiny_settings["model"], folder=tmp_path).spec, 2)
    path.write_text(render_trace(trace), encoding="utf-8")
    return str(path)


def said(*arguments, disabled):
    """Run Python without warnings; what it prints."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": disabled}
    command = [sys.executable, "-W", "error", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.mark.parametrize("system", ["t3-paper", "t3-paper-banked"])
def test_compiled_functions_run_as_plain_python_too(tiny_trace, system):
    """With NUMBA_DISABLE_JIT=1, both memory models give the compiled functions' results to the last digit."""
    compiled, plain = (said("-c", PLAIN, tiny_trace, system, *TINY, disabled=each).split("|") for each in "01")
    assert compiled[0].startswith("False ")
    assert plain[0] == "True () "
    assert compiled[1] == plain[1]


def test_the_command_line_runs_without_compiling(tiny_trace):
    """`t3sim run`, which asks what is to be compiled first, gives the same results either way."""
    changes = [word for change in TINY for word in ("--set", change)]
    command = ("-m", "t3sim", "run", tiny_trace, "--sublayer", "op", "--scheme", "t3", *changes)
    plain = said(*command, disabled="1")
    assert "t3-paper" in plain
    assert plain == said(*command, disabled="0")


class Point(NamedTuple):
    """A part of a record."""

    x: int
    y: int


class Speed(NamedTuple):
    """Another."""

    rate: int


def test_a_record_has_the_fields_of_its_parts(counted):
    """Kernels read a row by the names of the tuples it was made of, and set its fields."""

    @compiled.compiled
    def moved(rows):
        row = rows[0]
        row.x += row.rate
        return row.x * 100 + row.y

    row = compiled.record_of(Point(3, 4), Speed(20))
    assert moved(row) == 2304
    assert row["x"][0] == 23
    assert counted[-1] is moved


def test_rows_of_the_same_fields_have_one_type():
    """Numba tells types of rows apart by object, and would compile anew for another."""
    assert compiled.record_of(Point(1, 2)).dtype is compiled.record_of(Point(5, 6)).dtype


def tables(start):
    """Give two tables of numbers from ``start`` on."""
    rows = np.zeros(3, compiled.record_type("a", "b"))
    rows["a"], rows["b"] = range(start, start + 3), range(start + 3, start + 6)
    return {"rows": rows, "numbers": np.arange(start, start + 4)}


def values(found):
    return {name: table.tolist() for name, table in found.items()}


BLOCK = compiled.record_type("u", "v", "w", "x")


def test_packed_tables_keep_values_and_types():
    """Packing changes nothing but where the tables are: ten numbers are three blocks of four."""
    packed, blocks = compiled.packed(tables(5), BLOCK)
    assert values(packed) == values(tables(5))
    assert packed["rows"].dtype == tables(0)["rows"].dtype
    assert len(blocks) == 3


def test_packed_tables_are_copied_at_one_go():
    """What is copied block by block is every table, and the copy has its own afterwards."""
    (first, copied), (second, blocks) = (compiled.packed(tables(start), BLOCK) for start in (5, 100))
    copied[:] = blocks
    assert values(first) == values(tables(100))
    second["numbers"][0] = second["rows"]["b"][1] = -1
    assert values(first) == values(tables(100))


def test_a_renamed_function_means_something_else_by_a_name(counted):
    """The same code under another name, with a global name of another meaning; the first one keeps its own."""
    other = compiled.compiled(compiled.renamed(scaled, "ByTen", factor=10))
    assert other.__name__ == "scaledByTen"
    assert (other(3), scaled(3)) == (30, 6)
    assert counted[-1] is other


factor = 2


def scaled(value):
    return value * factor
