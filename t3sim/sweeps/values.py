"""Values of axes: ranges of plain numbers and of quantities with units, sampling, and the text that shows a value."""

import itertools
import json
import math
import random
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from t3sim import units

Number = int | float | str
"""A plain number, or text of a number with a unit."""

_DIGITS = 6  # significant digits of a value between the ends of a range


def text(value: Any) -> str:
    """Show a value in one line, the same in every process: text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def product(lists: Collection[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield every combination, the last list varying fastest."""
    return itertools.product(*lists)


@dataclass(frozen=True, slots=True)
class Span:
    """The values from ``start`` to ``stop``; raises ``ValueError`` for ends that span nothing.

    Whole numbers span whole numbers; quantities are whole in their base unit and keep the unit of ``start``.
    """

    start: Number
    stop: Number
    scale: str

    def __post_init__(self) -> None:
        first, last = self._ends()
        if first == last:
            raise ValueError("spans nothing: 'from' and 'to' are equal")
        if self.scale == "log" and min(first, last) <= 0:
            raise ValueError("a log range has ends above zero")

    def at(self, share: float) -> Number:
        """Return the value at ``share`` of the way, 0 to 1, measured on the scale of the span."""
        if share in (0, 1):  # the ends stay as they were written
            return self.stop if share else self.start
        first, last = self._ends()
        if self.scale == "log":
            value = math.exp(math.log(first) + share * (math.log(last) - math.log(first)))
        else:
            value = first + share * (last - first)
        if isinstance(self.start, int) and isinstance(self.stop, int):
            return round(value)
        if isinstance(self.start, str):
            return _written(round(value), self.start)
        return float(f"{value:.{_DIGITS}g}")

    def _ends(self) -> tuple[float, float]:
        if isinstance(self.start, str) != isinstance(self.stop, str):
            raise ValueError("both ends need a unit, or none of them")
        if isinstance(self.start, str) and isinstance(self.stop, str):
            dimension = units.dimension_of(self.start)
            return dimension.parse(self.start), dimension.parse(self.stop)
        return float(self.start), float(self.stop)


def _written(amount: int, like: str) -> str:
    """Write whole base units in the unit of ``like``, to a few digits; in base units where that is none."""
    dimension = units.dimension_of(like)
    unit = units.unit_of(like)
    short = f"{float(Fraction(amount) / dimension.units[unit]):.{_DIGITS}g} {unit}"
    try:
        dimension.parse(short)
    except ValueError:  # a part of a byte
        base = next(unit for unit, factor in dimension.units.items() if factor == 1)
        return f"{amount} {base}"
    return short


def independent(count: int, dimensions: int, seed: int) -> Iterator[tuple[float, ...]]:
    """Yield ``count`` places in the unit cube, each coordinate uniform in [0, 1)."""
    draw = random.Random(seed).random  # noqa: S311 - sampling; its stream is the same in every version of Python
    for _ in range(count):
        yield tuple(draw() for _ in range(dimensions))


def latin_hypercube(count: int, dimensions: int, seed: int) -> Iterator[tuple[float, ...]]:
    """Yield ``count`` places of which each of ``count`` slices of each coordinate holds one (McKay et al., 1979)."""
    draw = random.Random(seed).random  # noqa: S311 - as above
    columns = []
    for _ in range(dimensions):
        order = sorted(range(count), key=[draw() for _ in range(count)].__getitem__)
        columns.append([(stratum + draw()) / count for stratum in order])
    return zip(*columns, strict=True)
