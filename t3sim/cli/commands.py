"""The commands by name: what the list of them says, and the module that is imported when one of them is asked for."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from t3sim import lazy


class Entry(NamedTuple):
    """One command, before it is imported."""

    module: str
    """Its file in this package, which adds it to the app."""
    summary: str
    """The first paragraph of its help."""


COMMANDS: Final[Mapping[str, Entry]] = MappingProxyType(
    {
        "run": Entry(
            "run", "Simulate the sublayers of a trace under the schemes and print times, speedups and DRAM traffic."
        ),
        "collective": Entry(
            "collective",
            "Simulate one collective alone and print time, algorithm and bus bandwidth, and what binds it.",
        ),
        "gemm": Entry(
            "gemm",
            "Simulate one GEMM alone and print its kernel, time, share of the peak and what binds it; with --tp its "
            "sublayer.",
        ),
        "explain": Entry(
            "explain",
            "Say where the time of each sublayer went under each scheme, what binds it, and what would help most.",
        ),
        "break-even": Entry(
            "break_even",
            "Find the number of tokens from which on a scheme is faster than sequential, by simulating more and more.",
        ),
        "model": Entry(
            "model",
            "Time one iteration of a whole model: a training step, a prompt to its first token, or a generated token.",
        ),
        "reproduce": Entry(
            "reproduce",
            "Simulate T3's published experiments and print each published figure beside the simulated one.",
        ),
        "figures": Entry(
            "figures",
            "Simulate T3's published experiments and draw them: times, speedups, DRAM accesses, DRAM traffic over "
            "time.",
        ),
        "validate": Entry(
            "validate",
            "Simulate what others measured and print the errors: count, mean, geomean, bias, worst case, by size band.",
        ),
        "sweep": Entry("sweep", "Run every point of a sweep that its folder of results does not have yet."),
        "merge": Entry("sweep", "Put the results of a sweep's shards into one table."),
        "sensitivity": Entry(
            "sensitivity", "Vary every number of the system by half, one at a time, and rank them by what that changes."
        ),
        "table": Entry(
            "table",
            "Pivot results: a metric over all points with the same labels, with their number, smallest and largest.",
        ),
        "pareto": Entry(
            "table",
            "Pick the points that no other beats in every metric; a metric may be an axis, such as "
            "system.link.bandwidth.",
        ),
        "winners": Entry(
            "winners",
            "Say of every point which scheme is fastest, what T3 gains over the best software, and why.",
        ),
        "plot": Entry("plot", "Draw a figure from results: lines, bars, a heat map or a tornado."),
        "report": Entry(
            "report",
            "Write results as one HTML file that needs no network: charts, tables, published figures, parameters, "
            "losses.",
        ),
        "trace": Entry("trace", "Make, show, export and import traces: the operations of one rank of a layer."),
        "schema": Entry("tools", "Print the JSON Schema of a file format, for editors that check YAML while you type."),
        "doctor": Entry(
            "tools", "Check the installation: versions, shipped files, compiled functions, and a small run."
        ),
    }
)


class CommandGroup(TyperGroup):
    """The group of all commands: it lists them by what is known here, and imports the one that is to be run."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        imported = self.commands
        self.commands = {
            name: imported.get(name) or TyperCommand(name, help=entry.summary) for name, entry in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that the first word names, and find it as any group does."""
        if args and args[0] in COMMANDS:
            app = lazy.module(f"{__package__}.{COMMANDS[args[0]].module}").app  # to which the module adds its commands
            self.commands = typer.main.get_group(app).commands
        return super().resolve_command(ctx, args)
