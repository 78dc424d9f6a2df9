"""Validation: figures that others measured, published or simulated, and the model's beside them.

A family of figures is one file in this folder, found by its registration. The figures themselves are small tables
with their sources in ``configs/measured``.
"""

import importlib
import pkgutil
from functools import cache

from t3sim.registry import get, names
from t3sim.validation.comparison import KIND, Check, WithNotes, summary

__all__ = ["Check", "WithNotes", "against", "checks", "summary"]


@cache
def _load_families() -> None:
    """Import every file of this folder: when asked for, since some bring kernels that no other command needs."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


def against() -> tuple[str, ...]:
    """Names of what the model can be validated against, as ``--against`` takes them."""
    _load_families()
    return tuple(sorted({get(KIND, name).against for name in names(KIND)}))


def checks(wanted: str | None = None) -> dict[str, Check]:
    """Build the registered checks against ``wanted`` by name; none wanted: all."""
    _load_families()
    return {name: get(KIND, name)() for name in names(KIND) if wanted in (None, get(KIND, name).against)}
