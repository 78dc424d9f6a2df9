"""Commands import what they need: counted, since times differ from machine to machine."""

import importlib
import os
import subprocess
import sys

import pytest
import typer

from t3sim.cli import commands
from t3sim.cli.app import app
from t3sim.simulation.part_store import FOLDER

SIMULATION = {"simpy", "numpy", "pydantic", "yaml"}
COMPILER = {"numba", "llvmlite"}
TABLES = {"pandas", "pyarrow"}  # pandas imports pyarrow where there is one
FIGURES = {"matplotlib"}
GRAPHS = {"networkx"}
CLUSTER = {"dask", "distributed"}
HELP = {"rich.markdown"}  # which typer imports to print help
WATCHED = SIMULATION | COMPILER | TABLES | FIGURES | GRAPHS | CLUSTER | HELP | {"rich"}
SPECS = {"numpy", "pydantic", "yaml"}
PROGRAM = f"""
import sys
from t3sim.cli import main
try:
    main()
finally:
    print("IMPORTED", *(name for name in {sorted(WATCHED)} if name in sys.modules), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def imported():
    """Give a function that runs a command line in a process of its own: what it imported of what is watched."""

    def run(*arguments):
        command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return set(done.stderr.rpartition("IMPORTED")[2].split())

    return run


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Give a small table of results."""
    folder = tmp_path_factory.mktemp("results")
    header = "status,system,model,tp,phase,sublayer,scheme,total_us,speedup"
    rows = ("ok,s,m,8,forward,op,sequential,2.0,1.0", "ok,s,m,8,forward,op,t3,1.0,2.0")
    (folder / "results.csv").write_text("\n".join((header, *rows, "")), encoding="utf-8")
    return folder


def test_the_list_of_commands_needs_nothing(imported):
    """Neither the commands nor what they need: no numbers, no specs, no files."""
    assert imported("--help") == HELP | {"rich"}
    assert imported("--version") == set()


@pytest.mark.parametrize("command", ["run", "collective", "gemm", "sweep", "merge", "reproduce", "validate"])
def test_the_help_of_a_command_compiles_and_draws_nothing(imported, command):
    """What describes the options is there, and the simulation that they are for; what a run or a table needs is not."""
    assert imported(command, "--help") <= SIMULATION | HELP | {"rich"}


def test_traces_need_specs_only(imported, tmp_path):
    """A trace is read, checked, shown, made and exchanged without a clock, a compiler or a graph."""
    assert imported("trace", "show", "t-nlg-tp8") == SPECS | {"rich"}
    assert imported("trace", "new", "t-nlg", "--tp", 4) == SPECS | {"rich"}
    assert imported("trace", "export", "t-nlg-tp8", "--out", tmp_path) == SPECS | {"rich"}
    assert imported("trace", "import", tmp_path) == SPECS | {"rich"}


def test_tables_need_pandas_only(imported, results):
    """What works on results knows nothing of what made them; figures alone need the library that draws."""
    alone = SPECS | {"rich", "pandas"}
    assert imported("table", results) - {"pyarrow"} == alone
    assert imported("pareto", results, "--min", "total_us", "--max", "speedup") - {"pyarrow"} == alone
    drawn = imported("plot", results, "--x", "scheme", "--kind", "bar", "--out", results / "figure.svg")
    assert drawn - {"pyarrow"} == alone | FIGURES


def test_reports_and_schemas_compile_nothing(imported, results):
    """They read systems, whose parts bring the simulation with them, and run none of it."""
    assert imported("report", results, "--out", results / "report.html") <= SIMULATION | TABLES | {"rich"}
    assert imported("schema", "system") <= SIMULATION | {"rich"}


def test_a_run_needs_no_tables_figures_or_graphs(imported, trace):
    """A mirrored run compiles and simulates, and what it prints needs neither pandas nor typer's help."""
    found = imported("run", trace, "--sublayer", "op", "--scheme", "t3")
    assert found == SIMULATION | COMPILER | {"rich"}


def test_a_remembered_run_needs_no_compiler(imported, trace, tmp_path, monkeypatch):
    """What is in the cache on disk is read, and nothing is compiled for it."""
    monkeypatch.setitem(os.environ, FOLDER, str(tmp_path / "cache"))
    found = [imported("run", trace, "--sublayer", "op") for _ in range(2)]
    assert found == [SIMULATION | COMPILER | {"rich"}, SIMULATION | {"rich"}]


def test_plain_functions_need_no_compiler(imported, trace, monkeypatch):
    """Where nothing is compiled, the compiler stays out."""
    monkeypatch.setitem(os.environ, "NUMBA_DISABLE_JIT", "1")
    small = ("compute.cus=4", "compute.store_buffer=16 KiB", "gemm.tile_m=64", "gemm.tile_n=64", "tracker.entries=64")
    changes = [word for change in small for word in ("--set", change)]
    assert imported("run", trace, "--sublayer", "op", "--scheme", "t3", *changes) == SIMULATION | {"rich"}


@pytest.fixture(scope="module")
def group():
    """Give the group of commands as a process has it that imported them all."""
    for entry in commands.COMMANDS.values():
        importlib.import_module(f"t3sim.cli.{entry.module}")
    return typer.main.get_group(app)


def test_the_list_says_what_the_commands_say(group):
    """Every command is listed, and its line in the list is the first paragraph of its own help."""
    registered = [(each.name or each.callback.__name__, each.callback) for each in app.registered_commands]
    helps = {name: callback.__doc__.split("\n\n")[0] for name, callback in registered}
    helps |= {each.name: each.typer_instance.info.help for each in app.registered_groups}
    assert helps == {name: entry.summary for name, entry in commands.COMMANDS.items()}
    assert list(group.commands) == list(commands.COMMANDS)


FRESH = """
import sys
from typer import Context
import typer
from t3sim.cli.app import app
from t3sim.simulation.part_store import FOLDER
group = typer.main.get_group(app)
context = group.make_context("t3sim", list(sys.argv[1:]), resilient_parsing=True)
print(*(item.value for item in group.shell_complete(context, "re")))
name, command, rest = group.resolve_command(context, ["trace", "show", "x"])
print(name, sorted(command.commands), rest)
name, command, rest = group.resolve_command(context, ["run", "--tp"])
print(name, "--system" in [word for option in command.params for word in option.opts], rest)
"""


def test_shells_complete_commands_and_their_options():
    """Names are completed from the list, and a command's options from the command, which is imported for that."""
    done = subprocess.run([sys.executable, "-c", FRESH], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "reproduce report",
        "trace ['export', 'import', 'new', 'show'] ['show', 'x']",
        "run True ['--tp']",
    ]


def test_an_unknown_command_is_told_the_nearest(t3sim):
    """No command has to be imported to know which one was meant."""
    result = t3sim("rum")
    assert result.code == 2
    assert "Did you mean 'run'?" in " ".join(result.err.split())
