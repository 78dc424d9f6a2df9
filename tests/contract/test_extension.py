"""What the README shows as extensions, each one new file, is found and passes the contract tests of shipped ones.

The files are put into a copy of the package, and the shipped tests run there unedited, in a process of their own: no
other test sees them in the registry.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = dict(re.findall(r"<!-- extension -->\n```python\n# (t3sim/\S+\.py)[^\n]*\n(.*?)```", README, re.DOTALL))
COMMAND = re.search(r"<!-- extension -->\n```sh\n(.*?)```", README, re.DOTALL)[1]
CHECKED = {
    "backward-ring": {"test_data", "test_fused_plans", "test_mirroring", "test_plans"},
    "one-way-ring": {"test_topologies", "test_mirroring"},
    "sequential-nmc": {"test_schemes", "test_data"},
    "communication-first": {"test_arbitration"},
}
"""By what each example registers: the contract tests in whose parameters it must turn up by itself."""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """Give a copy of the project with each example in a file of its own, where the README says."""
    root = tmp_path_factory.mktemp("extended")
    for name in ("t3sim", "configs", "traces", "tests/contract"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", Path(__file__).name))
    for name in ("pyproject.toml", "tests/conftest.py"):
        shutil.copy(ROOT / name, root / name)
    for name, text in EXAMPLES.items():
        assert not (root / name).exists()
        (root / name).write_text(text, encoding="utf-8")
    return root


def python(root, *arguments):
    """Run Python there and give what it printed; it must succeed."""
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(root, *arguments):
    """Run contract tests there, all of which must pass or be skipped: the names of those that passed."""
    output = python(root, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", "-rA", "--tb=short", *arguments)
    return re.findall(r"^PASSED (.*)$", output, re.MULTILINE)


def test_the_readme_has_an_example_of_each_kind():
    """There is one example for each thing that is one new file, and it registers one name."""
    registered = [re.findall(r'^@register\(KIND, "(.+)"\)$', text, re.MULTILINE) for text in EXAMPLES.values()]
    assert sorted(registered) == sorted([name] for name in CHECKED)


def test_the_examples_pass_the_contract_tests(extended):
    """Each turns up in the contract tests of its kind, which nobody edited for it, and passes all of them."""
    names = passed(extended, "-k", " or ".join(CHECKED), "tests/contract")
    found = {
        example: {Path(name.split("::")[0]).stem for name in names if example in name.partition("[")[2]}
        for example in CHECKED
    }
    assert all(found[example] >= tests for example, tests in CHECKED.items()), found


def test_the_examples_put_the_right_numbers_everywhere(extended):
    """In data mode every element of each collective by each algorithm over each topology is where it belongs."""
    assert passed(extended, "-k", "every_collective_puts and (3 or 4)", "tests/contract/test_data.py")


def test_the_command_of_the_readme_uses_the_examples(extended):
    """With all four in one run, the command prints a row for each scheme."""
    program, *arguments = shlex.split(COMMAND)
    assert program == "t3sim"
    output = python(extended, "-m", "t3sim", *arguments, "--format", "csv")
    header, *rows = (line.split(",") for line in output.splitlines())
    assert [row[header.index("scheme")] for row in rows] == ["sequential-nmc", "t3"]
    assert {row[header.index("topology")] for row in rows} == {"one-way-ring"}
