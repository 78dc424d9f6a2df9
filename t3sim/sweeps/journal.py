"""The journal of a sweep: finished points, one line each, only ever appended to.

A line is ``CRC RECIPE KEY STATUS ROWS``: a checksum of the rest, the recipe that was asked for, the key of the
resolved point, whether it is ``ok``, ``failed`` or the ``same`` as an earlier line of that key, and a JSON list of the
point's rows as CSV. Rows are kept as the text that the table is put together from: a table of 100,000 points is then
written in seconds, and only an index of it is in memory.
"""

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock, Timeout

from t3sim.errors import InputError, Problem, T3SimError
from t3sim.files import unwritable

JOURNAL: Final = "journal.txt"
_LOCK: Final = ".lock"
_HEADER: Final = b"t3sim-journal 1\n"
_OK, _FAILED, _SAME = b"ok", b"failed", b"same"
_PARTS: Final = 4


class JournalError(T3SimError):
    """A finished point could not be written down; those before it are kept."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the rows of a point stand in the file."""

    offset: int
    length: int
    failed: bool


class Journal:
    """The finished points of one folder; one process at a time may hold it.

    Raises ``InputError`` when the folder cannot be written to or is in use, or what it holds is no journal.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / JOURNAL
        self.dropped = 0
        """Records that were not whole: their points count as not finished."""
        self._places: dict[str, _Place] = {}
        self._keys: dict[str, str] = {}
        with ExitStack() as held:
            held.enter_context(_locked(folder))
            try:
                self._out = held.enter_context(self.path.open("ab", buffering=0))
                self._in = held.enter_context(self.path.open("rb"))
                self._end = self._read()
                self._out.truncate(self._end)
                if not self._end:
                    self._write(_HEADER)
            except OSError as error:
                raise unwritable(folder, error) from error
            self._held = held.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    def has(self, recipe: str) -> bool:
        """Say whether the point of a recipe is finished."""
        return recipe in self._keys

    def has_key(self, key: str) -> bool:
        """Say whether a resolved point is finished."""
        return key in self._places

    def failed(self, recipe: str) -> bool:
        """Say whether the finished point of a recipe failed."""
        return self._places[self._keys[recipe]].failed

    def add(self, recipe: str, key: str, rows: Sequence[str], *, failed: bool) -> None:
        """Write down a finished point, its rows as CSV. Raises ``JournalError`` when the disk refuses."""
        payload = json.dumps(rows, separators=(",", ":")).encode()
        self._append(b"%s %s %s %s" % (recipe.encode(), key.encode(), _FAILED if failed else _OK, payload))

    def add_same(self, recipe: str, key: str) -> None:
        """Write down that a recipe leads to a point that is finished. Raises ``JournalError`` as `add`."""
        self._append(b"%s %s %s []" % (recipe.encode(), key.encode(), _SAME))

    def rows(self, recipe: str) -> list[str]:
        """Return the rows of a finished recipe as CSV."""
        place = self._places[self._keys[recipe]]
        self._in.seek(place.offset)
        rows: list[str] = json.loads(self._in.read(place.length))
        return rows

    def flush(self) -> None:
        """Have the disk keep what was written, through a loss of power too. Raises ``JournalError``."""
        try:
            os.fsync(self._out.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def take(self, other: Path) -> None:
        """Add the points of another folder's journal that this one lacks, each once.

        Raises ``InputError`` when that folder has no journal that can be read.
        """
        try:
            content = (other / JOURNAL).open("rb")
        except OSError as error:
            message = f"no journal of a sweep can be read here: {error.strerror}"
            raise InputError(Problem(message=message, file=str(other))) from None
        with content as file:
            self._check_header(file.readline(), other / JOURNAL)
            for line in file:
                record = _record(line)
                if record is None:
                    self.dropped += 1
                    continue
                recipe, key, status, _ = record.split(b" ", _PARTS - 1)
                if self.has(recipe.decode()):
                    continue
                if status != _SAME and self.has_key(key.decode()):
                    self.add_same(recipe.decode(), key.decode())
                else:
                    self._append(record)

    def _read(self) -> int:
        """Index what is there; return where the last whole line ends."""
        header = self._in.readline()
        if not header.endswith(b"\n"):
            if not _HEADER.startswith(header):
                self._check_header(header, self.path)
            return 0
        self._check_header(header, self.path)
        offset = len(header)
        for line in self._in:
            record = _record(line)
            if record is None:
                self.dropped += 1
            else:
                self._index(record, offset)
            if not line.endswith(b"\n"):
                break
            offset += len(line)
        return offset

    def _check_header(self, line: bytes, path: Path) -> None:
        if line != _HEADER:
            message = f"is no journal that this t3sim reads: it begins with {line[:40]!r}"
            raise InputError(Problem(message=message, file=str(path)))

    def _index(self, record: bytes, offset: int) -> None:
        """Remember the record of the line that starts at ``offset``."""
        recipe, key, status, payload = record.split(b" ", _PARTS - 1)
        if status == _SAME and key.decode() not in self._places:
            self.dropped += 1  # the record that it refers to was damaged
            return
        self._keys[recipe.decode()] = key.decode()
        if status != _SAME:
            start = offset + _CRC_LENGTH + len(record) - len(payload)
            self._places[key.decode()] = _Place(start, len(payload), status == _FAILED)

    def _append(self, record: bytes) -> None:
        offset = self._end
        self._write(b"%08x %s\n" % (zlib.crc32(record), record))
        self._index(record, offset)

    def _write(self, line: bytes) -> None:
        try:
            written = self._out.write(line) or 0
            while written < len(line):
                written += self._out.write(line[written:]) or 0
        except OSError as error:
            self._out.truncate(self._end)
            raise self._refused(error) from error
        self._end += len(line)

    def _refused(self, error: OSError) -> JournalError:
        return JournalError(
            f"{self.path}: cannot write: {error.strerror or error}; the points finished before are kept, "
            "and the same command goes on from there"
        )


_CRC_LENGTH: Final = len("00000000 ")


def _record(line: bytes) -> bytes | None:
    """Return what a line says; ``None`` when it is not whole."""
    record = line[_CRC_LENGTH:-1]
    whole = line.endswith(b"\n") and line[:_CRC_LENGTH] == b"%08x " % zlib.crc32(record)
    return record if whole and record.count(b" ") >= _PARTS - 1 else None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        message = "another sweep is writing into this folder; wait for it, or take another folder"
        raise InputError(Problem(message=message, file=str(folder), key="--out")) from None
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()
