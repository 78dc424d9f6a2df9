"""Files: complete or not there."""

import os
import stat
from pathlib import Path

import pytest

from t3sim import files
from t3sim.errors import InputError
from t3sim.files import prepare_folder, write_files


def refused(action):
    with pytest.raises(InputError) as error:
        action()
    (problem,) = error.value.problems
    return problem


@pytest.fixture
def refuse_writes(monkeypatch):
    """Make the disk full at the moment a file is to take its final name."""

    def full(*_):
        raise OSError(28, "No space left on device")

    return lambda: monkeypatch.setattr(os, "replace", full)


def test_files_are_written_and_replaced(tmp_path):
    """All files are there with the given text, everybody may read them, and nothing else is left."""
    write_files(tmp_path, {"a.csv": "old\n", "b.json": "{}\n"})
    write_files(tmp_path, {"a.csv": "µ\n"})
    assert (tmp_path / "a.csv").read_bytes() == "µ\n".encode()
    assert (tmp_path / "b.json").read_bytes() == b"{}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.json"]
    assert stat.S_IMODE((tmp_path / "a.csv").stat().st_mode) == 0o644


def test_a_write_that_fails_leaves_the_old_file(tmp_path, refuse_writes):
    """When the disk refuses, the old file is intact, no fragment is left, and the problem names the place."""
    write_files(tmp_path, {"a.csv": "old\n"})
    refuse_writes()
    problem = refused(lambda: write_files(tmp_path, {"a.csv": "new\n"}))
    assert (problem.key, problem.file) == ("--out", str(tmp_path))
    assert "No space left on device" in problem.message
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old\n"


def test_a_write_that_is_interrupted_leaves_the_old_file(tmp_path, monkeypatch):
    """Whatever stops the program in the middle, there is no half file and no fragment."""

    def interrupt(*_args, **_keywords):
        raise KeyboardInterrupt

    write_files(tmp_path, {"a.csv": "old\n"})
    monkeypatch.setattr(files.os, "chmod", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path, {"a.csv": "new\n"})
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old\n"]


def test_the_folder_is_made(tmp_path):
    """A folder is made with all above it, is left empty, and may be there already."""
    folder = tmp_path / "a" / "b"
    prepare_folder(folder)
    prepare_folder(folder)
    assert list(folder.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path):
    """Where a file is in the way, the problem says so before any work is done."""
    (tmp_path / "out").write_text("")
    problem = refused(lambda: prepare_folder(tmp_path / "out"))
    assert (problem.key, problem.file) == ("--out", str(tmp_path / "out"))
    assert "cannot write" in problem.message


def test_a_folder_that_refuses_to_be_written(tmp_path, monkeypatch):
    """A read-only folder is a problem of the input, named before any work is done."""

    def read_only(*_args, **_keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "TemporaryFile", read_only)
    problem = refused(lambda: prepare_folder(tmp_path))
    assert (problem.key, problem.file) == ("--out", str(tmp_path))
    assert "Permission denied" in problem.message


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder(tmp_path):
    """The same with a folder that is really read-only."""
    tmp_path.chmod(0o555)
    assert "Permission denied" in refused(lambda: prepare_folder(tmp_path)).message
    assert "Permission denied" in refused(lambda: write_files(tmp_path, {"a": ""})).message


def test_a_pseudo_file_system_refuses():
    """A folder that nobody can make anything in is refused, whoever asks."""
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc here")
    assert "cannot write" in refused(lambda: prepare_folder(Path("/proc/t3sim"))).message
