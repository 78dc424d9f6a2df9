"""Small sweeps, and workers that do as a test wants."""

import csv

import pytest

from t3sim.config import dump_yaml
from t3sim.sweeps.worker import Answer, answer


@pytest.fixture
def sweep_of(tiny_settings):
    """Give a builder of a sweep's data: the tiny base with some settings changed, and axes."""
    return lambda *axes, name="tiny", **base: {
        "name": name,
        "base": {**tiny_settings, **base},
        "axes": list(axes),
    }


@pytest.fixture
def sweep_file(sweep_of, tmp_path):
    """Give a builder of a sweep's file."""

    def build(*axes, **base):
        path = tmp_path / "tiny.yaml"
        header = {"format": "t3sim-sweep", "version": 1}
        path.write_text(dump_yaml({**header, **sweep_of(*axes, **base)}), encoding="utf-8")
        return path

    return build


@pytest.fixture(scope="session")
def results():
    """Give a reader of a results table: its rows without the wall time."""

    def read(folder):
        with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
            return [{name: text for name, text in row.items() if name != "wall_s"} for row in csv.DictReader(file)]

    return read


class Inline:
    """Runs jobs here, in an order of its own, and keeps count of them."""

    def __init__(self, *, reverse=False):
        self.reverse = reverse
        self.jobs = []

    def run(self, jobs):
        """Answer every job."""
        self.jobs = list(jobs)
        for job in reversed(self.jobs) if self.reverse else self.jobs:
            yield job, answer(job)


@pytest.fixture
def inline():
    """Give the backend that runs jobs in this process."""
    return Inline


@pytest.fixture
def broken():
    """Give a backend to which every job is an error."""

    class Broken:
        def run(self, jobs):
            for job in jobs:
                yield job, Answer(error_type="OutOfPatience", error_message="no")

    return Broken()
