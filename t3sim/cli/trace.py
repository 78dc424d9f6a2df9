"""``t3sim trace``: make, show, export and import traces."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from t3sim.cli.app import app
from t3sim.cli.output import print_tables
from t3sim.cli.trace_files import export, import_
from t3sim.data import models_dir, traces_dir
from t3sim.errors import InputError, Problem
from t3sim.files import prepare_folder, write_files
from t3sim.workload.gemm_lists import load_gemms
from t3sim.workload.hugging_face import load_hugging_face
from t3sim.workload.model_traces import transformer_trace
from t3sim.workload.models import load_model
from t3sim.workload.operations import Gemm
from t3sim.workload.trace import load_trace, render_trace

_MIB = 2**20

trace_app = typer.Typer(
    no_args_is_help=True, help="Make, show, export and import traces: the operations of one rank of a layer."
)
app.add_typer(trace_app, name="trace")
trace_app.command()(export)
trace_app.command("import")(import_)


@trace_app.command()
def new(
    model: Annotated[
        str | None, typer.Argument(help="Model: name of a shipped config (t-nlg), or a YAML file.")
    ] = None,
    tp: Annotated[int | None, typer.Option(help="Tensor-parallel degree: GPUs that share the layer.")] = None,
    tokens: Annotated[int | None, typer.Option(help="Rows of every GEMM; the model's own by default.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Element type; the model's own by default.")] = None,
    sequence_parallel: Annotated[  # noqa: FBT002 - a flag of the command line
        bool,
        typer.Option(
            "--sequence-parallel",
            help="Eight sublayers: an all-gather before each GEMM that is sliced by columns, a reduce-scatter after "
            "each other one.",
        ),
    ] = False,
    hf: Annotated[
        Path | None, typer.Option("--hf", help="In place of MODEL: config.json of a Hugging Face model.")
    ] = None,
    model_out: Annotated[
        Path | None,
        typer.Option(
            "--model-out",
            help="With --hf: file for the model as YAML, sources and all. Without --tp it is all there is.",
            dir_okay=False,
        ),
    ] = None,
    gemms: Annotated[
        Path | None,
        typer.Option(
            help="In place of MODEL: CSV with columns M, N, K, dtype, and perhaps count. Each row is one sublayer: a "
            "GEMM, its reduce-scatter, an all-gather. K is the whole reduction length, which the GPUs share.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; stdout by default.", dir_okay=False)] = None,
) -> None:
    """Make the trace of one layer's sublayers from a model config, or of GEMMs from a list."""
    _check_sources(model, hf, gemms, model_out)
    options = [
        *([f"--tp {tp}"] if tp is not None else []),
        *([f"--tokens {tokens}"] if tokens else []),
        *([f"--dtype {dtype}"] if dtype else []),
        *(["--sequence-parallel"] if sequence_parallel else []),
    ]
    if gemms is not None:
        _refuse_with_gemms(tokens, dtype, sequence_parallel=sequence_parallel)
        made, notes = load_gemms(gemms, _needed(tp))
        _print_all(notes)
        _give(render_trace(made, command=f"t3sim trace new --gemms {shlex.quote(str(gemms))} {' '.join(options)}"), out)
        return
    if hf is not None:
        if model_out is None:
            _needed(tp)
        converted = load_hugging_face(hf, tp=tp, tokens=tokens, dtype=dtype)
        _print_all(converted.notes)
        if model_out is not None:
            _write(converted.text, model_out)
        if tp is None:
            return
        spec, source = converted.spec, f"--hf {shlex.quote(str(hf))}"
    else:
        spec, source = load_model(str(model), folder=models_dir()).spec, str(model)
    trace = transformer_trace(spec, _needed(tp), tokens=tokens, dtype=dtype, sequence_parallel=sequence_parallel)
    _give(render_trace(trace, command=f"t3sim trace new {source} {' '.join(options)}"), out)


def _check_sources(model: str | None, hf: Path | None, gemms: Path | None, model_out: Path | None) -> None:
    """Refuse all but one thing to make a trace of."""
    given = {"MODEL": model, "--hf": hf, "--gemms": gemms}
    there = [name for name, value in given.items() if value is not None]
    if not there:
        raise InputError(Problem(message="needs a model, or --hf or --gemms in its place", key="MODEL"))
    if len(there) > 1:
        raise InputError(Problem(message=f"not together with {there[0]}: one of them is the trace's", key=there[1]))
    if model_out is not None and hf is None:
        raise InputError(Problem(message="writes the model that --hf names", key="--model-out"))


def _refuse_with_gemms(tokens: int | None, dtype: str | None, *, sequence_parallel: bool) -> None:
    given = {"--tokens": tokens, "--dtype": dtype, "--sequence-parallel": sequence_parallel or None}
    message = "not with --gemms, whose rows say what each GEMM is"
    if problems := [Problem(message=message, key=key) for key, value in given.items() if value is not None]:
        raise InputError(*problems)


def _needed(tp: int | None) -> int:
    if tp is None:
        raise InputError(Problem(message="missing option: the number of GPUs that share the layer", key="--tp"))
    return tp


def _print_all(notes: Iterable[str]) -> None:
    for note in notes:
        typer.echo(f"note: {note}", err=True)


def _give(text: str, out: Path | None) -> None:
    """Print a trace, or write it."""
    if out is None:
        typer.echo(text, nl=False)
    else:
        _write(text, out)


def _write(text: str, path: Path) -> None:
    prepare_folder(path.parent)
    write_files(path.parent, {path.name: text})
    typer.echo(f"wrote {path}", err=True)


@trace_app.command()
def show(trace: Annotated[str, typer.Argument(help="Trace: name of a shipped one, or a YAML file.")]) -> None:
    """Show a trace as a table: shapes, bytes, work, and what waits for what."""
    loaded = load_trace(trace, folder=traces_dir()).spec
    table = Table(title=f"{loaded.model}, TP {loaded.tp}: {loaded.description}", title_justify="left")
    for name in ("operation", "op", "phase", "sublayer", "dtype"):
        table.add_column(name)
    for name in ("M", "N", "K_local", "GFLOP", "buffer MiB"):
        table.add_column(name, justify="right")
    table.add_column("after")
    for op in loaded.operations:
        if isinstance(op, Gemm):
            sizes = (
                str(op.M),
                str(op.N),
                str(op.K_local),
                f"{op.flop / 1e9:.1f}",
                f"{op.output_bytes / _MIB:.1f}",
            )
        else:
            sizes = ("", "", "", "", f"{op.bytes / _MIB:.1f}")
        table.add_row(op.id, op.op, op.phase, op.sublayer, op.dtype, *sizes, ", ".join(op.after))
    print_tables([table])
