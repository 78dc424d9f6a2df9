"""The numbers of a system as parameters to vary: each a given factor smaller and larger, where that is valid."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from t3sim import units
from t3sim.config import Loaded
from t3sim.errors import InputError
from t3sim.results.provenance import plain
from t3sim.simulation import SystemSpec
from t3sim.sweeps import values

FACTORS: Mapping[str, Fraction] = {"-50%": Fraction(1, 2), "+50%": Fraction(3, 2)}
"""What is done to each parameter, one at a time."""

_DIGITS = 6
_HEADER = ("format", "version")

Valid = Callable[[str, Any], object]
"""Tries a value at a key of the system; raises ``InputError`` where no system takes it."""


@dataclass(slots=True)
class Parameter:
    """One number of a system."""

    key: str
    """Dotted path in the system."""
    value: values.Number
    changed: dict[str, values.Number] = field(default_factory=dict)
    """Its values by change."""
    refused: dict[str, str] = field(default_factory=dict)
    """Why a change was not made."""


def parameters(system: Loaded[SystemSpec], valid: Valid) -> Iterator[Parameter]:
    """Yield every number and quantity that the system's files give, in their order, with its valid changes.

    Whole numbers stay whole, halves rounded up. Switches and names are no parameters.
    """
    data = {key: item for key, item in plain(system.resolved).items() if key not in _HEADER}
    for key, value in _numbers(data, ""):
        parameter = Parameter(key, value)
        for name, factor in FACTORS.items():
            changed = _scaled(value, factor)
            try:
                if changed == value:
                    parameter.refused[name] = "is zero" if not _amount(value) else "rounds to the value itself"
                else:
                    valid(key, changed)
                    parameter.changed[name] = changed
            except InputError as error:
                parameter.refused[name] = f"{values.text(changed)} is not valid: {error.problems[0].message}"
        yield parameter


def _numbers(node: Any, path: str) -> Iterator[tuple[str, values.Number]]:
    if isinstance(node, dict | list):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _numbers(item, f"{path}.{key}" if path else str(key))
    elif _amount(node) is not None:
        yield path, node


def _amount(value: Any) -> Fraction | None:
    """Read a number, or a quantity in base units; ``None`` for what is neither."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, str):
        try:
            return Fraction(units.dimension_of(value).parse(value))
        except ValueError:
            return None
    return Fraction(value)


def _scaled(value: values.Number, factor: Fraction) -> values.Number:
    if isinstance(value, str):
        dimension = units.dimension_of(value)
        return values.written(_rounded(dimension.parse(value) * factor), units.unit_of(value), dimension)
    if isinstance(value, int):
        return _rounded(value * factor)
    return float(f"{float(value * factor):.{_DIGITS}g}")


def _rounded(amount: Fraction) -> int:
    return math.floor(amount + Fraction(1, 2))
