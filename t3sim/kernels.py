"""How compiled kernels are made: one decorator, one place for the compiler's options and its cache.

Kernels are compiled on first use and cached on disk, so only the first run pays for it. The cache folder is named
by a hash over the sources of the hardware, which hold all kernels that others call: numba notices a change in a
kernel's own file, but not in the file of a kernel that it calls.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=tuple[Any, ...])

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
"""What kernels work on: 64-bit integers, in fs, bytes or counts."""
Records = NDArray[np.void]
"""Rows of named 64-bit integers (see ``record_type``); a kernel reads and sets ``rows[index].name``."""
Record = Any
"""One of these rows, as kernels hand it to each other."""


class NamedFields(Protocol):
    """Any ``NamedTuple`` of integers."""

    @property
    def _fields(self) -> tuple[str, ...]:
        """Their names."""

    def __iter__(self) -> Iterator[int]:
        """Give the values in the order of the fields."""


_config: Any = numba.config
_njit: Any = numba.njit
_SOURCES = Path(__file__).parent / "hardware"
_dispatchers: list[Any] = []


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba in nopython mode, cached on disk. Integer overflow is not checked.

    A kernel allocates nothing: it is compiled without numba's reference counts, which would take most of its time. It
    is inlined into kernels that call it: a call would pass every field of every array that an argument holds.
    """
    folder = cache_folder()
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(folder or "")
    try:
        dispatcher = _njit(cache=folder is not None, _nrt=False, forceinline=True)(function)
    finally:
        _config.CACHE_DIR = before  # others in this process keep theirs
    _dispatchers.append(dispatcher)
    return cast("Callable[P, R]", dispatcher)


def _count_trailing_zeros(_typing: Any, _value: Any) -> Any:
    def count(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), count


lowest_bit: Callable[[int], int] = cast("Any", intrinsic)(_count_trailing_zeros)
"""Number of the lowest bit that is set in a 64-bit integer that is not 0; for use in kernels."""


def record_type(*names: str) -> np.dtype[np.void]:
    """Make the type of a row of 64-bit integers with these names, for ``numpy.zeros(shape, type)``."""
    return np.dtype([(name, np.int64) for name in names], align=True)


def record_of(*parts: NamedFields) -> Records:
    """Make one row, shape (1,), of one or several ``NamedTuple`` of integers: kernels read it by the same names.

    Passing a row to a kernel costs a tenth of passing the tuples.
    """
    fields = tuple(name for part in parts for name in part._fields)
    return np.array([tuple(value for part in parts for value in part)], _type_of(fields))


@cache
def _type_of(fields: tuple[str, ...]) -> np.dtype[np.void]:
    """Make one type for all rows of these fields: numba tells types apart by object, and looks long at new ones."""
    return record_type(*fields)


class Packed(Generic[A]):
    """A ``NamedTuple`` of arrays of 64-bit integers, or of such tuples, in one piece of memory: copied at one go."""

    def __init__(self, arrays: A) -> None:
        leaves = list(_leaves(arrays))
        self.memory: IntArray = np.concatenate([leaf.reshape(-1).view(np.int64) for leaf in leaves])
        ends = np.cumsum([leaf.nbytes // self.memory.itemsize for leaf in leaves])
        pieces = (
            piece.view(leaf.dtype).reshape(leaf.shape)
            for leaf, piece in zip(leaves, np.split(self.memory, ends[:-1]), strict=True)
        )
        self.arrays: A = _refilled(arrays, pieces)

    def copy_from(self, other: "Packed[A]") -> None:
        """Take the values of ``other``, of the same shapes."""
        np.copyto(self.memory, other.memory)


def _leaves(arrays: Any) -> Iterator[Any]:
    for item in arrays:
        yield from _leaves(item) if isinstance(item, tuple) else (item,)


def _refilled(arrays: Any, leaves: Iterator[Any]) -> Any:
    """Give a tuple like ``arrays`` of other leaves."""
    items = (_refilled(item, leaves) if isinstance(item, tuple) else next(leaves) for item in arrays)
    return type(arrays)(*items)


def uncached() -> tuple[str, ...]:
    """Name the kernels that have no compiled version on disk yet: their first call will compile.

    Of those in modules that were imported: the kernels of a memory model are with the first system that has it.
    """
    return tuple(dispatcher.__name__ for dispatcher in _dispatchers if not _is_cached(dispatcher))


@cache
def cache_folder() -> Path | None:
    """Return the folder of the compiled kernels, or ``None`` where no folder can be written to.

    It is named by a hash over the sources, in ``NUMBA_CACHE_DIR``, the user's cache, or the folder for temporary
    files, whichever is the first that can be used.
    """
    digest = hashlib.sha256()
    for source in (Path(__file__), *sorted(_SOURCES.rglob("*.py"))):
        digest.update(source.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    for root in (*([_config.CACHE_DIR] if _config.CACHE_DIR else []), home / "t3sim", Path(_temporary()) / "t3sim"):
        folder = Path(root) / f"kernels-{digest.hexdigest()[:12]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:  # none that can be written to
        return os.devnull


def _is_cached(dispatcher: Any) -> bool:
    folder = dispatcher.stats.cache_path
    return folder is not None and any(Path(folder).glob(f"{_file_stem(dispatcher)}*.nbi"))


def _file_stem(dispatcher: Any) -> str:
    """Start of the name that numba gives a kernel's index file: module, function, line, interpreter."""
    code = dispatcher.py_func.__code__
    interpreter = f"py{sys.version_info.major}{sys.version_info.minor}"
    return f"{Path(code.co_filename).stem}.{dispatcher.py_func.__qualname__}-{code.co_firstlineno}.{interpreter}"


@kernel
def copy_records(source: Records, target: Records) -> None:
    """Copy all rows of ``source`` into ``target``, of the same shape (rows,) and type; for use in kernels."""
    for index in range(source.size):
        target[index] = source[index]
