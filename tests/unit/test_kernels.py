"""Compiled kernels: compiled once, kept on disk, and counted."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from t3sim import kernels


@pytest.fixture
def counted(monkeypatch):
    """Give the list of kernels, restored after the test."""
    known = list(kernels._dispatchers)
    monkeypatch.setattr(kernels, "_dispatchers", known)
    return known


def sum_to(n):
    total = 0
    for i in range(n + 1):
        total += i
    return total


def test_a_kernel_computes_what_its_source_says(counted):
    """A compiled function gives what the plain one gives, and is on the list of kernels."""
    compiled = kernels.kernel(sum_to)
    assert compiled(100) == sum_to(100) == 5050
    assert counted[-1] is compiled


def test_a_kernel_that_never_ran_is_named(counted):
    """Until its first call, a kernel is reported as one that will have to be compiled."""
    kernels.kernel(sum_to)(1)

    def never_called(n):
        return n

    kernels.kernel(never_called)
    assert "never_called" in kernels.uncached()
    assert kernels.uncached().count("never_called") == 1
    del counted


def test_nothing_is_left_to_compile_after_a_run():
    """One run compiles every kernel that runs need and keeps it on disk, so that no later run compiles."""
    run = "t3sim.cli, t3sim.simulation, t3sim.kernels as kernels"
    call = 't3sim.simulation.simulate("t-nlg-tp16", sublayers=["op"], schemes=["t3-mca"])'
    # In a process of its own: other tests load kernels that no run needs.
    command = [sys.executable, "-c", f"import {run}; {call}; print(kernels.uncached())"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "()"


def test_the_cache_is_a_folder():
    """Compiled kernels are kept where a person can find and delete them."""
    folder = kernels.cache_folder()
    assert isinstance(folder, Path)
    assert folder.is_dir()


def test_no_folder_to_write_to_is_no_error(monkeypatch):
    """Where no cache folder can be written to, there is none, and kernels are compiled for this process alone."""
    monkeypatch.setattr(kernels.os, "access", lambda *_: False)
    assert kernels.cache_folder.__wrapped__() is None
    monkeypatch.setattr(kernels, "cache_folder", lambda: None)
    monkeypatch.setattr(kernels, "_dispatchers", [])

    @kernels.kernel
    def twice(value):
        return 2 * value

    assert twice(21) == 42
    assert kernels.uncached() == ("twice",)


class Point(NamedTuple):
    """A part of a record."""

    x: int
    y: int


class Speed(NamedTuple):
    """Another."""

    rate: int


def test_a_record_has_the_fields_of_its_parts(counted):
    """Kernels read a row by the names of the tuples it was made of, and set its fields."""

    @kernels.kernel
    def moved(rows):
        row = rows[0]
        row.x += row.rate
        return row.x * 100 + row.y

    row = kernels.record_of(Point(3, 4), Speed(20))
    assert moved(row) == 2304
    assert row["x"][0] == 23
    assert counted[-1] is moved


def test_rows_of_the_same_fields_have_one_type():
    """Numba tells types of rows apart by object, and would compile anew for another."""
    assert kernels.record_of(Point(1, 2)).dtype is kernels.record_of(Point(5, 6)).dtype


class Inner(NamedTuple):
    """Arrays inside."""

    rows: np.ndarray
    grid: np.ndarray


class Outer(NamedTuple):
    """Arrays around."""

    inner: Inner
    last: np.ndarray


def outer(start):
    rows = np.zeros(3, kernels.record_type("a", "b"))
    rows["a"], rows["b"] = range(start, start + 3), range(start + 3, start + 6)
    return Outer(Inner(rows, np.arange(start, start + 4).reshape(2, 2)), np.array([start + 9]))


def values(arrays):
    return arrays.inner.rows.tolist(), arrays.inner.grid.tolist(), arrays.last.tolist()


def test_packed_arrays_keep_values_types_and_shapes():
    """Packing changes nothing but where the arrays are."""
    packed = kernels.Packed(outer(5)).arrays
    assert values(packed) == values(outer(5))
    assert packed.inner.rows.dtype == outer(0).inner.rows.dtype
    assert isinstance(packed.inner, Inner)


def test_packed_arrays_are_copied_at_one_go():
    """A copy has the values of the other in every array, and its own afterwards."""
    first, second = kernels.Packed(outer(5)), kernels.Packed(outer(100))
    first.copy_from(second)
    assert values(first.arrays) == values(outer(100))
    second.arrays.last[0] = -1
    second.arrays.inner.rows["b"] = -1
    assert values(first.arrays) == values(outer(100))
