"""``t3sim trace``: make, show, export and import traces."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from t3sim.cli.app import app
from t3sim.cli.output import print_tables
from t3sim.cli.trace_files import export, import_
from t3sim.data import models_dir, traces_dir
from t3sim.files import prepare_folder, write_files
from t3sim.workload.models import load_model, transformer_trace
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
    model: Annotated[str, typer.Argument(help="Model: name of a shipped config (t-nlg), or a YAML file.")],
    tp: Annotated[int, typer.Option(help="Tensor-parallel degree: GPUs that share the layer.")],
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
    out: Annotated[Path | None, typer.Option(help="File to write; stdout by default.", dir_okay=False)] = None,
) -> None:
    """Make the trace of one layer's sublayers from a model config."""
    spec = load_model(model, folder=models_dir()).spec
    trace = transformer_trace(spec, tp, tokens=tokens, dtype=dtype, sequence_parallel=sequence_parallel)
    options = [
        f"--tp {tp}",
        *([f"--tokens {tokens}"] if tokens else []),
        *([f"--dtype {dtype}"] if dtype else []),
        *(["--sequence-parallel"] if sequence_parallel else []),
    ]
    text = render_trace(trace, command=f"t3sim trace new {model} {' '.join(options)}")
    if out is None:
        typer.echo(text, nl=False)
        return
    prepare_folder(out.parent)
    write_files(out.parent, {out.name: text})
    typer.echo(f"wrote {out}", err=True)


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
