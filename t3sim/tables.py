"""Tables in compiled code: many arrays of rows, handed over as one address.

Compiled code that is handed a tuple of arrays takes every field of every array apart, and so does each function that
is inlined into it: with fifty tables that takes minutes to compile and microseconds to call. Here a function gets one
number, where the addresses of all tables lie, and reads the address of a table where it uses one. Written
``state.name[row].field``, as it would be of a tuple of arrays; what is written so runs uncompiled on just that.

Indices are not checked. A table is one-dimensional; its rows are records of 64-bit integers, or such integers.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from t3sim import lazy
from t3sim.compiled import PLAIN

if TYPE_CHECKING:
    from t3sim import table_types
else:
    table_types = lazy.module("t3sim.table_types")

T = TypeVar("T", bound=tuple[Any, ...])


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


class _Opener:
    """Stands in compiled code for the function that opens tables."""

    def __init__(self, title: str, rows: dict[str, np.dtype[Any]]) -> None:
        self._title = title
        self._rows = rows

    @cached_property
    def _numba_type_(self) -> Any:
        """Let numba, which asks every object that it meets for this, know what it does."""
        return table_types.type_of_opener(self._title, self._rows)


def opener(tables: type[T], rows: Mapping[str, np.dtype[Any]]) -> Callable[[T], T]:
    """Make what compiled code calls first, with ``Directory.address``. ``rows``: by table, the type of a row."""
    if PLAIN:
        return lambda found: found
    names = cast("Any", tables)._fields
    return cast("Callable[[T], T]", _Opener(tables.__name__, {name: rows[name] for name in names}))
