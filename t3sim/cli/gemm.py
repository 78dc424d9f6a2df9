"""``t3sim gemm``: one GEMM alone, and in its sublayer."""

from typing import Annotated

import typer

from t3sim.cli.app import Format, FormatOption, NoCacheOption, SetOption, SystemOption, app, listed
from t3sim.cli.network_options import AlgorithmOption, TopologyOption, system_overrides
from t3sim.cli.output import ProgressReport, finish, print_notes, print_tables, with_command
from t3sim.errors import InputError, Problem
from t3sim.experiments.gemms import GEMM_COLUMNS, gemm_study
from t3sim.report.tables import gemm_table, result_table
from t3sim.report.text import rows_csv, to_json
from t3sim.simulation import load_system
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM
from t3sim.workload.gemm_lists import shape_of

_SCHEMES = "sequential,t3,t3-mca"


@app.command()
def gemm(
    m: Annotated[int, typer.Argument(metavar="M", help="Rows of the output (tokens).")],
    n: Annotated[int, typer.Argument(metavar="N", help="Columns of the output.")],
    k: Annotated[int, typer.Argument(metavar="K", help="Whole reduction length; with --tp the GPUs share it.")],
    tp: Annotated[
        int | None, typer.Option(help="GPUs that share K: also run GEMM, reduce-scatter and all-gather under schemes.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Element type.")] = "fp16",
    system: SystemOption = DEFAULT_SYSTEM,
    scheme: Annotated[str, typer.Option(help="Schemes with --tp, comma-separated.")] = _SCHEMES,
    assignments: SetOption = None,
    topology: TopologyOption = "",
    algorithm: AlgorithmOption = "",
    form: FormatOption = Format.TABLE,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Simulate one GEMM alone and print its kernel, time, share of the peak and what binds it; with --tp its sublayer.

    Alone, with --tp, is one GPU's share. As CSV there is one table: with --tp the rows that `t3sim run` gives.
    """
    if no_cache:
        without_disk()
    if tp is None and (scheme != _SCHEMES or topology or algorithm):
        given = {"--scheme": scheme != _SCHEMES, "--topology": topology, "--algorithm": algorithm}
        message = "needs --tp: a GEMM alone has nothing to exchange"
        raise InputError(*(Problem(message=message, key=key) for key, value in given.items() if value))
    shape = shape_of(m, n, k, dtype)
    config = load_system(system, system_overrides(system, topology, algorithm, assignments))
    with ProgressReport() as progress:
        found = gemm_study(config, shape, tp, listed(scheme), progress)
    if form is Format.JSON:
        typer.echo(to_json(with_command(found.document())), nl=False)
    elif form is Format.CSV:
        text = rows_csv([found.alone], GEMM_COLUMNS) if found.schemes is None else rows_csv(found.schemes.rows)
        typer.echo(text, nl=False)
    else:
        print_tables([gemm_table(found.alone, found.manifest)])
        if found.schemes is not None:
            print_tables([result_table(found.schemes)])
    if found.schemes is not None:
        finish(found.schemes)
    else:
        print_notes(found.manifest)
