"""``t3sim model``: iterations of whole models."""

from pathlib import Path
from typing import Annotated

import typer

from t3sim.cli.app import (
    Format,
    FormatOption,
    NoCacheOption,
    OutOption,
    SchemeOption,
    SetOption,
    SystemOption,
    app,
    listed,
)
from t3sim.cli.network_options import AlgorithmOption, TopologyOption, system_overrides
from t3sim.cli.output import print_tables, with_command
from t3sim.config import dump_yaml
from t3sim.data import models_dir
from t3sim.errors import InputError, Problem
from t3sim.files import prepare_folder, write_files
from t3sim.iterations.parallelism import Parallelism, Recompute
from t3sim.iterations.study import PHASES, IterationStudy
from t3sim.report.iteration_tables import iteration_table, kinds_table, latency_table
from t3sim.report.text import rows_csv, to_json
from t3sim.simulation import load_system
from t3sim.simulation.part_store import without_disk
from t3sim.simulation.plans import facts_of
from t3sim.simulation.run import DEFAULT_SYSTEM, choose_schemes, manifest_of
from t3sim.workload.models import load_model
from t3sim.workload.pruning import pruned

_SCHEMES = "sequential,t3,t3-mca"


@app.command("model")
def model_command(
    model: Annotated[str, typer.Argument(help="Model: name of a shipped config (t-nlg), or a YAML file.")],
    phase: Annotated[str, typer.Option(help=f"Part of its life: {', '.join(PHASES)}.")] = "training",
    tp: Annotated[int, typer.Option(help="GPUs that share each layer.")] = 8,
    pp: Annotated[int, typer.Option(help="Stages that the layers are split into.")] = 1,
    dp: Annotated[int, typer.Option(help="Copies of the model.")] = 1,
    micro_batch: Annotated[int, typer.Option(help="Sequences that go through a stage at a time.")] = 1,
    global_batch: Annotated[
        int | None, typer.Option(help="Sequences of an iteration; one micro-batch a copy by default.")
    ] = None,
    seq: Annotated[int | None, typer.Option(help="Tokens of a sequence; the model's own by default.")] = None,
    context: Annotated[
        int | None, typer.Option(help="Generation: tokens of which keys and values are kept; --seq by default.")
    ] = None,
    interleave: Annotated[int, typer.Option(help="Groups of layers of a stage that take turns.")] = 1,
    recompute: Annotated[
        str, typer.Option(help="What the backward pass computes again: none, selective, full.")
    ] = "none",
    sequence_parallel: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--sequence-parallel", help="GPUs share the rows between sliced GEMMs as well.")
    ] = False,
    zero1: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--zero1", help="Copies share the optimizer's state.")
    ] = False,
    prune: Annotated[
        str, typer.Option(help="Parts that layers have lost: 3.mlp,5.attention, counted from 0, or a file of them.")
    ] = "",
    latency: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--latency-table", help="What each part of each layer takes forward, and nothing else.")
    ] = False,
    overlap_gradients: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option(help="Sum gradients beside the last backward pass.")
    ] = True,
    system: SystemOption = DEFAULT_SYSTEM,
    scheme: SchemeOption = _SCHEMES,
    assignments: SetOption = None,
    topology: TopologyOption = "",
    algorithm: AlgorithmOption = "",
    form: FormatOption = Format.TABLE,
    out: OutOption = None,
    no_cache: NoCacheOption = False,  # noqa: FBT002 - an option
) -> None:
    """Time one iteration of a whole model: a training step, a prompt to its first token, or a generated token."""
    if no_cache:
        without_disk()
    config = load_system(system, system_overrides(system, topology, algorithm, assignments))
    spec = load_model(model, folder=models_dir()).spec
    spec = pruned(spec, prune) if prune else spec
    split = Parallelism(
        tp=tp,
        pp=pp,
        dp=dp,
        micro_batch=micro_batch,
        global_batch=global_batch if global_batch is not None else dp * micro_batch,
        interleave=interleave,
        sequence_parallel=sequence_parallel,
        recompute=_recompute(recompute),
        sharded_optimizer=zero1,
        overlap_gradients=overlap_gradients,
    )
    asked = (context if phase == "generation" else None, seq, spec.sequence, spec.tokens)
    sequence = next(tokens for tokens in asked if tokens is not None)
    if phase not in PHASES:
        raise InputError(Problem(message="unknown name", key="--phase", value=phase, known=PHASES))
    schemes = choose_schemes(listed(scheme), facts_of(config.spec, max(2, tp)))
    study = IterationStudy(model=spec, system=config, phase=phase, parallelism=split, sequence=sequence)
    rows = study.latencies(schemes) if latency else study.run(schemes)
    document = with_command({"rows": rows, "manifest": manifest_of([config], ())})
    if out is not None:
        _write(out, rows, document, dump_yaml(config.resolved))
    if form is Format.JSON:
        typer.echo(to_json(document), nl=False)
    elif form is Format.CSV:
        typer.echo(rows_csv(rows, tuple(rows[0])), nl=False)
    else:
        print_tables([latency_table(rows)] if latency else [iteration_table(rows), kinds_table(rows)])


def _write(out: Path, rows: list[dict[str, object]], document: dict[str, object], system: str) -> None:
    prepare_folder(out)
    contents = {"results.csv": rows_csv(rows, tuple(rows[0])), "run.json": to_json(document), "system.yaml": system}
    write_files(out, contents)
    typer.echo(f"wrote {', '.join(contents)} to {out}", err=True)


def _recompute(text: str) -> Recompute:
    known: tuple[Recompute, ...] = ("none", "selective", "full")
    for name in known:
        if name == text:
            return name
    raise InputError(Problem(message="unknown name", key="--recompute", value=text, known=known))
