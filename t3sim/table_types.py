"""The types by which numba knows tables (see ``tables``), and how their rows are reached."""

# numba's modules for extensions have no types.
# mypy: disable-error-code="no-untyped-call, untyped-decorator, override"
import operator
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.registry import cpu_target
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_global, signature
from numba.extending import infer_getattr, intrinsic, lower_builtin, lower_getattr_generic, register_model

_BYTE, _WORD = ir.IntType(8), ir.IntType(64)
_WORD_BYTES = 8


def type_of_opener(title: str, rows: dict[str, np.dtype[Any]]) -> Any:
    """Make the type of a function that takes an address for that of tables with these names and types of rows."""
    found = _TablesType(title, tuple((name, _TableType(f"{title}.{name}", _row_type(rows[name]))) for name in rows))

    def typed(_typing: Any, _address: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], _WORD.as_pointer())

        return found(types.int64), generate

    made: Any = intrinsic
    cpu_target.typing_context.refresh()
    function = made(typed)
    cpu_target.typing_context.refresh()
    return cpu_target.typing_context.resolve_value_type(function)


def type_by_kind(title: str, found: Any) -> Any:
    """Make the type of a function that is one of ``found``, by the title of the tables that it is handed first."""
    return _ByKind(title, found)


def _row_type(row: np.dtype[Any]) -> Any:
    known: Any = numba
    return types.int64 if row == np.int64 else known.from_dtype(row)


class _TableType(types.Type):
    def __init__(self, title: str, row: Any) -> None:
        self.row = row
        super().__init__(name=title)  # a type is known by its name, and all of it is in the name of compiled functions


class _TablesType(types.Type):
    def __init__(self, title: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.fields = fields
        self.places = {name: place for place, (name, _) in enumerate(fields)}
        super().__init__(name=title)


class _ByKind(types.Callable, types.Dummy):
    """Several functions of which the first argument's type names one."""

    def __init__(self, title: str, found: Any) -> None:
        self._title, self._found = title, found
        super().__init__(name=f"by kind of {title}, {id(found)}")

    def _of(self, arguments: Any) -> Any:
        return self._found[arguments[0].name.removeprefix(self._title)]._numba_type_

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        return self._of(args).get_call_type(context, args, kws)

    def get_call_signatures(self) -> Any:
        return (), True

    def get_impl_key(self, sig: Any) -> Any:
        return self._of(sig.args).get_impl_key(sig)


@register_model(_ByKind)
class _ByKindModel(models.OpaqueModel):
    pass


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
    address = builder.load(place)
    # Tables stay where they are while compiled code runs: it need not look again after it has written to one.
    address.set_metadata("invariant.load", builder.module.add_metadata([]))
    return builder.inttoptr(address, _BYTE.as_pointer())


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
        cgutils.raw_memcpy(builder, place, value, ir.Constant(_WORD, row.size), 1, align=_WORD_BYTES)
    else:
        builder.store(value, builder.bitcast(place, _WORD.as_pointer()))
    return context.get_dummy_value()


def _place(builder: Any, row: Any, table: Any, index: Any) -> Any:
    size = row.size if isinstance(row, types.Record) else _WORD_BYTES
    return builder.gep(table, [builder.mul(index, ir.Constant(_WORD, size))])
