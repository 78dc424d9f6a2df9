"""Bits of integers, for compiled functions: what numba has no word for, but the processor an instruction."""

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from t3sim.compiled import PLAIN


def _count_trailing_zeros(_typing: Any, _value: Any) -> Any:
    def count(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), count


def _lowest_bit(value: int) -> int:
    """Do as the compiled one; of a plain integer, since a 64-bit one has no number for the negative of its least."""
    whole = int(value)
    return (whole & -whole).bit_length() - 1


lowest_bit: Callable[[int], int] = _lowest_bit if PLAIN else cast("Any", intrinsic)(_count_trailing_zeros)
"""Number of the lowest bit that is set in a 64-bit integer that is not 0; for use in compiled functions."""
