"""``t3sim sensitivity``: which parameters the results of an experiment hang on."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from t3sim.cli.app import Format, FormatOption, JobsOption, NoCacheOption, app, listed
from t3sim.cli.output import print_tables
from t3sim.cli.sweep import INTERRUPTED
from t3sim.cli.sweep_progress import SweepProgress
from t3sim.config import read_document
from t3sim.config.source import read_value
from t3sim.data import traces_dir
from t3sim.errors import InputError, Problem
from t3sim.files import prepare_folder, write_files
from t3sim.processes import cores
from t3sim.report.text import rows_csv, to_json
from t3sim.report.tornado import tornado_tables, write_tornado
from t3sim.simulation import load_system
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM, choose_gpus
from t3sim.sweeps.pool import LocalPool
from t3sim.sweeps.sensitivity import SENSITIVITY_COLUMNS, Sensitivity, is_sweep, load_experiment, run_sensitivity
from t3sim.workload.trace import load_trace

_SCHEMES = "t3,t3-mca"
_TABLE, _FIGURE = "sensitivity.csv", "tornado.svg"


@app.command()
def sensitivity(
    experiment: Annotated[
        str, typer.Argument(help="Trace or sweep over workloads: name of a shipped one, or a YAML file.")
    ],
    system: Annotated[str | None, typer.Option(help=f"Of a trace: the hardware; {DEFAULT_SYSTEM} by default.")] = None,
    sublayer: Annotated[
        str | None, typer.Option(help="Of a trace: sublayers, comma-separated; all by default.")
    ] = None,
    scheme: Annotated[str | None, typer.Option(help=f"Of a trace: schemes; {_SCHEMES} by default.")] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="Of a trace: override a value of the system: a.b.c=value.")
    ] = None,
    gpus: Annotated[str | None, typer.Option(help="Of a trace: 'mirror' (default), 'one', or the TP degree.")] = None,
    metric: Annotated[str, typer.Option(help="Column of results to rank by.")] = "speedup",
    jobs: JobsOption = None,
    form: FormatOption = Format.TABLE,
    out: Annotated[
        Path | None,
        typer.Option(help=f"Folder for {_TABLE}, {_FIGURE} and the runs, to go on from.", file_okay=False),
    ] = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Vary every number of the system by half, one at a time, and rank them by what that changes."""
    if no_cache:
        without_disk()
    given = {"system": system, "sublayer": sublayer, "scheme": scheme, "set": assignments, "gpus": gpus}
    given = {name: value for name, value in given.items() if value is not None}
    spec = _experiment(experiment, given)
    with _folder(out) as folder, SweepProgress() as progress:
        try:
            found = run_sensitivity(
                load_experiment(spec),
                folder,
                LocalPool(jobs or cores()),
                metric=metric,
                report=progress.report,
                announce=progress.announce,
            )
        except KeyboardInterrupt:
            typer.echo("interrupted" + (": the same command goes on from here" if out else ""), err=True)
            raise typer.Exit(INTERRUPTED) from None
    if out is not None:
        _write(out, found)
    _print(found, form)
    for row in found.failed:
        typer.echo(f"failed: {row['parameter']} {row['change']}: {row['reason']}", err=True)
    if found.failed:
        raise typer.Exit(1)


def _experiment(ref: str, given: dict[str, Any]) -> str | dict[str, Any]:
    """Turn a trace and options into a sweep without axes; a sweep says all of that itself."""
    path = Path(ref)
    form = read_document(path).data.get("format") if path.suffix in (".yaml", ".yml") else None
    if is_sweep(ref, form) and not (form is None and (traces_dir() / f"{ref}.yaml").exists()):
        if given:
            raise InputError(Problem(message="a sweep sets this in its base", key=f"--{next(iter(given))}"))
        return ref
    hardware, overrides = given.get("system", DEFAULT_SYSTEM), given.get("set", ())
    load_system(hardware, overrides)  # says what is wrong with them in their own words
    base = {"trace": ref, "system": hardware, "scheme": list(listed(given.get("scheme", _SCHEMES)))}
    if sublayers := listed(given.get("sublayer", "")):
        base["sublayer"] = list(sublayers)
    tp = load_trace(ref, folder=traces_dir()).spec.tp
    base["gpus"] = choose_gpus(given.get("gpus", "mirror"), tp)
    for assignment in overrides:
        key, _, text = assignment.partition("=")
        base[f"system.{key.strip()}"] = read_value(text, "--set")
    return {"name": "sensitivity", "base": base}


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        prepare_folder(out)
        yield out
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def _write(out: Path, found: Sensitivity) -> None:
    write_files(out, {_TABLE: rows_csv(found.rows, SENSITIVITY_COLUMNS)})
    drawn = write_tornado(found.rows, found.metric, out / _FIGURE)
    typer.echo(f"wrote {_TABLE}{f' and {_FIGURE}' if drawn else ''} to {out}", err=True)


def _print(found: Sensitivity, form: Format) -> None:
    if form is Format.JSON:
        typer.echo(to_json({"metric": found.metric, "rows": list(found.rows)}), nl=False)
    elif form is Format.CSV:
        typer.echo(rows_csv(found.rows, SENSITIVITY_COLUMNS), nl=False)
    else:
        print_tables(tornado_tables(found.rows, found.metric))
