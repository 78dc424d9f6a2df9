"""The cache on disk as commands use it."""

import pytest

from t3sim.simulation.part_store import FOLDER, REMEMBERED


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Let commands keep parts in a folder of this test's."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    REMEMBERED.forget()
    return tmp_path / "cache"


def kept(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def without_times(text):
    header, *rows = [line.split(",") for line in text.splitlines()]
    at = header.index("wall_s")
    return [header, *([*row[:at], *row[at + 1 :]] for row in rows)]


def test_a_second_run_is_remembered(t3sim, trace, folder):
    """The same command gives the same results from the cache, in less time, which it says; and the same without it."""
    first = t3sim("run", trace, "--format", "csv")
    assert kept(folder)
    before = {path: path.stat().st_mtime_ns for path in kept(folder)}
    REMEMBERED.forget()
    second = t3sim("run", trace, "--format", "csv")
    assert set(kept(folder)) == set(before)
    fresh = t3sim("run", trace, "--format", "csv", "--no-cache")
    assert without_times(first.out) == without_times(second.out) == without_times(fresh.out)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "TRACE"),
        ("run", "TRACE", "--scheme", "stream-overlap", "--tune"),
        ("collective", "all_gather", "--bytes", "64KiB", "--gpus", 2),
        ("explain", "TRACE", "--sublayer", "op", "--no-what-if"),
        ("validate", "--against", "ring"),
    ],
    ids=lambda command: command[0],
)
def test_without_cache_nothing_is_kept(command, t3sim, trace, folder):
    """``--no-cache`` leaves the folder alone."""
    words = [trace if word == "TRACE" else word for word in command]
    assert t3sim(*words, "--no-cache").code == 0
    assert not folder.exists()


def test_the_doctor_says_where_and_how_much(t3sim, trace, folder):
    """Where the cache is, how large, and that its own small run simulates."""
    t3sim("run", trace)
    parts = len(kept(folder))
    said = t3sim("doctor").out
    assert f"remembered runs: {parts} parts" in said
    assert f"of at most 256, in {folder}" in said
    assert len(kept(folder)) == parts
