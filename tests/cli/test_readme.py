"""README's examples are commands that work."""

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from t3sim.cli.app import app

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
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
