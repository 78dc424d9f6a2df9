"""Results as files and text: CSV, JSON, and a folder that says how it was made. Nothing is ever half-written."""

import csv
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from t3sim.errors import InputError, Problem
from t3sim.results import COLUMN_NAMES, Row


def rows_csv(rows: Sequence[Row], columns: Sequence[str] = COLUMN_NAMES) -> str:
    """Rows as CSV with a header line; ``None`` is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def to_json(document: Mapping[str, Any]) -> str:
    """Render one JSON document, keys in the order of the data."""
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


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
    try:
        for name, text in contents.items():
            _write(folder / name, text)
    except OSError as error:
        raise unwritable(folder, error) from error


def unwritable(path: Path, error: OSError, key: str = "--out") -> InputError:
    """Make the error that says that the disk refused; ``key``: the option that named the path."""
    return InputError(Problem(message=f"cannot write: {error.strerror}", file=str(path), key=key))


def _write(path: Path, text: str) -> None:
    with replacing(path) as file:
        file.write(text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file under a temporary name, which becomes ``path`` at the end unless something fails before."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)  # noqa: PTH101 - mkstemp gives 0600, results are for everybody
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
