"""Imports that are put off."""

import subprocess
import sys

import pytest

import t3sim
from t3sim import lazy

PROGRAM = """
import sys
from t3sim import lazy
wave = lazy.module("wave")
before = "wave" in sys.modules
name = wave.open.__name__
print(before, name, "wave" in sys.modules, wave.open is sys.modules["wave"].open, "open" in vars(wave))
"""


def test_a_module_comes_with_its_first_use():
    """Standing for a module imports nothing; asking for something of it does, and finds it at once from then on."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "open", "True", "True", "True"]


def test_a_module_that_does_not_exist_is_missed_at_its_first_use():
    """The error is that of an import, and one for a missing name that of any module."""
    missing = lazy.module("t3sim.no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        missing.anything  # noqa: B018
    with pytest.raises(AttributeError, match="no_such_name"):
        lazy.module("math").no_such_name  # noqa: B018


def test_a_package_hands_on_what_it_exports():
    """What a package puts off is found by its name, as what its own module has, and nothing else is."""
    find = lazy.exports("t3sim", simulate="t3sim.simulation.run")
    assert find("simulate") is t3sim.simulate
    with pytest.raises(AttributeError, match="module 't3sim' has no attribute 'stimulate'"):
        find("stimulate")
    with pytest.raises(ImportError, match="stimulate"):
        from t3sim import stimulate  # noqa: F401, PLC0415
