"""Every number of a configuration says where it comes from."""

import csv
import re

import pytest
import yaml

from t3sim.data import configs_dir
from t3sim.results.provenance import CLASSES

SOURCED_FORMATS = ("t3sim-system", "t3sim-model", "t3sim-dram")
HEADER = ("format", "version", "extends")
FILES = sorted(configs_dir().rglob("*.yaml"))
NUMBER = re.compile(r"[-+]?\.?\d")


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def leaves(node, path=()):
    """Yield (dotted path, value or mapping with value) of everything that a file sets."""
    if isinstance(node, dict) and "value" not in node:
        for key, item in node.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from leaves(item, (*path, str(index)))
    else:
        yield ".".join(map(str, path)), node


def is_number(value):
    """Whether a bare value is one or has one: 5, 0.5, '1.4 GHz', [8, 16]."""
    if isinstance(value, list):
        return any(map(is_number, value))
    if isinstance(value, str):
        return NUMBER.match(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def body(path):
    return {key: item for key, item in read(path).items() if key not in HEADER}


SOURCED = [path for path in FILES if read(path)["format"] in SOURCED_FORMATS]
PUBLISHED = [path for path in FILES if read(path)["format"] == "t3sim-published"]


def test_configs_are_found():
    """The checks below look at something."""
    known = {*SOURCED_FORMATS, "t3sim-published", "t3sim-measured-gemms", "t3sim-sweep"}
    assert {read(path)["format"] for path in FILES} >= known


@pytest.mark.parametrize("path", SOURCED, ids=lambda path: path.stem)
def test_every_number_has_a_source_and_a_class(path):
    """A number of a system or a model stands beside a source in words and one of the classes."""
    bare = [name for name, node in leaves(body(path)) if not isinstance(node, dict) and is_number(node)]
    assert not bare
    for name, node in leaves(body(path)):
        if isinstance(node, dict):
            assert set(node) == {"value", "source", "class"}, name
            assert len(node["source"].split()) > 1, f"{name}: a source is more than one word"
            assert node["class"] in CLASSES, name


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.stem)
def test_published_figures_have_one_source(path):
    """A file of published figures says which publication they are from."""
    assert len(read(path)["source"].split()) > 1


@pytest.mark.parametrize("path", sorted(configs_dir().rglob("*.csv")), ids=lambda path: path.stem)
def test_every_row_of_a_table_has_a_source(path):
    """A table of figures from elsewhere says in each row where it is from."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert rows
    assert all(len(row["source"].split()) > 1 for row in rows)


def test_every_calibrated_number_is_in_the_readme(root):
    """What was fitted to a published figure is listed in the README by its dotted path."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    calibrated = [
        name
        for path in SOURCED
        for name, node in leaves(body(path))
        if isinstance(node, dict) and node["class"] == "calibrated"
    ]
    assert not [name for name in calibrated if name not in readme]


def test_a_number_is_recognised():
    """The check sees numbers with and without units, alone and in lists, and takes no name for one."""
    assert all(map(is_number, (5, 0.5, "1.4 GHz", "16 MiB", ".5", "-1", [8, 16])))
    assert not any(map(is_number, ("t3-paper", "round-robin", True, None, "fp16", [])))
