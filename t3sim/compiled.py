"""How hot functions are compiled: one decorator, one place for the compiler's options and its cache.

They are compiled on first use and cached on disk, so only the first run pays for it. The cache folder is named by a
hash over the sources: numba notices a change in a function's own file, but not in the file of one that it calls. What
lies in the folder is run as it is, so it is one that nobody else can write to.

With ``NUMBA_DISABLE_JIT=1`` they are plain Python: for debuggers, and many times slower. Numba is imported when one of
them is first called, and not at all where they are plain.
"""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property, update_wrapper
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from t3sim import lazy
from t3sim.own_folder import is_own, user_cache
from t3sim.version import source_hash

if TYPE_CHECKING:
    import numba

    from t3sim import part_compiler
else:
    numba = lazy.module("numba")
    part_compiler = lazy.module("t3sim.part_compiler")

P = ParamSpec("P")
R = TypeVar("R")

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
            made = njit(
                cache=folder is not None, _nrt=False, forceinline=True, pipeline_class=part_compiler.WholeCompiler
            )
            return made(self.function)
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


def renamed(function: Callable[P, R], suffix: str, **names: Any) -> Callable[P, R]:
    """Make a function of the same code under another name in which some global ``names`` mean something else."""
    scope = function.__globals__ | names
    made = FunctionType(function.__code__, scope, function.__name__ + suffix)
    made.__module__, made.__qualname__ = function.__module__, function.__qualname__ + suffix
    return cast("Callable[P, R]", made)


class Part(Compiled[P, R]):
    """A function that is compiled into those that call it, and only there: what is kept on disk is those."""

    def __init__(self, function: Callable[P, R], *, inlined: bool) -> None:
        super().__init__(function)
        self._inlined = inlined

    @cached_property
    def dispatcher(self) -> Any:
        """What numba makes of the function."""
        njit: Any = numba.njit
        # Nobody calls it from Python: wrappers for that would take much of the time to compile.
        made = njit(
            _nrt=False,
            forceinline=self._inlined,
            no_cpython_wrapper=True,
            no_cfunc_wrapper=True,
            pipeline_class=part_compiler.PartCompiler,
        )(self.function)
        typed, plain = made.get_call_template, numba.types.unliteral
        # One version for all constants that it is called with: it is inlined anyway.
        made.get_call_template = lambda arguments, named: typed(tuple(map(plain, arguments)), named)
        return made


def part(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` into the compiled functions that call it."""
    return np.errstate(over="ignore")(function) if PLAIN else Part(function, inlined=True)


def routine(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` once with the compiled functions that call it: for what is large and called from several."""
    return np.errstate(over="ignore")(function) if PLAIN else Part(function, inlined=False)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the garbage collector away from a compiler, which leaves it much to look at and little to collect."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


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
        with _uncollected():
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


def packed(tables: Mapping[str, Any], block: np.dtype[np.void]) -> tuple[dict[str, Any], Records]:
    """Copy tables of 64-bit integers into one piece of memory; return them there by name, and all of it in blocks."""
    sizes = [table.nbytes for table in tables.values()]
    blocks: Records = np.zeros(-(-sum(sizes) // block.itemsize), block)
    pieces = np.split(blocks.view(np.int64), np.cumsum(sizes) // 8)
    for piece, table in zip(pieces, tables.values(), strict=False):
        piece[:] = table.view(np.int64)
    return {name: piece.view(tables[name].dtype) for name, piece in zip(tables, pieces, strict=False)}, blocks


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
