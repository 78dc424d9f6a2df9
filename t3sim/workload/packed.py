"""Files of others, perhaps packed with gzip, read up to a limit: what they unpack to is never held beyond it."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from t3sim.errors import InputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES: Final = 2**29
"""Of a file, unpacked: a training step of one rank has some tens of millions."""

_GZIP: Final = b"\x1f\x8b"


class Limited:
    """Gives the bytes of a file, and refuses to give more than a limit."""

    def __init__(self, path: Path, file: IO[bytes] | gzip.GzipFile, most: int) -> None:
        self._file = file
        self._path = path
        self._most = most
        self.at = 0
        """How many bytes were given, unpacked."""

    def read(self, size: int) -> bytes:
        """Give the next bytes, fewer than ``size`` only at the end. Raises ``InputError``."""
        try:
            found = self._file.read(size)
        except (EOFError, OSError, zlib.error) as error:
            message = f"cannot be unpacked after byte {self.at} of what is in it: {error}"
            raise InputError(Problem(message=message, file=str(self._path))) from None
        self.at += len(found)
        if self.at > self._most:
            message = f"has more than {self._most} bytes, unpacked: cut it to one step of one rank"
            raise InputError(Problem(message=message, file=str(self._path)))
        return found


@contextmanager
def unpacking(path: Path, most: int = MOST_BYTES) -> Iterator[Limited]:
    """Open a file, unpacking it if it begins as gzip does. Raises ``InputError`` if it cannot be read."""
    try:
        with path.open("rb") as raw:
            is_packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            if not is_packed:
                yield Limited(path, raw, most)
                return
            with gzip.GzipFile(fileobj=raw) as file:
                yield Limited(path, file, most)
    except OSError as error:
        raise InputError(Problem(message=error.strerror or str(error), file=str(path))) from None
