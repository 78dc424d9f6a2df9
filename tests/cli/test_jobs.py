"""Commands that simulate on several cores: the same output for any number of processes."""

import pytest

from t3sim.simulation import load_system
from t3sim.studies import load_published, reproduce


def printed(result):
    """Give what a command prints, but for the times it took."""
    assert result.code in (0, 1), result.err
    lines = [line.split(",") for line in result.out.splitlines()]
    at = lines[0].index("wall_s") if "wall_s" in lines[0] else None
    return [line if at is None else [*line[:at], *line[at + 1 :]] for line in lines]


@pytest.mark.parametrize(
    "command",
    [
        ("explain", "TRACE", "--format", "csv", "--scheme", "sequential,t3", "--no-what-if"),
        ("break-even", "t-nlg", "--tp", 8, "--sublayer", "op", "--from", 128, "--to", 256, "--format", "csv"),
        ("validate", "--against", "ring", "--format", "csv"),
    ],
    ids=lambda command: command[0],
)
def test_any_number_of_processes_prints_the_same(command, t3sim, trace):
    """In this process, and in two others."""
    words = [trace if word == "TRACE" else word for word in command]
    alone, two = (t3sim(*words, "--jobs", jobs) for jobs in (1, 2))
    assert printed(alone) == printed(two)


@pytest.mark.usefixtures("small_data")
def test_experiments_are_the_same_in_two_processes():
    """Rows, notes, hardware and targets of the published experiments, whoever simulates them."""
    published = load_published().spec.model_copy(update={"sets": {"base": ("mega-gpt-2-tp8", "t-nlg-tp16")}})
    targets = tuple(target for target in published.targets if target.set == "base")
    published = published.model_copy(update={"targets": targets})
    found = [reproduce(published, load_system(), ["base"], jobs=jobs).document() for jobs in (1, 2)]
    for document in found:
        for row in document["rows"]:
            row.pop("wall_s")
    assert found[0] == found[1]
