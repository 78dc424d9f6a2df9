"""Bits of integers, for compiled functions: what numba has no word for, but the processor an instruction."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from t3sim import lazy
from t3sim.compiled import PLAIN

if TYPE_CHECKING:
    from llvmlite import ir
    from numba import extending, types
    from numba.core import registry
else:
    ir = lazy.module("llvmlite.ir")
    types = lazy.module("numba.types")
    registry = lazy.module("numba.core.registry")
    extending = lazy.module("numba.extending")


def _count_trailing_zeros(_typing: Any, _value: Any) -> Any:
    def count(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), count


class _Instruction:
    """A processor's instruction, of which numba is told when it first meets it in what it compiles."""

    @cached_property
    def _numba_type_(self) -> Any:
        context: Any = registry.cpu_target.typing_context
        made = extending.intrinsic(_count_trailing_zeros)
        context.refresh()
        return context.resolve_value_type(made)


def _lowest_bit(value: int) -> int:
    """Do as the compiled one; of a plain integer, since a 64-bit one has no number for the negative of its least."""
    whole = int(value)
    return (whole & -whole).bit_length() - 1


lowest_bit: Callable[[int], int] = _lowest_bit if PLAIN else cast("Any", _Instruction())
"""Number of the lowest bit that is set in a 64-bit integer that is not 0; for use in compiled functions."""
