"""``t3sim validate``: the model beside figures that others measured, published or simulated."""

from pathlib import Path
from typing import Annotated, Any

import typer

from t3sim import validation
from t3sim.cli.app import Format, FormatOption, JobsOption, NoCacheOption, app
from t3sim.cli.output import ProgressReport, print_tables
from t3sim.errors import InputError, Problem
from t3sim.files import prepare_folder, write_files
from t3sim.processes import cores
from t3sim.report.tables import validation_table
from t3sim.report.text import rows_csv, to_json
from t3sim.results import Row
from t3sim.results.comparison import COMPARISON_COLUMNS, SUMMARY_COLUMNS
from t3sim.simulation.part_store import without_disk
from t3sim.version import __version__

_AgainstOption = Annotated[
    str | None,
    typer.Option("--against", help="measured, overlap, contention, models, network, ring or dram; none: all of them."),
]
_OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for comparisons.csv, summary.csv and validation.json.", file_okay=False),
]
_ReferenceOption = Annotated[
    Path | None,
    typer.Option("--reference", help="With --against dram: a table of runs to compare with, instead of the shipped."),
]


@app.command()
def validate(
    against: _AgainstOption = None,
    form: FormatOption = Format.TABLE,
    out: _OutOption = None,
    reference: _ReferenceOption = None,
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Simulate what others measured and print the errors: count, mean, geomean, bias, worst case, by size band."""
    if no_cache:
        without_disk()
    if against is not None and against not in validation.against():
        problem = Problem(message="unknown name", key="--against", value=against, known=validation.against())
        raise InputError(problem)
    checks = validation.checks(against)
    if reference is not None:
        checks = {"dram": _dram_check(against, reference)}
    if out is not None:
        prepare_folder(out)
    comparisons: list[Row] = []
    summaries: list[Row] = []
    notes: list[str] = []
    with ProgressReport() as progress:
        for name, check in checks.items():
            done = check.compare(progress, jobs or cores())
            comparisons += [{"against": name, **item.row()} for item in done]
            summaries += validation.summary(name, done)
            notes += check.notes if isinstance(check, validation.WithNotes) else []
    columns = ("against", *COMPARISON_COLUMNS)
    manifest = {"t3sim": __version__, "notes": notes}
    document: dict[str, Any] = {"summary": summaries, "comparisons": comparisons, "manifest": manifest}
    for note in notes:
        typer.echo(f"note: {note}", err=True)
    if out is not None:
        files = {
            "comparisons.csv": rows_csv(comparisons, columns),
            "summary.csv": rows_csv(summaries, SUMMARY_COLUMNS),
            "validation.json": to_json(document),
        }
        write_files(out, files)
    if form is Format.JSON:
        typer.echo(to_json(document), nl=False)
    elif form is Format.CSV:
        typer.echo(rows_csv(comparisons, columns), nl=False)
    else:
        print_tables([validation_table(summaries)])


def _dram_check(against: str | None, reference: Path) -> validation.Check:
    """Compare with a user's table, and say which of its rows are left out."""
    if against != "dram":
        raise InputError(
            Problem(message="--reference goes with --against dram", key="--reference", value=str(reference))
        )
    # Only when asked for: they bring compiled functions, which every other command would report as not compiled yet.
    from t3sim.validation.dram import DramChannel  # noqa: PLC0415
    from t3sim.validation.dram_table import load_table  # noqa: PLC0415

    table = load_table(reference)
    for line in table.left_out:
        typer.echo(f"left out: {line}", err=True)
    return DramChannel(table)
