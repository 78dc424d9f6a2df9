"""``t3sim figures``: one command, all figures."""

import csv
import xml.etree.ElementTree as ET

import pytest

FIGURES = ("dram-accesses.svg", "dram-traffic.svg", "speedups.svg", "sublayer-times.svg")


@pytest.mark.usefixtures("small_data")
def test_all_figures_are_written(t3sim, tmp_path):
    """The folder holds the four figures, each a whole SVG, and the rows that they were drawn from."""
    out = tmp_path / "figures"
    result = t3sim("figures", "--out", out, "--set", "large", "--traffic", "palm-tp32:op")
    assert result.code == 0, result.err
    assert sorted(path.name for path in out.iterdir()) == [*FIGURES[:2], "results.csv", *FIGURES[2:]]
    for name in FIGURES:
        assert ET.parse(out / name).getroot().tag.endswith("svg")
    rows = list(csv.DictReader((out / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 8 * 5


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--traffic", "t-nlg-tp9:op"), ("t-nlg-tp9", "t-nlg-tp8")),
        (("--traffic", "t-nlg-tp8:fc3"), ("fc3", "fc2")),
        (("--system", "t3-papr"), ("t3-papr", "t3-paper")),
    ],
)
def test_what_cannot_be_drawn_is_refused(t3sim, tmp_path, options, parts):
    """Unknown names are refused in one line, before anything runs."""
    result = t3sim("figures", "--out", tmp_path / "out", *options)
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    assert not [part for part in parts if part not in result.err], result.err
