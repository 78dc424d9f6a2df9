"""``t3sim collective``: one collective alone, by size, as nccl-tests asks real machines."""

from enum import StrEnum
from typing import Annotated

import typer

from t3sim.cli.app import (
    DataOption,
    DataTypeOption,
    Format,
    FormatOption,
    NoCacheOption,
    OutOption,
    SetOption,
    SystemOption,
    app,
)
from t3sim.cli.network_options import AlgorithmOption, TopologyOption, system_overrides
from t3sim.cli.output import ProgressReport, print_notes, print_tables, with_command
from t3sim.cli.sizes import sizes
from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import algorithms_for
from t3sim.config import dump_yaml
from t3sim.errors import InputError, Problem
from t3sim.experiments.collectives import COLLECTIVE_COLUMNS, Collectives
from t3sim.experiments.collectives import collectives as run_study
from t3sim.files import prepare_folder, write_files
from t3sim.report.tables import collective_table
from t3sim.report.text import rows_csv, to_json
from t3sim.simulation import load_system
from t3sim.simulation.collective import FREE_MEMORY
from t3sim.simulation.lab import ALL, MIRROR, ONE
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM, data_mode
from t3sim.workload.operations import MOST_GPUS


class Simulated(StrEnum):
    """Which GPUs are simulated."""

    MIRROR = MIRROR
    ONE = ONE
    ALL = ALL


@app.command()
def collective(
    op: Annotated[str, typer.Argument(help=f"What is done: {', '.join(each.value for each in Operation)}.")],
    nbytes: Annotated[
        str, typer.Option("--bytes", help="Buffer: 16MiB, or a range FROM:TO:xSTEP, as in 1MiB:1GiB:x2.")
    ],
    gpus: Annotated[int, typer.Option(min=1, max=MOST_GPUS, help="GPUs that take part.")],
    algorithm: AlgorithmOption = "",
    topology: TopologyOption = "",
    system: SystemOption = DEFAULT_SYSTEM,
    assignments: SetOption = None,
    free_memory: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--free-memory", help="Memory, launches and protocols cost nothing: the network alone.")
    ] = False,
    simulate: Annotated[
        Simulated,
        typer.Option(help="mirror: one GPU where it is each of them; one: also where nearly; all: all of them."),
    ] = Simulated.MIRROR,
    bound: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option(help="Run each size again with each resource doubled, to see what binds it.")
    ] = True,
    data: DataOption = False,  # noqa: FBT002 - an option
    data_dtype: DataTypeOption = None,
    form: FormatOption = Format.TABLE,
    out: OutOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Simulate one collective alone and print time, algorithm and bus bandwidth, and what binds it.

    The buffer is counted as in nccl-tests: whole, and for all_to_all the send buffer of one GPU.
    """
    if no_cache:
        without_disk()
    operation = _operation(op)
    buffers = sizes(nbytes, "--bytes")
    if algorithm:
        _check_algorithm(operation, algorithm)
    free = FREE_MEMORY if free_memory else ()
    overrides = system_overrides(system, topology, algorithm, (*free, *(assignments or ())))
    config = load_system(system, overrides)
    checked = data_mode(data=data, dtype=data_dtype)
    if out is not None:
        prepare_folder(out)
    with ProgressReport() as progress:
        found = run_study(
            config,
            operation.value,
            gpus,
            buffers,
            simulated=simulate.value,
            bounds=bound,
            data=checked,
            progress=progress,
        )
    document = with_command(found.document())
    if out is not None:
        contents = {
            "results.csv": _csv(found),
            "run.json": to_json(document),
            "system.yaml": dump_yaml(config.resolved),
        }
        write_files(out, contents)
        typer.echo(f"wrote {', '.join(contents)} to {out}", err=True)
    if form is Format.JSON:
        typer.echo(to_json(document), nl=False)
    elif form is Format.CSV:
        typer.echo(_csv(found), nl=False)
    else:
        print_tables([collective_table(found.rows, found.manifest)])
    print_notes(found.manifest)
    for failure in found.failures:
        typer.echo(f"failed: {failure}", err=True)
    if found.failures:
        raise typer.Exit(1)


def _operation(text: str) -> Operation:
    known = tuple(each.value for each in Operation)
    name = text.replace("-", "_")
    if name not in known:
        raise InputError(Problem(message="unknown name", key="OP", value=text, known=known))
    return Operation(name)


def _check_algorithm(operation: Operation, algorithm: str) -> None:
    """Refuse what does other collectives only: a system takes it, and uses it for those."""
    known = algorithms_for(operation)
    if algorithm not in known:
        message = f"no algorithm for {operation.value}"
        raise InputError(Problem(message=message, key="--algorithm", value=algorithm, known=known))


def _csv(found: Collectives) -> str:
    return rows_csv(found.rows, COLLECTIVE_COLUMNS)
