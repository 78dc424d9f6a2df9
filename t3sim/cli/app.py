"""The typer application and the options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from t3sim import lazy
from t3sim.cli.commands import CommandGroup

if TYPE_CHECKING:
    from t3sim import version as package
else:
    package = lazy.module("t3sim.version")

app = typer.Typer(
    name="t3sim",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Simulate T3: tensor-parallel GEMMs and the collectives that hide behind them.",
)


class Format(StrEnum):
    """How results are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


SystemOption = Annotated[str, typer.Option("--system", help="Hardware: name of a shipped config, or a YAML file.")]
SublayerOption = Annotated[
    str,
    typer.Option(
        "--sublayer", help="Sublayers, comma-separated (op,fc2,fc1,ip; of one phase: backward/fc2); all by default."
    ),
]
SchemeOption = Annotated[str, typer.Option("--scheme", help="Schemes, comma-separated; all by default.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override a value of the system: a.b.c=value.")]
GpusOption = Annotated[
    str,
    typer.Option(
        "--gpus", help="'mirror': one GPU where it is each of them; 'one': also where nearly; the TP degree: all."
    ),
]
DataOption = Annotated[
    bool, typer.Option("--data", help="Let all memories hold numbers, and compare what is there at the end.")
]
DataTypeOption = Annotated[
    str | None,
    typer.Option("--data-dtype", help="fp32, fp16 or bf16: and show what rounding to it does to sums. Implies --data."),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", min=1, help="Processes of this machine; all cores by default.")
]
NoCacheOption = Annotated[
    bool,
    typer.Option("--no-cache", help="Take nothing from what was simulated before, and keep nothing for later."),
]
FormatOption = Annotated[Format, typer.Option("--format", help="What stdout gets.")]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for results.csv, run.json and the resolved config.", file_okay=False),
]


def listed(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer's callback signature
    if value:
        typer.echo(f"t3sim {package.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[  # noqa: FBT002 - handled by its callback
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    pass
