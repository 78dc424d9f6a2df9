"""Texts kept on disk by key, within a bound: what is asked for least recently goes first.

One file a text, with a checksum, put in place at one go: processes that use one folder at once find whole texts or
none, and what is damaged is as good as not there. Nothing that goes wrong here is an error: it costs time only.
"""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LOOK_EVERY: Final = 64
"""A process looks how much there is whenever it has written this part of the bound."""
_ROOM: Final = 0.1
"""Share of the bound that is made free when it is reached, so that this is seldom."""
_UNFINISHED: Final = ".new-"
_STALE_S: Final = 3600
"""Age of a file that a process has not finished, and will not."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a folder holds."""

    files: int
    nbytes: int


class DiskCache:
    """Texts of one version in a folder that several versions share."""

    def __init__(self, root: Path, version: str, most_bytes: int) -> None:
        """Keep at most about ``most_bytes`` in ``root``, of all versions together."""
        self.root = root
        self.most_bytes = most_bytes
        self._folder = root / version
        self._written = most_bytes  # look before the first text is added

    def get(self, key: str) -> str | None:
        """Return the text that was put there by this key; ``None`` if it is not there, or not whole."""
        path = self._path(key)
        try:
            checksum, _, text = path.read_text(encoding="utf-8").partition("\n")
            if checksum != _checksum(key, text):
                return None
            os.utime(path)
        except (OSError, ValueError):
            return None
        return text

    def put(self, key: str, text: str) -> None:
        """Keep a text, if the disk takes it."""
        path = self._path(key)
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    file.write(f"{_checksum(key, text)}\n{text}")
                Path(name).replace(path)
            finally:
                Path(name).unlink(missing_ok=True)
            self._written += len(text)
            if self._written * _LOOK_EVERY >= self.most_bytes:
                self._written = 0
                self.trim()

    def usage(self) -> Usage:
        """Count what there is, of all versions."""
        sizes = [size for _, size, _ in self._files()]
        return Usage(len(sizes), sum(sizes))

    def trim(self) -> None:
        """Remove what is asked for least recently until there is room."""
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        if total <= self.most_bytes:
            return
        for _, size, path in files:
            if total <= self.most_bytes * (1 - _ROOM):
                break
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
            total -= size
        for folder in (*self.root.glob("*/*"), *self.root.glob("*")):
            with contextlib.suppress(OSError):
                folder.rmdir()  # only where nothing is in it

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """Go through all texts: when they were asked for last, bytes on the disk, place."""
        for path in self.root.glob("*/*/*"):
            with contextlib.suppress(OSError):
                found = path.lstat()
                if path.name.startswith(_UNFINISHED) and found.st_mtime < time.time() - _STALE_S:
                    path.unlink(missing_ok=True)
                    continue
                yield found.st_mtime, max(found.st_size, found.st_blocks * 512), path


def _checksum(key: str, text: str) -> str:
    return hashlib.sha256(f"{key}\n{text}".encode()).hexdigest()
