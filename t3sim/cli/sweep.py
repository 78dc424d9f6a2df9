"""``t3sim sweep`` and ``t3sim merge``: many points into one table."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from t3sim.cli.app import JobsOption, NoCacheOption, app
from t3sim.cli.output import print_tables
from t3sim.cli.sweep_progress import SweepProgress
from t3sim.errors import InputError, Problem
from t3sim.processes import cores
from t3sim.simulation.part_store import without_disk
from t3sim.sweeps import SweepResult, load_sweep, merge, run_sweep
from t3sim.sweeps.dask import DaskPool
from t3sim.sweeps.pool import LocalPool
from t3sim.sweeps.runner import Backend
from t3sim.sweeps.table import RESULTS, write_parquet

_SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})")
_FAILURES_SHOWN = 20
INTERRUPTED = 130

ParquetOption = Annotated[bool, typer.Option("--parquet", help="Write results.parquet too; needs pyarrow.")]
SpecArgument = Annotated[str, typer.Argument(help="Sweep: name of a shipped one, or a YAML file.")]


@app.command()
def sweep(
    spec: SpecArgument,
    jobs: JobsOption = None,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, whose workers run the points.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of results; out/NAME by default.", file_okay=False)] = None,
    parquet: ParquetOption = False,  # noqa: FBT002
    shard: Annotated[str, typer.Option(help="i/n: only every n-th point, from the i-th; for `t3sim merge`.")] = "1/1",
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first point that fails.")] = False,  # noqa: FBT002
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed points again.")] = False,  # noqa: FBT002
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Run every point of a sweep that its folder of results does not have yet."""
    if no_cache:
        without_disk()
    loaded = load_sweep(spec)
    if dask is not None and jobs is not None:
        raise InputError(Problem(message="cannot be used with --jobs: the cluster has its own workers", key="--dask"))
    backend: Backend = DaskPool(dask) if dask is not None else LocalPool(jobs or cores())
    with SweepProgress() as progress:
        result = run_sweep(
            loaded,
            _folder(out, loaded.spec.name, shard),
            backend,
            shard=_shard(shard),
            fail_fast=fail_fast,
            retry_failed=retry_failed,
            report=progress.report,
            announce=progress.announce,
        )
    _finish(result, parquet)


@app.command("merge")
def merge_shards(
    spec: SpecArgument,
    folders: Annotated[list[Path], typer.Argument(help="Folders of results of the sweep's shards.")],
    out: Annotated[Path, typer.Option(help="Folder for the results of all.", file_okay=False)],
    parquet: ParquetOption = False,  # noqa: FBT002
) -> None:
    """Put the results of a sweep's shards into one table."""
    _finish(merge(load_sweep(spec), folders, out), parquet)


def _shard(text: str) -> tuple[int, int]:
    match = _SHARD.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise InputError(Problem(message="must read i/n, with i from 1 to n", key="--shard", value=text))
    return int(match[1]), int(match[2])


def _folder(out: Path | None, name: str, shard: str) -> Path:
    if out is not None:
        return out
    number, count = _shard(shard)
    return Path("out") / (name if count == 1 else f"{name}-shard-{number}-of-{count}")


def _finish(result: SweepResult, parquet: bool) -> None:  # noqa: FBT001 - as typer gives it
    """Say where the results are and which points failed; exit as the command must."""
    written, tally = result.written, result.tally
    if result.dropped:
        typer.echo(f"note: {result.dropped} damaged records of the journal were left out", err=True)
    typer.echo(f"wrote {written.rows} rows to {result.folder / RESULTS}", err=True)
    if parquet:
        typer.echo(f"wrote {write_parquet(result.folder / RESULTS)}", err=True)
    if written.failures:
        print_tables([_failure_table(result)], err=True)
    if tally.left:
        cause = "interrupted" if result.interrupted else "not finished"
        again = "the same command goes on from here"
        typer.echo(f"{cause}: {tally.left} of {tally.points} points are missing; {again}", err=True)
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)
    if written.failed or tally.left:
        raise typer.Exit(1)


def _failure_table(result: SweepResult) -> Table:
    table = Table(title=f"{result.written.failed} failed rows", title_justify="left")
    shown = result.written.failures[:_FAILURES_SHOWN]
    axes = list(shown[0])[list(shown[0]).index("error_message") + 1 :]
    columns = ("system", "model", "tp", "phase", "sublayer", "scheme", *axes, "error_type", "error_message")
    for name in columns:
        table.add_column(name)
    for row in shown:
        table.add_row(*(row[name] for name in columns))
    if result.written.failed > len(shown):
        table.caption = f"and {result.written.failed - len(shown)} more, of status 'failed' in results.csv"
    return table
