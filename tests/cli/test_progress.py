"""Progress on stderr: what is announced, and when."""

import pytest

from t3sim import compiled
from t3sim.cli import output
from t3sim.cli.output import ProgressReport


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock of progress reports by one that the test sets; everything counts as compiled."""
    now = [0.0]
    monkeypatch.setattr(output.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(compiled, "uncached", tuple)
    return now


@pytest.mark.usefixtures("clock")
def test_compilation_is_announced_before_work_starts(monkeypatch, capsys):
    """Functions that are not compiled on disk yet are announced with the first point, and where they will be kept."""
    monkeypatch.setattr(compiled, "uncached", lambda: ("a", "b"))
    with ProgressReport() as report:
        assert capsys.readouterr().err == ""
        report(0, 4, "first")
    announced = capsys.readouterr().err
    assert "compiling 2 functions, this first time only" in announced
    assert str(compiled.cache_folder()) in announced


def test_short_runs_are_silent(clock, capsys):
    """Nothing is printed for a run of less than two seconds."""
    with ProgressReport() as report:
        for done in range(4):
            clock[0] = 0.4 * done
            report(done, 4, "point")
    assert capsys.readouterr().err == ""


def test_long_runs_print_a_line_now_and_then(clock, capsys):
    """Where stderr is no terminal, a line every five seconds or more says how far it is and how long it will take."""
    with ProgressReport() as report:
        for done in range(10):
            clock[0] = 2.0 * done
            report(done, 10, f"point {done}")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "3/10 points, about 14 s left, now point 3",
        "6/10 points, about 8 s left, now point 6",
        "9/10 points, about 2 s left, now point 9",
    ]
