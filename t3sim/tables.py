"""Tables in compiled code: many arrays of rows, handed over as one address.

Compiled code that is handed a tuple of arrays takes every field of every array apart, and so does each function that
is inlined into it: with fifty tables that takes minutes to compile and microseconds to call. Here a function gets one
number, where the addresses of all tables lie, and reads the address of a table where it uses one. Written
``state.name[row].field``, as it would be of a tuple of arrays; what is written so runs uncompiled on just that.

Indices are not checked. A table is one-dimensional; its rows are records of 64-bit integers, or such integers. One of
these may be the number of a directory: where other tables lie.

Where tables of one sort are worked on in several ways, each way has a kind of its own: a function may be another one
for each kind (``by_kind``), and code that is compiled for one kind has nothing of the others in it.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from t3sim import lazy
from t3sim.compiled import PLAIN

if TYPE_CHECKING:
    from t3sim import table_types
else:
    table_types = lazy.module("t3sim.table_types")

T = TypeVar("T", bound=tuple[Any, ...])
P = ParamSpec("P")
R = TypeVar("R")


class Directory:
    """Where the tables of one sort of tuple lie."""

    def __init__(self, tables: Any) -> None:
        """Take a ``NamedTuple`` of one-dimensional contiguous arrays, and keep it from going away."""
        self._tables = tables
        for table in tables:
            assert table.shape == (table.size,), "compiled code sees rows one after the other"
            assert table.flags.c_contiguous, "and nothing between them"
        self._addresses: NDArray[np.int64] = np.array([table.ctypes.data for table in tables], np.int64)
        self.number = int(self._addresses.ctypes.data)
        """By which a row of another table may name it."""
        self.address: Any = tables if PLAIN else self.number
        """What compiled code is handed."""
        if PLAIN:
            _NUMBERED[self.number] = self

    @property
    def tables(self) -> Any:
        """What it was made of."""
        return self._tables


_NUMBERED: WeakValueDictionary[int, Directory] = WeakValueDictionary()
"""Where nothing is compiled: the directories that there are."""


class _Opener:
    """Stands in compiled code for the function that opens tables."""

    def __init__(self, title: str, rows: dict[str, np.dtype[Any]]) -> None:
        self._title = title
        self._rows = rows

    @cached_property
    def _numba_type_(self) -> Any:
        """Let numba, which asks every object that it meets for this, know what it does."""
        return table_types.type_of_opener(self._title, self._rows)


def opener(tables: type[T], rows: Mapping[str, np.dtype[Any]], kind: str = "") -> Callable[[T], T]:
    """Make what compiled code calls first, with ``Directory.address``. ``rows``: by table, the type of a row.

    ``kind``: as what functions that differ by kind see the tables.
    """
    title = tables.__name__ + kind
    if PLAIN:
        plain = cast("Any", type(title, (tables,), {}))
        return lambda found: cast("T", plain(*found))
    names = cast("Any", tables)._fields
    return cast("Callable[[T], T]", _Opener(title, {name: rows[name] for name in names}))


def inner_opener(tables: type[T], rows: Mapping[str, np.dtype[Any]]) -> Callable[[int], T]:
    """Make what compiled code calls with ``Directory.number``, as it stands in a row."""
    if PLAIN:
        return lambda number: cast("T", _NUMBERED[int(number)].tables)
    return cast("Callable[[int], T]", opener(tables, rows))


class _ByKind:
    """Stands in compiled code for one of several functions."""

    def __init__(self, title: str, found: Mapping[str, Any]) -> None:
        self._title = title
        self._found = found

    @cached_property
    def _numba_type_(self) -> Any:
        """Let numba know how to choose."""
        return table_types.type_by_kind(self._title, self._found)


def by_kind(tables: type[Any], found: Mapping[str, Callable[P, R]]) -> Callable[P, R]:
    """Make a function that is the one of its first argument, opened tables, by their kind.

    A kind may be added to ``found`` up to when code for it is compiled.
    """
    name, known = tables.__name__, cast("Any", found)
    if not PLAIN:
        return cast("Callable[P, R]", _ByKind(name, known))
    return cast("Callable[P, R]", lambda first, *others: known[type(first).__name__.removeprefix(name)](first, *others))
