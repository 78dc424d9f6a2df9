"""How compiled kernels are made: one decorator, one place for the compiler's options and its cache.

Kernels are compiled on first use and cached on disk, so only the first run pays for it. The cache folder is named
by a hash over the sources that hold kernels: numba notices a change in a kernel's own file, but not in the file of
a kernel that it calls.
"""

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
"""What kernels work on: 64-bit integers, in fs, bytes or counts."""

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
def copy_items(source: IntArray, target: IntArray) -> None:
    """Copy all items of ``source`` into ``target``, of the same shape; for use in kernels."""
    for index in range(source.size):
        target.flat[index] = source.flat[index]
