"""Results as files: complete or not there."""

import csv
import io
import json
import os
import stat
from pathlib import Path

import pytest

from t3sim import files
from t3sim.errors import InputError
from t3sim.report.files import prepare_folder, rows_csv, to_json, write_files
from t3sim.results import COLUMN_NAMES, complete

ROW = complete({"scheme": "t3, plain", "gemm_us": 0.1, "M": 8192, "error_message": 'two\n"lines"'})


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


def test_csv_reads_back():
    """Every value survives as text, whatever it holds; none is an empty field."""
    (read,) = csv.DictReader(io.StringIO(rows_csv([ROW])))
    assert tuple(read) == COLUMN_NAMES
    assert (read["scheme"], read["gemm_us"], read["M"]) == ("t3, plain", "0.1", "8192")
    assert read["error_message"] == 'two\n"lines"'
    assert read["total_us"] == ""


def test_csv_without_rows_is_a_header():
    """A table of nothing still says what its columns are, and lines end in one way on every system."""
    assert rows_csv([]) == ",".join(COLUMN_NAMES) + "\n"


def test_csv_of_some_columns():
    """Only the columns that are asked for are written, in that order."""
    assert rows_csv([ROW], ["M", "scheme"]) == 'M,scheme\n8192,"t3, plain"\n'


def test_json_reads_back():
    """The text is one document that ends in a line break, its keys in the order of the data."""
    text = to_json({"b": [ROW], "a": 1})
    assert json.loads(text) == {"b": [ROW], "a": 1}
    assert list(json.loads(text)) == ["b", "a"]
    assert text.endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_json_holds_no_number_that_json_has_not(value):
    """A result that is not a number is an error here, not in the program that reads the file."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"speedup": value})


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
