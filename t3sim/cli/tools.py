"""``t3sim schema`` and ``t3sim doctor``: for editors, and for finding out what is wrong with an installation."""

import platform
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated

import typer

from t3sim import compiled
from t3sim.cli.app import app
from t3sim.config import Spec
from t3sim.data import drams_dir, models_dir, sweeps_dir, systems_dir, traces_dir
from t3sim.hardware.memory.banked.dram.spec import DramSpec, load_dram
from t3sim.report.text import to_json
from t3sim.simulation import SystemSpec, load_system, simulate
from t3sim.simulation.part_store import FOLDER, REMEMBERED, without_disk
from t3sim.simulation.run import LIBRARIES
from t3sim.studies import Published, load_published
from t3sim.sweeps import load_sweep
from t3sim.sweeps.spec import SweepSpec
from t3sim.version import __version__
from t3sim.workload.models import ModelSpec, load_model
from t3sim.workload.operations import Trace
from t3sim.workload.trace import load_trace


class Schema(StrEnum):
    """File formats that have a schema."""

    SYSTEM = "system"
    DRAM = "dram"
    MODEL = "model"
    TRACE = "trace"
    PUBLISHED = "published"
    SWEEP = "sweep"


_SPECS: dict[Schema, type[Spec]] = {
    Schema.SYSTEM: SystemSpec,
    Schema.DRAM: DramSpec,
    Schema.MODEL: ModelSpec,
    Schema.TRACE: Trace,
    Schema.PUBLISHED: Published,
    Schema.SWEEP: SweepSpec,
}


@app.command()
def schema(kind: Annotated[Schema, typer.Argument(help="Which file format.")] = Schema.SYSTEM) -> None:
    """Print the JSON Schema of a file format, for editors that check YAML while you type."""
    typer.echo(to_json(_SPECS[kind].model_json_schema()), nl=False)


@app.command()
def doctor() -> None:
    """Check the installation: versions, shipped files, compiled functions, and a small run."""
    failed = False
    for name, check in _checks():
        started = time.perf_counter()
        try:
            finding = check()
        except Exception as error:  # noqa: BLE001 - whatever it is, the doctor's job is to name it
            failed = True
            typer.echo(f"FAIL  {name}: {type(error).__name__}: {error}")
        else:
            typer.echo(f"ok    {name}: {finding} ({time.perf_counter() - started:.2f} s)")
    if failed:
        raise typer.Exit(1)


def _checks() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "t3sim", lambda: f"{__version__}, Python {platform.python_version()}, {platform.machine()}"
    yield "libraries", lambda: ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    yield "systems", lambda: _load_all(systems_dir().glob("*.yaml"), load_system)
    yield "DRAMs", lambda: _load_all(drams_dir().glob("*.yaml"), load_dram)
    yield (
        "models",
        lambda: _load_all(models_dir().glob("*.yaml"), lambda ref: load_model(ref, folder=models_dir())),
    )
    yield (
        "traces",
        lambda: _load_all(traces_dir().glob("*.yaml"), lambda ref: load_trace(ref, folder=traces_dir())),
    )
    yield "sweeps", lambda: _load_all(sweeps_dir().glob("*.yaml"), load_sweep)
    yield "published figures", lambda: f"{len(load_published().spec.targets)} targets"
    yield "compiled functions", _compiled_state
    yield "remembered runs", _cache_state
    yield "a small run", _small_run


def _load_all(paths: Iterator[object], loader: Callable[[str], object]) -> str:
    names = sorted(str(path) for path in paths)
    for path in names:
        loader(path)
    if not names:
        raise FileNotFoundError("none found")
    return f"{len(names)} files are valid"


def _compiled_state() -> str:
    if compiled.PLAIN:
        return "none: NUMBA_DISABLE_JIT is set"
    missing = compiled.uncached()
    state = f"{len(missing)} not compiled yet (the first run that needs them does)" if missing else "compiled"
    folder = compiled.cache_folder()
    return f"{state}, cached in {folder}" if folder else f"{state}, not cached: no folder can be written to"


def _cache_state() -> str:
    disk = REMEMBERED.disk
    if disk is None:
        return f"not kept: {FOLDER} says so, or names no folder that is yours alone"
    held = disk.usage()
    size = f"{held.nbytes / 2**20:.1f} MiB of at most {disk.most_bytes >> 20}"
    return f"{held.files} parts and tuned settings, {size}, in {disk.root}"


def _small_run() -> str:
    without_disk()  # it is there to see that runs run
    result = simulate("t-nlg-tp16", sublayers=("op",))
    if result.failed:
        raise RuntimeError(str(result.failed[0]["error_message"]))
    return ", ".join(f"{scheme} {speedup:.3f}" for scheme, speedup in result.geomean().items())
