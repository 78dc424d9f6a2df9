"""Values of axes: ranges of plain numbers and of quantities with units, sampling, and the text that shows a value."""

import itertools
import json
import math
import random
from collections.abc import Collection, Iterator, Sequence
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


class ValueRange:
    """The values from ``start`` to ``stop``; raises ``ValueError`` for ends that span nothing.

    Whole numbers span whole numbers; quantities are whole in their base unit and keep the unit of ``start``.
    """

    def __init__(self, start: Number, stop: Number, scale: str) -> None:
        """``scale``: ``linear`` or ``log``."""
        self._written = start, stop
        self._whole = isinstance(start, int) and isinstance(stop, int)
        self._dimension: units.Dimension | None = None
        if isinstance(start, str) != isinstance(stop, str):
            raise ValueError("both ends need a unit, or none of them")
        if isinstance(start, str) and isinstance(stop, str):
            self._dimension = units.dimension_of(start)
            self._unit = units.unit_of(start)
            first, last = float(self._dimension.parse(start)), float(self._dimension.parse(stop))
        else:
            first, last = float(start), float(stop)
        if first == last:
            raise ValueError("spans nothing: 'from' and 'to' are equal")
        if scale == "log" and min(first, last) <= 0:
            raise ValueError("a log range has ends above zero")
        self._is_log = scale == "log"
        self._first, self._last = (math.log(first), math.log(last)) if self._is_log else (first, last)

    def at(self, share: float) -> Number:
        """Return the value at ``share`` of the way, 0 to 1, measured on the scale of the span."""
        if share in (0, 1):  # the ends stay as they were written
            return self._written[int(share)]
        place = self._first + share * (self._last - self._first)
        value = math.exp(place) if self._is_log else place
        if self._dimension is not None:
            return written(round(value), self._unit, self._dimension)
        return round(value) if self._whole else float(f"{value:.{_DIGITS}g}")


def written(amount: int, unit: str, dimension: units.Dimension) -> str:
    """Write whole base units of a quantity in ``unit``, to six digits; in base units where that is none."""
    short = f"{float(amount / dimension.units[unit]):.{_DIGITS}g} {unit}"
    try:
        dimension.parse(short)
    except ValueError:  # a part of a byte
        return f"{amount} {next(base for base, factor in dimension.units.items() if factor == 1)}"
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
