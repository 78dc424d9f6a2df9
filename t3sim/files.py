"""Writing files so that none is ever half-written: a temporary name first, then renamed."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from t3sim.errors import InputError, Problem


def prepare_folder(folder: Path, key: str = "--out") -> None:
    """Make ``folder`` and see that it can be written to, before any work is done for it.

    Raises ``InputError`` when it cannot; ``key`` is the option that named it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise unwritable(folder, error, key) from error


def write_files(folder: Path, contents: Mapping[str, str]) -> None:
    """Write each named text into ``folder``: to a temporary name first, then renamed.

    Raises ``InputError`` when the disk refuses; files that were there before are then intact.
    """
    for name, text in contents.items():
        with replacing(folder / name) as file:
            file.write(text)


@contextmanager
def replacing(path: Path, *, binary: bool = False, key: str = "--out") -> Iterator[IO[Any]]:
    """Give a file, for text or for bytes, that takes the place of ``path`` when the block ends without an error.

    Raises ``InputError`` when the disk refuses; what was at ``path`` before is then intact.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise unwritable(path.parent, error, key) from error
    try:
        with os.fdopen(handle, "wb") if binary else os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
        os.chmod(temporary, 0o644)  # noqa: PTH101 - mkstemp gives 0600, results are for everybody
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise unwritable(path.parent, error, key) from error
        raise


def unwritable(folder: Path, error: OSError, key: str = "--out") -> InputError:
    """Return the error that says why ``folder`` takes no results; ``key``: the option that named it."""
    return InputError(Problem(message=f"cannot write: {error.strerror or error}", file=str(folder), key=key))
