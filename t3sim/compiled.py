"""How hot functions are compiled: one decorator, one place for the compiler's options and its cache.

They are compiled on first use and cached on disk, so only the first run pays for it. The cache folder is named by a
hash over the sources: numba notices a change in a function's own file, but not in the file of one that it calls. What
lies in the folder is run as it is, so it is one that nobody else can write to.

With ``NUMBA_DISABLE_JIT=1`` they are plain Python: for debuggers, and many times slower. Numba is imported when one of
them is first called, and not at all where they are plain.
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from t3sim import lazy
from t3sim.own_folder import is_own, user_cache
from t3sim.version import source_hash

if TYPE_CHECKING:
    import numba
else:
    numba = lazy.module("numba")

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A", bound=tuple[Any, ...])

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
"""What compiled functions work on: 64-bit integers, in fs, bytes or counts."""
Records = NDArray[np.void]
"""Rows of named 64-bit integers (see ``record_type``); compiled functions read and set ``rows[index].name``."""
Record = Any
"""One of these rows, as compiled functions hand it to each other."""


class NamedFields(Protocol):
    """Any ``NamedTuple`` of integers."""

    @property
    def _fields(self) -> tuple[str, ...]:
        """Their names."""

    def __iter__(self) -> Iterator[int]:
        """Give the values in the order of the fields."""


PLAIN = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
"""Whether nothing is compiled at all: numba is told so."""

SHARED = "T3SIM_COMPILED"
"""Environment variable that tells the processes that this one starts of the private folder that it has made."""

_functions: "list[Compiled[..., Any]]" = []


class Compiled(Generic[P, R]):
    """A function that is handed to numba when it is first called, or when a compiled function that calls it is."""

    def __init__(self, function: Callable[P, R]) -> None:
        update_wrapper(self, function)
        self.function = function

    def __call__(self, *arguments: P.args, **named: P.kwargs) -> R:
        """Call the compiled version for arguments of these types."""
        return cast("R", self.dispatcher(*arguments, **named))

    @cached_property
    def dispatcher(self) -> Any:
        """What numba makes of the function: it chooses the version for the types of the arguments."""
        folder = cache_folder()
        config: Any = numba.config
        njit: Any = numba.njit  # whose stubs lack some of its options
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder or "")
        try:
            return njit(cache=folder is not None, _nrt=False, forceinline=True)(self.function)
        finally:
            config.CACHE_DIR = before  # others in this process keep theirs

    @property
    def _numba_type_(self) -> Any:
        """Let numba, which asks every object that it meets for this, take it for the dispatcher."""
        return self.dispatcher._numba_type_


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba in nopython mode, cached on disk. Integer overflow is not checked.

    It allocates nothing: it is compiled without numba's reference counts, which would take most of its time. It
    is inlined into compiled functions that call it: a call would pass every field of every array in its arguments.
    """
    if PLAIN:
        return np.errstate(over="ignore")(function)
    _functions.append(Compiled(function))
    return _functions[-1]


class Direct(Generic[P, R]):
    """A compiled function that is called with arguments of the same types every time, which are looked at once.

    Looking at the types of tuples of arrays takes ten times as long as the rest of a call.
    """

    __slots__ = ("_function", "call")

    def __init__(self, function: Callable[P, R]) -> None:
        self._function = function
        self.call: Callable[P, R] = function if PLAIN else self._first

    def _first(self, *arguments: P.args, **named: P.kwargs) -> R:
        assert not named, "compiled code takes its arguments by their places"
        assert isinstance(self._function, Compiled)
        self.call = self._function.dispatcher.compile(tuple(map(numba.typeof, arguments)))
        return self.call(*arguments, **named)


def _row_type() -> type:
    """Make the type of rows as plain functions see them: fields are attributes, even if named as one of all rows."""

    def read(row: Any, name: str) -> Any:
        return (
            row[name] if name in np.void.__getattribute__(row, "dtype").names else np.void.__getattribute__(row, name)
        )

    def write(row: Any, name: str, value: int) -> None:
        row[name] = value

    return type("Row", (np.void,), {"__getattribute__": read, "__setattr__": write})


_ROW = _row_type()


def record_type(*names: str) -> np.dtype[np.void]:
    """Make the type of a row of 64-bit integers with these names, for ``numpy.zeros(shape, type)``."""
    fields = np.dtype([(name, np.int64) for name in names], align=True)
    return np.dtype((_ROW, fields)) if PLAIN else fields


def record_of(*parts: NamedFields) -> Records:
    """Make one row, shape (1,), of one or several ``NamedTuple`` of integers, to be read by the same names.

    Passing a row to a compiled function costs a tenth of passing the tuples.
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
    """Name the functions that have no compiled version on disk yet: their first call will compile.

    Of those in modules that were imported: those of a memory model are with the first system that has it.
    """
    folder = cache_folder()
    kept = [path.name for path in folder.rglob("*.nbi")] if folder is not None else []
    return tuple(
        each.function.__name__
        for each in _functions
        if not any(name.startswith(_file_stem(each.function)) for name in kept)
    )


@cache
def cache_folder() -> Path | None:
    """Return the folder of the compiled functions, or ``None`` where no folder can be written to.

    It is named by a hash over the sources, in ``NUMBA_CACHE_DIR`` or the user's cache, whichever is the first where it
    is this user's alone. Without one it is a private folder, which goes with this process, and stderr says so once.
    """
    name = f"compiled-{source_hash(Path(__file__).parent)}"
    return next((root / name for root in _roots() if is_own(root / name)), None) or _private(name)


def _roots() -> Iterator[Path]:
    if folder := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(folder)
    if (home := user_cache()) is not None:
        yield home
    if SHARED in os.environ:
        yield Path(os.environ[SHARED])


def _private(name: str) -> Path | None:
    """Make a folder that only this process and those that it starts know of."""
    try:
        root = Path(tempfile.mkdtemp(prefix="t3sim-"))
    except OSError:
        return None
    atexit.register(_remove, root, os.getpid())
    if not is_own(root / name):
        return None
    os.environ[SHARED] = str(root)
    sys.stderr.write(
        "t3sim: no cache folder that is yours alone can be used: t3sim is compiled for this run only; "
        "set NUMBA_CACHE_DIR to a folder of yours\n"
    )
    return root / name


def _remove(root: Path, owner: int) -> None:
    if os.getpid() == owner:  # and not a fork of it
        shutil.rmtree(root, ignore_errors=True)


def _file_stem(function: Any) -> str:
    """Start of the name that numba gives a function's index file: module, function, line, interpreter."""
    code = function.__code__
    interpreter = f"py{sys.version_info.major}{sys.version_info.minor}"
    return f"{Path(code.co_filename).stem}.{function.__qualname__}-{code.co_firstlineno}.{interpreter}"


@compiled
def copy_records(source: Records, target: Records) -> None:
    """Copy all rows of ``source`` into ``target``, of the same shape (rows,) and type."""
    for index in range(source.size):
        target[index] = source[index]
