"""README's examples are commands that work."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from t3sim.cli.app import app
from t3sim.data import drams_dir, models_dir, sweeps_dir, systems_dir
from t3sim.registry import names
from t3sim.sweeps import load_sweep
from t3sim.sweeps.combinations import Combinations

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
STUDIES = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
SWEEPS = sorted(sweeps_dir().glob("*.yaml"), key=lambda path: path.stem)
COMMANDS = re.search(r"<!-- run -->\n```sh\n(.*?)```", README, re.DOTALL)[1].splitlines()


def test_commands_of_the_readme_work(tmp_path, monkeypatch):
    """Every command of the section on use, one after the other in one folder, exits with 0 and prints something."""
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        program, *arguments = shlex.split(command, comments=True)
        assert program == "t3sim"
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (command, result.output)
        assert result.output


def test_python_example_of_the_readme_works(capsys):
    """The example for Python prints a table of the five schemes."""
    example = re.search(r"```python\n(import t3sim.*?)```", README, re.DOTALL)[1]
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert all(scheme in printed for scheme in ("sequential", "t3-mca", "ideal-overlap-nmc"))
    assert "speedup" in printed


def test_example_of_a_system_is_one(tmp_path, monkeypatch):
    """The system that the README shows is valid, and the command beside it runs each of its seeds."""
    monkeypatch.chdir(tmp_path)
    text, command = re.search(
        r"```yaml\n(format: t3sim-system.*?)```\n\n```sh\nt3sim (.*?)\n```", README, re.DOTALL
    ).groups()
    (tmp_path / "slow.yaml").write_text(text, encoding="utf-8")
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert "8 GPUs, 5 seeds; system slow" in result.output


@pytest.mark.parametrize(
    ("row", "kind"), [("Schemes", "scheme"), ("Topologies", "topology"), ("Algorithms", "algorithm")]
)
def test_lists_of_names_are_whole(row, kind):
    """Of schemes, topologies and algorithms the README names every one."""
    (line,) = re.findall(rf"^\| {row} .*$", README, re.MULTILINE)
    assert not [name for name in names(kind) if f"`{name}`" not in line]


@pytest.mark.parametrize(("row", "folder"), [("Systems", systems_dir), ("Models", models_dir), ("DRAMs", drams_dir)])
def test_lists_of_files_are_whole(row, folder):
    """Every shipped system, model and DRAM is named too."""
    (line,) = re.findall(rf"^\| {row} .*$", README, re.MULTILINE)
    assert not [path.stem for path in folder().glob("*.yaml") if f"`{path.stem}`" not in line]


def test_example_of_a_sweep_is_one(tmp_path):
    """The sweep that the README shows is valid, and has as many combinations as its axes say, less those skipped."""
    path = tmp_path / "my-sweep.yaml"
    path.write_text(re.search(r"```yaml\n(format: t3sim-sweep.*?)```", README, re.DOTALL)[1], encoding="utf-8")
    combinations = list(Combinations(load_sweep(path).spec))
    assert len(combinations) == 2 * 4 * 3 - 3


def plot_command(path):
    (command,) = re.findall(r"^# t3sim ((?:plot|winners) .*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return shlex.split(command)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_every_shipped_sweep_has_its_figure(path):
    """A shipped sweep is valid, says how its figure is made, and docs/studies.md shows that figure."""
    assert load_sweep(path).spec.name == path.stem
    figure = f"docs/figures/{path.stem}.png"
    assert plot_command(path)[-2:] == ["--out", figure]
    assert figure.removeprefix("docs/") in STUDIES
    assert (ROOT / figure).read_bytes().startswith(b"\x89PNG")


@pytest.mark.campaign
@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_commands_of_a_shipped_sweep_make_its_figure(path, tmp_path, monkeypatch):
    """Run as the README says, every shipped sweep gives a figure."""
    monkeypatch.chdir(tmp_path)
    for arguments in (["sweep", path.stem], plot_command(path)):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    assert (tmp_path / plot_command(path)[-1]).exists()
