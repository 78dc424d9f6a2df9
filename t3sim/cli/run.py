"""``t3sim run``: simulate a trace."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from t3sim.cli.app import (
    DataOption,
    DataTypeOption,
    Format,
    FormatOption,
    GpusOption,
    NoCacheOption,
    OutOption,
    SchemeOption,
    SetOption,
    SublayerOption,
    SystemOption,
    app,
    listed,
)
from t3sim.cli.network_options import AlgorithmOption, TopologyOption, system_overrides
from t3sim.cli.output import ProgressReport, finish, print_result, with_command, write_result
from t3sim.files import prepare_folder
from t3sim.observe import TimelineObserver
from t3sim.report.tables import result_table, summary_table
from t3sim.report.trace_events import timeline_file
from t3sim.results.timeline import Detail
from t3sim.simulation import load_system, simulate
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.point import Observe
from t3sim.simulation.run import DEFAULT_SYSTEM


@app.command()
def run(
    trace: Annotated[str, typer.Argument(help="Trace: name of a shipped one (t-nlg-tp8), or a YAML file.")],
    system: SystemOption = DEFAULT_SYSTEM,
    sublayer: SublayerOption = "",
    scheme: SchemeOption = "",
    assignments: SetOption = None,
    topology: TopologyOption = "",
    algorithm: AlgorithmOption = "",
    gpus: GpusOption = "mirror",
    data: DataOption = False,  # noqa: FBT002 - an option
    data_dtype: DataTypeOption = None,
    form: FormatOption = Format.TABLE,
    out: OutOption = None,
    timeline: Annotated[
        Path | None,
        typer.Option(help="File for a timeline (out.json.gz): ui.perfetto.dev, chrome://tracing.", dir_okay=False),
    ] = None,
    timeline_detail: Annotated[
        Detail, typer.Option(help="stage: chunks; tile: tiles, DMA commands and messages; packet: DRAM bursts too.")
    ] = Detail.TILE,
    tune: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--tune", help="Run rivals with the pieces and CUs that make each fastest, of a few.")
    ] = False,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Simulate the sublayers of a trace under the schemes and print times, speedups and DRAM traffic."""
    if no_cache:
        without_disk()
    overrides = system_overrides(system, topology, algorithm, assignments)
    config = load_system(system, overrides)
    if out is not None:
        prepare_folder(out)
    with ProgressReport() as progress, _timeline(timeline, timeline_detail) as observe:
        result = simulate(
            trace,
            system=system,
            sublayers=listed(sublayer),
            schemes=listed(scheme),
            overrides=overrides,
            gpus=gpus,
            progress=progress,
            observe=observe,
            data=data,
            data_dtype=data_dtype,
            tune=tune,
        )
    document = with_command(result.document())
    if out is not None:
        write_result(out, result, document, config.resolved)
    print_result(result, form, document, [result_table(result), summary_table(result)])
    finish(result)


@contextmanager
def _timeline(path: Path | None, detail: Detail) -> Iterator[Observe | None]:
    """Give an observer that writes a timeline to ``path``; without one, nobody looks."""
    if path is None:
        yield None
        return
    prepare_folder(path.parent, "--timeline")
    with timeline_file(path) as writer:
        observer = TimelineObserver(detail, writer.write)
        yield observer.observe
        observer.flush()
    typer.echo(f"wrote {path}", err=True)
