"""``t3sim trace export`` and ``import``: traces as other programs write and read them."""

import gzip
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t3sim import lazy
from t3sim.cli.app import SetOption
from t3sim.data import traces_dir
from t3sim.errors import InputError, Problem, one_line
from t3sim.files import prepare_folder, replacing, write_files
from t3sim.units import FS_PER_US
from t3sim.workload.chakra import import_chakra, rank_files
from t3sim.workload.kineto import import_kineto
from t3sim.workload.operations import MOST_GPUS, Dtype, Gemm, Trace
from t3sim.workload.trace import load_trace, render_trace

if TYPE_CHECKING:
    from t3sim import simulation
    from t3sim.experiments import gemm_times
else:
    # Only what carries times needs a simulation.
    simulation = lazy.module("t3sim.simulation")
    gemm_times = lazy.module("t3sim.experiments.gemm_times")


class TraceFormat(StrEnum):
    """In which form a trace is written."""

    CHAKRA = "chakra"


def export(
    trace: Annotated[str, typer.Argument(help="Trace: name of a shipped one, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the files.", file_okay=False)],
    form: Annotated[
        TraceFormat, typer.Option("--format", help="chakra: PREFIX.RANK.et for each rank, as ASTRA-sim reads them.")
    ] = TraceFormat.CHAKRA,
    prefix: Annotated[str, typer.Option(help="How the files' names begin; as the trace is called by default.")] = "",
    packed: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--gzip", help="Pack the files, which ASTRA-sim's present reader does not take.")
    ] = False,
    system: Annotated[
        str, typer.Option("--system", help="Give GEMMs the times that they take alone on this hardware.")
    ] = "",
    assignments: SetOption = None,
) -> None:
    """Write a trace for other simulators: one file a rank."""
    del form
    loaded = load_trace(trace, folder=traces_dir())
    prefix = prefix or loaded.path.stem
    if prefix != Path(prefix).name:
        raise InputError(Problem(message="is a name, and no path", key="--prefix", value=prefix))
    if assignments and not system:
        raise InputError(Problem(message="changes a system, so it needs --system", key="--set", value=assignments[0]))
    prepare_folder(out)
    durations = _durations_us(loaded.spec, system, assignments) if system else None
    for rank, data in enumerate(rank_files(loaded.spec, durations)):
        with replacing(out / f"{prefix}.{rank}.et", binary=True) as file:
            file.write(gzip.compress(data, mtime=0) if packed else data)
    if durations is None and any(isinstance(operation, Gemm) for operation in loaded.spec.operations):
        typer.echo("note: GEMMs have operations and bytes, for a roofline, and no times; --system adds them", err=True)
    typer.echo(f"wrote {out / prefix}.0.et to .{loaded.spec.tp - 1}.et", err=True)


def _durations_us(trace: Trace, system: str, assignments: list[str] | None) -> dict[str, int]:
    """Simulate the GEMMs. Chakra counts whole microseconds, and 0 says nothing."""
    times = gemm_times.gemm_times_fs(simulation.load_system(system, assignments or []), trace)
    return {name: max(1, round(time / FS_PER_US)) for name, time in times.items()}


def import_(
    path: Annotated[
        Path,
        typer.Argument(
            help="Chakra's .et of one rank, a folder of them, or PyTorch's profile, a .json; packed with gzip or not."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="File to write; stdout by default.", dir_okay=False)] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Whose file of a folder; the first one's by default.")] = None,
    tp: Annotated[
        int | None,
        typer.Option(min=2, max=MOST_GPUS, help="GPUs of the group; as the file says, or one for each file."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="Process group whose collectives are taken; all of as many GPUs by default.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model; of the file by default.")] = None,
    dtype: Annotated[
        Dtype, typer.Option(help="Element type of collectives, where files have only their bytes.")
    ] = "fp16",
) -> None:
    """Make a trace of another program's, and say what of it could not be mapped."""
    if path.name.removesuffix(".gz").endswith(".json"):
        if rank is not None:
            raise InputError(Problem(message="chooses a file of a folder", file=str(path), key="--rank", value=rank))
        imported = import_kineto(path, tp=tp, group=group, model=model)
    else:
        imported = import_chakra(path, rank=rank, tp=tp, group=group, model=model, dtype=dtype)
    for note in imported.notes:
        typer.echo(one_line(f"note: {note}"), err=True)
    text = render_trace(imported.trace, command=f"t3sim trace import {path.name}")
    if out is None:
        typer.echo(text, nl=False)
        return
    prepare_folder(out.parent)
    write_files(out.parent, {out.name: text})
    typer.echo(f"wrote {out}", err=True)
