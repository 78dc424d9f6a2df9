"""``t3sim break-even``: from how many tokens on a scheme wins."""

from collections.abc import Iterator
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
from t3sim.cli.output import ProgressReport, finish, print_result
from t3sim.data import models_dir
from t3sim.experiments.break_even import BreakEven
from t3sim.experiments.break_even import break_even as run_study
from t3sim.processes import cores
from t3sim.report.tables import speedup_by_tokens
from t3sim.simulation import load_system
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.run import DEFAULT_SYSTEM
from t3sim.workload.models import load_model


@app.command("break-even")
def break_even(
    model: Annotated[str, typer.Argument(help="Model: name of a shipped config (t-nlg), or a YAML file.")],
    tp: Annotated[int, typer.Option(help="Tensor-parallel degree: GPUs that share the layer.")],
    system: SystemOption = DEFAULT_SYSTEM,
    sublayer: SublayerOption = "",
    scheme: SchemeOption = "",
    assignments: SetOption = None,
    topology: TopologyOption = "",
    algorithm: AlgorithmOption = "",
    fewest: Annotated[int, typer.Option("--from", help="Fewest tokens.")] = 128,
    most: Annotated[int, typer.Option("--to", help="Most tokens.")] = 16384,
    gpus: GpusOption = "mirror",
    form: FormatOption = Format.TABLE,
    jobs: JobsOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Find the number of tokens from which on a scheme is faster than sequential, by simulating more and more."""
    if no_cache:
        without_disk()
    config = load_system(system, system_overrides(system, topology, algorithm, assignments))
    loaded = load_model(model, folder=models_dir()).spec
    with ProgressReport() as progress:
        found = run_study(
            loaded,
            tp,
            config,
            tokens=(fewest, most),
            sublayers=listed(sublayer),
            schemes=listed(scheme),
            gpus=gpus,
            progress=progress,
            jobs=jobs or cores(),
        )
    print_result(found.result, form, found.document(), _tables(found))
    finish(found.result)


def _tables(found: BreakEven) -> Iterator[Table]:
    yield speedup_by_tokens(found.result)
    table = Table(title="faster than sequential", title_justify="left")
    for name in ("sublayer", "scheme"):
        table.add_column(name)
    for name in ("from tokens on", "at tokens"):
        table.add_column(name, justify="right")
    for each in found.thresholds:
        ranges = ", ".join(f"{low}-{high}" for low, high in each.wins)
        table.add_row(each.sublayer, each.scheme, str(each.wins_from or "never"), ranges)
    yield table
