"""Quantities as whole numbers of base units: femtoseconds, bytes, bytes per second, hertz.

Whole numbers never drift, and conversions round time up: nothing is faster than specified.
GB is 10^9 bytes and GiB is 2^30 bytes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

FS_PER_S: Final = 10**15
"""Femtoseconds in a second."""
FS_PER_US: Final = 10**9
"""Femtoseconds in a microsecond: results are in us."""
FS_PER_NS: Final = 10**6
"""Femtoseconds in a nanosecond."""

_LARGEST: Final = 2**63 - 1  # compiled functions hold every quantity in a signed 64-bit integer
# The lengths are bounded so that no text can ask for a number of a million digits.
_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,2})?)"
    r"[ \t]*(?P<unit>[^\s0-9.+-]\S*)?"
)
_METRIC: Final = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTES: Final = (
    {"B": 1}
    | {f"{prefix}B": factor for prefix, factor in _METRIC.items()}
    | {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One kind of quantity: how it is called, its base unit, its units, and an example to show."""

    name: str
    base: str
    example: str
    units: Mapping[str, int | Fraction]

    def known(self) -> str:
        """Return the units that are accepted, as text for an error message."""
        return ", ".join(self.units)

    def lacks_unit(self, number: str) -> str:
        """Return the error message for a number without a unit."""
        return f"{number} has no unit; known: {self.known()}"

    def parse(self, text: str) -> int:
        """Return the quantity in base units, exactly.

        Raises ValueError when the text is not a number and a known unit, or when the quantity is
        negative, not a whole number of base units, or too large for 64 bits.
        """
        match = _QUANTITY.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a {self.name}; write a number and a unit, as in {self.example!r}")
        unit = match["unit"]
        if unit is None:
            raise ValueError(self.lacks_unit(repr(text)))
        if unit not in self.units:
            raise ValueError(f"{text!r} has an unknown unit; known for a {self.name}: {self.known()}")
        return self._whole(Fraction(match["number"]) * self.units[unit], text)

    def _whole(self, amount: Fraction, text: str) -> int:
        if amount < 0:
            raise ValueError(f"{text!r} is negative")
        if amount.denominator != 1:
            raise ValueError(f"{text!r} is not a whole number of {self.base}")
        if amount > _LARGEST:
            raise ValueError(f"{text!r} is more than {_LARGEST} {self.base}")
        return int(amount)


SIZE: Final = Dimension(name="size", base="bytes", example="16 MiB", units=_BYTES)
DURATION: Final = Dimension(
    name="duration",
    base="fs",
    example="500 ns",
    units={"fs": 1, "ps": 10**3, "ns": FS_PER_NS, "us": FS_PER_US, "µs": FS_PER_US, "ms": 10**12, "s": FS_PER_S},
)
RATE: Final = Dimension(
    name="rate",
    base="bytes/s",
    example="75 GB/s",
    units={f"{unit}/s": factor for unit, factor in _BYTES.items()}
    # Links are sold in bits; spelling out 'bit' keeps Gb/s from being read as GB/s.
    | {f"{prefix}bit/s": Fraction(factor, 8) for prefix, factor in _METRIC.items()},
)
FREQUENCY: Final = Dimension(
    name="frequency",
    base="Hz",
    example="1.4 GHz",
    units={"Hz": 1} | {f"{prefix}Hz": _METRIC[prefix] for prefix in "kMG"},
)


DIMENSIONS: Final = (SIZE, DURATION, RATE, FREQUENCY)


def dimension_of(text: str) -> Dimension:
    """Return the dimension whose unit a quantity such as '16 MiB' has; ValueError when there is none."""
    unit = unit_of(text)
    for dimension in DIMENSIONS:
        if unit in dimension.units:
            return dimension
    known = ", ".join(unit for dimension in DIMENSIONS for unit in dimension.units)
    raise ValueError(f"{text!r} is not a number and a known unit; known: {known}")


def unit_of(text: str) -> str:
    """Return the unit that stands in a quantity such as '16 MiB', known or not; '' when there is none."""
    match = _QUANTITY.fullmatch(text.strip())
    return (match["unit"] or "") if match else ""


def ceil_div(dividend: int, divisor: int) -> int:
    """Return dividend / divisor rounded up; ZeroDivisionError for a divisor of 0."""
    return -(-dividend // divisor)


def transfer_fs(nbytes: int, bytes_per_s: int) -> int:
    """Return the femtoseconds that `nbytes` take at a rate, rounded up."""
    return ceil_div(nbytes * FS_PER_S, bytes_per_s)
