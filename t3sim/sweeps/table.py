"""The results table of a sweep: the rows in its journal, by combination, with the columns of its axes."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from t3sim.errors import InputError, Problem
from t3sim.files import replacing
from t3sim.results import COLUMN_NAMES, Row, read_frame
from t3sim.sweeps.combinations import Combinations
from t3sim.sweeps.journal import Journal

RESULTS = "results.csv"
_MOST_FAILURES = 100


@dataclass(slots=True)
class Written:
    """What a table holds."""

    rows: int = 0
    failed: int = 0
    """Rows of status ``failed``."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """The first of these rows."""


def row_csv(row: Row) -> str:
    """Write a row as one record of CSV, without the end of the line."""
    return _csv([row[name] for name in COLUMN_NAMES])


def write_table(path: Path, combinations: Combinations, recipes: Sequence[Sequence[str]], journal: Journal) -> Written:
    """Write the table of what is finished; equal journals give equal bytes.

    ``recipes``: of each combination. Raises ``InputError`` when the disk refuses.
    """
    written = Written()
    columns = [*COLUMN_NAMES, *combinations.columns]
    with replacing(path) as file:
        file.write(f"{_csv(columns)}\n")
        for combination, wanted in zip(combinations, recipes, strict=True):
            labels = f",{_csv(combination.labels)}\n" if combinations.columns else "\n"
            for recipe in wanted:
                if not journal.has(recipe):
                    continue
                lines = [f"{row}{labels}" for row in journal.rows(recipe)]
                file.writelines(lines)
                written.rows += len(lines)
                if journal.failed(recipe):
                    _note_failures(written, [dict(zip(columns, *csv.reader([line]), strict=True)) for line in lines])
    return written


def write_parquet(table: Path) -> Path:
    """Write a table of results beside itself as parquet, with numbers as numbers; return the file.

    Raises ``InputError`` when pyarrow is not installed or the disk refuses.
    """
    path = table.with_suffix(".parquet")
    try:
        import pyarrow as pa  # noqa: F401, PLC0415 - optional
    except ImportError:
        message = "needs pyarrow, which is not installed: pip install 't3sim[parquet]'"
        raise InputError(Problem(message=message, key="--parquet")) from None
    frame = read_frame(table)
    with replacing(path, binary=True) as file:
        frame.to_parquet(file, index=False)
    return path


def _note_failures(written: Written, rows: list[dict[str, str]]) -> None:
    failed = [row for row in rows if row["status"] != "ok"]
    written.failed += len(failed)
    written.failures += failed[: _MOST_FAILURES - len(written.failures)]


def _csv(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()
