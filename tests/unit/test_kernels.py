"""Compiled kernels: compiled once, kept on disk, and counted."""

from pathlib import Path

import pytest

from t3sim import kernels
from t3sim.simulation import simulate


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
    """One run compiles every kernel that it needs and keeps it on disk, so that no later run compiles."""
    simulate("t-nlg-tp16", sublayers=["op"], schemes=["t3-mca"])
    assert not [name for name in kernels.uncached() if name not in {"sum_to", "never_called"}]


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
