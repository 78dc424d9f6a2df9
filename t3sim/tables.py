"""Tables in compiled code: many arrays of rows, handed over as one address.

Compiled code that is handed a tuple of arrays takes every field of every array apart, and so does each function that
is inlined into it: with fifty tables that takes minutes to compile and microseconds to call. Here a function gets one
number, where the addresses of all tables lie, and reads the address of a table where it uses one. Written
``state.name[row].field``, as it would be of a tuple of arrays; what is written so runs uncompiled on just that.

Indices are not checked. A table is one-dimensional; its rows are records of 64-bit integers, or such integers.
"""

# numba's modules for extensions have no types.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, override"
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
from numba.extending import infer_getattr, intrinsic, lower_builtin, lower_getattr_generic, register_model
from numpy.typing import NDArray

from t3sim.compiled import PLAIN

T = TypeVar("T", bound=tuple[Any, ...])

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_WORD_BYTES = 8


class Directory:
    """Where the tables of one sort of tuple lie."""

    def __init__(self, tables: Any) -> None:
        """Take a ``NamedTuple`` of one-dimensional contiguous arrays, and keep it from going away."""
        self._tables = tables
        for table in tables:
            assert table.shape == (table.size,), "compiled code sees rows one after the other"
            assert table.flags.c_contiguous, "and nothing between them"
        self._addresses: NDArray[np.int64] = np.array([table.ctypes.data for table in tables], np.int64)
        self.address: Any = tables if PLAIN else int(self._addresses.ctypes.data)
        """What compiled code is handed."""


def opener(tables: type[T], rows: Mapping[str, np.dtype[Any]]) -> Callable[[T], T]:
    """Make what compiled code calls first, with ``Directory.address``. ``rows``: by table, the type of a row."""
    if PLAIN:
        return lambda found: found
    title = tables.__name__
    found = _TablesType(
        title,
        tuple((name, _TableType(f"{title}.{name}", _row_type(rows[name]))) for name in cast("Any", tables)._fields),
    )

    def typed(_typing: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], _WORD.as_pointer())

        return found(types.int64), generate

    return cast("Callable[[T], T]", cast("Any", intrinsic)(typed))


def _row_type(row: np.dtype[Any]) -> Any:
    return types.int64 if row == np.int64 else cast("Any", numba).from_dtype(row)


class _TableType(types.Type):
    def __init__(self, title: str, row: Any) -> None:
        self.row = row
        super().__init__(name=title)  # a type is known by its name, and all of it is in the name of compiled functions


class _TablesType(types.Type):
    def __init__(self, title: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.fields = fields
        self.places = {name: place for place, (name, _) in enumerate(fields)}
        super().__init__(name=title)


if not PLAIN:

    @register_model(_TableType)
    class _TableModel(models.PrimitiveModel):
        def __init__(self, manager: Any, of: Any) -> None:
            super().__init__(manager, of, _BYTE.as_pointer())

    @register_model(_TablesType)
    class _TablesModel(models.PrimitiveModel):
        def __init__(self, manager: Any, of: Any) -> None:
            super().__init__(manager, of, _WORD.as_pointer())

    @infer_getattr
    class _Tables(AttributeTemplate):
        key = _TablesType

        def generic_resolve(self, tables: Any, name: str) -> Any:
            place = tables.places.get(name)
            return None if place is None else tables.fields[place][1]

    @infer_global(operator.getitem)
    class _Get(AbstractTemplate):
        def generic(self, arguments: Any, named: Any) -> Any:
            table, index = arguments
            if not named and isinstance(table, _TableType) and isinstance(index, types.Integer):
                return signature(table.row, table, types.intp)
            return None

    @infer_global(operator.setitem)
    class _Set(AbstractTemplate):
        def generic(self, arguments: Any, named: Any) -> Any:
            table, index, _ = arguments
            if not named and isinstance(table, _TableType) and isinstance(index, types.Integer):
                return signature(types.none, table, types.intp, table.row)
            return None

    @lower_getattr_generic(_TablesType)
    def _table(_context: Any, builder: Any, tables: Any, value: Any, name: str) -> Any:
        place = builder.gep(value, [ir.Constant(_WORD, tables.places[name])])
        return builder.inttoptr(builder.load(place), _BYTE.as_pointer())

    @lower_builtin(operator.getitem, _TableType, types.intp)
    def _get(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        row = sig.args[0].row
        place = _place(builder, row, *arguments)
        if isinstance(row, types.Record):
            return builder.bitcast(place, context.get_value_type(row))
        return builder.load(builder.bitcast(place, _WORD.as_pointer()))

    @lower_builtin(operator.setitem, _TableType, types.intp, types.Any)
    def _set(context: Any, builder: Any, sig: Any, arguments: Any) -> Any:
        row, (table, index, value) = sig.args[0].row, arguments
        place = _place(builder, row, table, index)
        if isinstance(row, types.Record):
            cgutils.memcpy(builder, place, builder.bitcast(value, place.type), ir.Constant(_WORD, row.size))
        else:
            builder.store(value, builder.bitcast(place, _WORD.as_pointer()))
        return context.get_dummy_value()


def _place(builder: Any, row: Any, table: Any, index: Any) -> Any:
    size = row.size if isinstance(row, types.Record) else _WORD_BYTES
    return builder.gep(table, [builder.mul(index, ir.Constant(_WORD, size))])
