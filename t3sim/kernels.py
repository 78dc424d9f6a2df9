"""How compiled kernels are made: one decorator, one place for the compiler's options and its cache.

Kernels are compiled on first use and cached on disk, so only the first run pays for it. The cache folder is named
by a hash over the sources that hold kernels: numba notices a change in a kernel's own file, but not in the file of
a kernel that it calls.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")

IntArray = NDArray[np.int64]
"""What kernels work on: 64-bit integers, in fs, bytes or counts."""

_config: Any = numba.config
_SOURCES = Path(__file__).parent / "hardware"
_dispatchers: list[Any] = []


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile ``function`` with numba in nopython mode, cached on disk. Integer overflow is not checked."""
    before, _config.CACHE_DIR = _config.CACHE_DIR, str(cache_folder())
    try:
        dispatcher = numba.njit(cache=True)(function)
    finally:
        _config.CACHE_DIR = before  # others in this process keep theirs
    _dispatchers.append(dispatcher)
    return cast("Callable[P, R]", dispatcher)


def uncached() -> tuple[str, ...]:
    """Name the kernels that have no compiled version on disk yet: their first call will compile."""
    missing = []
    for dispatcher in _dispatchers:
        folder = Path(dispatcher.stats.cache_path)
        if not any(folder.glob(f"{_file_stem(dispatcher)}*.nbi")):
            missing.append(dispatcher.__name__)
    return tuple(missing)


@cache
def cache_folder() -> Path:
    """Return the folder of the compiled kernels: ``NUMBA_CACHE_DIR``, or the user's cache, and a hash."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.rglob("*.py")):
        digest.update(source.read_bytes())
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    root = Path(_config.CACHE_DIR or home / "t3sim")
    return root / f"kernels-{digest.hexdigest()[:12]}"


def _file_stem(dispatcher: Any) -> str:
    """Start of the name that numba gives a kernel's index file: module, function, line, interpreter."""
    code = dispatcher.py_func.__code__
    interpreter = f"py{sys.version_info.major}{sys.version_info.minor}"
    return f"{Path(code.co_filename).stem}.{dispatcher.py_func.__qualname__}-{code.co_firstlineno}.{interpreter}"
