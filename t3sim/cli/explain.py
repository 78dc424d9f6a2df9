"""``t3sim explain``: where the time went, and what the columns mean."""

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from t3sim.cli.app import (
    Format,
    FormatOption,
    GpusOption,
    JobsOption,
    NoCacheOption,
    SchemeOption,
    SetOption,
    SublayerOption,
    SystemOption,
    app,
    listed,
)
from t3sim.cli.network_options import AlgorithmOption, TopologyOption, system_overrides
from t3sim.cli.output import ProgressReport, print_tables, with_command
from t3sim.errors import InputError, Problem
from t3sim.experiments.explanations import explain as run_study
from t3sim.experiments.explanations import metric
from t3sim.files import prepare_folder, write_files
from t3sim.processes import cores
from t3sim.report.explanation_tables import bucket_table, hardware_table, metric_text, what_if_table
from t3sim.report.html.material import EXPLANATION
from t3sim.report.text import rows_csv, to_json
from t3sim.results.explanation import NESTED, Explanations
from t3sim.results.sublayers import namer
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM


@app.command()
def explain(
    trace: Annotated[
        str | None, typer.Argument(help="Trace: name of a shipped one (t-nlg-tp8), or a YAML file.")
    ] = None,
    system: SystemOption = DEFAULT_SYSTEM,
    sublayer: SublayerOption = "",
    scheme: SchemeOption = "",
    assignments: SetOption = None,
    topology: TopologyOption = "",
    algorithm: AlgorithmOption = "",
    gpus: GpusOption = "mirror",
    form: FormatOption = Format.TABLE,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder of results to write explain.json into, for `t3sim report`.", file_okay=False
        ),
    ] = None,
    what_if: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option(help="Run each scheme again with each parameter relaxed, to see what would help.")
    ] = True,
    metrics: Annotated[str, typer.Option("--metric", help="Say what columns or buckets mean, comma-separated.")] = "",
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Say where the time of each sublayer went under each scheme, what binds it, and what would help most.

    With --metric NAME: what a column of the results or a loss bucket (NAME_fs) means, its unit and formula.
    """
    if no_cache:
        without_disk()
    if metrics:
        typer.echo("\n\n".join(metric_text(metric(name)) for name in listed(metrics)))
        return
    if trace is None:
        raise InputError(Problem(message="needs a trace to explain, or a column with --metric", key="TRACE"))
    if out is not None:
        prepare_folder(out)
    with ProgressReport() as progress:
        found = run_study(
            trace,
            system=system,
            sublayers=listed(sublayer),
            schemes=listed(scheme),
            overrides=system_overrides(system, topology, algorithm, assignments),
            gpus=gpus,
            relax=what_if,
            progress=progress,
            jobs=jobs or cores(),
        )
    document = with_command(found.document())
    if out is not None:
        write_files(out, {EXPLANATION: to_json(document)})
        typer.echo(f"wrote {EXPLANATION} to {out}", err=True)
    if form is Format.JSON:
        typer.echo(to_json(document), nl=False)
    elif form is Format.CSV:
        rows = found.rows()
        typer.echo(rows_csv(rows, [name for name in rows[0] if name not in NESTED]), nl=False)
    else:
        print_tables(_tables(found))


def _tables(found: Explanations) -> Iterator[Table]:
    name_of = namer(found.rows())
    for _, group in groupby(found.rows(), key=lambda row: str(row["point_id"])):
        rows = list(group)
        name = name_of(rows[0])
        yield bucket_table(rows, name)
        yield hardware_table(rows, name)
        yield from (what_if_table(row, name) for row in rows if row["what_if"])
