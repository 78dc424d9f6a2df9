"""Where output goes: progress to stderr, results to stdout and into result folders."""

import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from t3sim import compiled
from t3sim.cli.app import Format
from t3sim.config import dump_yaml
from t3sim.files import write_files
from t3sim.report.text import rows_csv, to_json
from t3sim.results import RunResult
from t3sim.results.sublayers import namer

QUIET_S = 2.0
LINE_EVERY_S = 5.0
_WIDEST = 1000


class LiveReport:
    """Something on stderr while work goes on, with a bar that ends when the work does."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, markup=False)
        self._started = self._last_line = time.monotonic()
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _advance(self, done: int, total: int, description: str) -> None:
        """Move the bar, which starts with the first move."""
        self._bar = self._bar or _new_bar(self._console, total)
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=description)


class ProgressReport(LiveReport):
    """Progress on stderr for what takes longer than two seconds: a bar on a terminal, a line now and then elsewhere."""

    def __call__(self, done: int, total: int, label: str) -> None:
        """Show that ``done`` of ``total`` points are finished and ``label`` comes next."""
        now = time.monotonic()
        if not done:
            announce_compilation(self._console)
        if now - self._started < QUIET_S or done == total:
            return
        if self._console.is_terminal:
            self._advance(done, total, label)
        elif now - self._last_line >= LINE_EVERY_S:
            self._last_line = now
            left = (now - self._started) / done * (total - done) if done else 0
            self._console.print(f"{done}/{total} points, about {left:.0f} s left, now {label}", highlight=False)


def announce_compilation(console: Console) -> None:
    """Say that the first point will take longer, when it will."""
    if missing := compiled.uncached():
        folder = compiled.cache_folder()
        once = f"this first time only (cached in {folder})" if folder else "every time: no folder to cache them in"
        console.print(f"compiling {len(missing)} functions, {once}", soft_wrap=True, highlight=False)


def _new_bar(console: Console, total: int) -> Progress:
    """Start a bar that goes when it is full."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=console, transient=True)
    bar.add_task("", total=total)
    bar.start()
    return bar


def print_tables(tables: Iterable[Table], *, err: bool = False) -> None:
    """Print tables, never narrower than they are: a pipe or a small terminal loses no column."""
    for table in tables:
        # No markup: names are the user's, and may hold brackets.
        console = Console(file=sys.stderr if err else sys.stdout, markup=False)
        needed = Console(width=_WIDEST, markup=False).measure(table).maximum
        console.width = max(console.width, needed)
        console.print(table)


def print_result(result: RunResult, form: Format, document: dict[str, Any], tables: Iterable[Table]) -> None:
    """Print a result on stdout in the form asked for."""
    if form is Format.JSON:
        typer.echo(to_json(document), nl=False)
    elif form is Format.CSV:
        typer.echo(rows_csv(result.rows), nl=False)
    else:
        print_tables(tables)


def with_command(document: dict[str, Any]) -> dict[str, Any]:
    """Add the command line to the manifest of a document: whoever reads the results can make them again."""
    command = shlex.join(["t3sim", *sys.argv[1:]])
    return {**document, "manifest": {**document["manifest"], "command": command}}


def write_result(folder: Path, result: RunResult, document: dict[str, Any], config: dict[str, Any]) -> None:
    """Write results.csv, run.json and the resolved system into ``folder``."""
    write_files(
        folder,
        {
            "results.csv": rows_csv(result.rows),
            "run.json": to_json(document),
            "system.yaml": dump_yaml(config),
        },
    )
    typer.echo(f"wrote results.csv, run.json and system.yaml to {folder}", err=True)


def print_notes(manifest: dict[str, Any]) -> None:
    """Print what a reader of the results should know on stderr."""
    for note in manifest["notes"]:
        typer.echo(f"note: {note}", err=True)


def finish(result: RunResult) -> None:
    """Print notes and failed rows on stderr; exit with 1 if there are any of the latter."""
    print_notes(result.manifest)
    name_of = namer(result.rows)
    for row in result.failed:
        place = f"{row['model']} tp{row['tp']} {name_of(row)} {row['scheme']}"
        typer.echo(f"failed: {place}: {row['error_type']}: {row['error_message']}", err=True)
    if result.failed:
        raise typer.Exit(1)
