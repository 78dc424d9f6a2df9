"""Where the systems, models and traces that t3sim ships are found."""

from __future__ import annotations

from pathlib import Path

from t3sim.errors import T3SimError

_PACKAGE = Path(__file__).resolve().parent


def configs_dir() -> Path:
    """Folder with every shipped hardware and model config."""
    return _shipped("configs")


def systems_dir() -> Path:
    """Folder of the shipped systems, one NAME.yaml each."""
    return configs_dir() / "systems"


def drams_dir() -> Path:
    """Folder of the shipped DRAM organisations and timings, one NAME.yaml each."""
    return configs_dir() / "dram"


def models_dir() -> Path:
    """Folder of the shipped models, one NAME.yaml each."""
    return configs_dir() / "models"


def sweeps_dir() -> Path:
    """Folder of the shipped sweeps, one NAME.yaml each."""
    return configs_dir() / "sweeps"


def traces_dir() -> Path:
    """Folder of the shipped traces, one MODEL-tpN.yaml each."""
    return _shipped("traces")


def _shipped(name: str) -> Path:
    """Find a data folder: inside an installed package, or beside the package in a checkout.

    Raises:
        T3SimError: neither place has it, so the installation is incomplete.

    """
    places = (_PACKAGE / "_data" / name, _PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise T3SimError(f"t3sim is installed without its {name}: looked in {places[0]} and {places[1]}")
