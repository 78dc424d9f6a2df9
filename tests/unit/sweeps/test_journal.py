"""The journal: what is kept through kills, damage and full disks, and who may write."""

import subprocess
import sys

import pytest

from t3sim.errors import InputError
from t3sim.sweeps.journal import JOURNAL, Journal

ROWS = ['a,"b,c",1.5', "line one\nline two,,"]


@pytest.fixture
def filled(tmp_path):
    """Give a folder with a journal of three points."""
    with Journal(tmp_path) as journal:
        for number in range(3):
            journal.add(f"recipe{number}", f"key{number}", [f"row {number}", *ROWS], failed=number == 1)
    return tmp_path


def finished(folder):
    with Journal(folder) as journal:
        return [number for number in range(5) if journal.has(f"recipe{number}")]


def test_points_are_there_when_it_is_opened_again(filled):
    """Rows come back as they were added, with their status."""
    with Journal(filled) as journal:
        assert journal.dropped == 0
        assert journal.rows("recipe2") == ["row 2", *ROWS]
        assert [journal.failed(f"recipe{number}") for number in range(3)] == [False, True, False]
        assert not journal.has("recipe3")
        assert journal.has_key("key0")


def test_recipes_can_share_the_rows_of_a_point(filled):
    """A recipe that leads to a finished point has its rows, and they stand in the file once."""
    with Journal(filled) as journal:
        journal.add_same("other", "key1")
        assert journal.rows("other") == journal.rows("recipe1")
        assert journal.failed("other")
    assert (filled / JOURNAL).read_text(encoding="utf-8").count("row 1") == 1
    with Journal(filled) as journal:
        assert journal.rows("other") == ["row 1", *ROWS]


def test_a_journal_cut_anywhere_loses_the_cut_record_only(filled):
    """Whatever a kill leaves of the file, all whole records are found, and the journal can go on."""
    content = (filled / JOURNAL).read_bytes()
    ends = [number + 1 for number, byte in enumerate(content) if byte == ord("\n")]
    for length in range(len(content) + 1):
        (filled / JOURNAL).write_bytes(content[:length])
        whole = max(0, sum(end <= length for end in ends) - 1)
        assert finished(filled) == list(range(whole)), length
        with Journal(filled) as journal:
            assert journal.dropped == 0, "opening it once has cut it to whole records"
            journal.add("recipe4", "key4", ["new"], failed=False)
        assert finished(filled) == [*range(whole), 4]


def test_a_damaged_record_in_the_middle_is_dropped_alone(filled):
    """A record whose checksum is wrong counts as not finished; those around it are kept."""
    content = (filled / JOURNAL).read_bytes()
    (filled / JOURNAL).write_bytes(content.replace(b"row 1", b"row 7"))
    with Journal(filled) as journal:
        assert journal.dropped == 1
        assert journal.rows("recipe2") == ["row 2", *ROWS]
    assert finished(filled) == [0, 2]


def test_a_record_that_refers_to_a_damaged_one_is_dropped_with_it(filled):
    """Without the rows that it shares, a recipe counts as not finished."""
    with Journal(filled) as journal:
        journal.add_same("other", "key1")
    content = (filled / JOURNAL).read_bytes()
    (filled / JOURNAL).write_bytes(content.replace(b"row 1", b"row 7"))
    with Journal(filled) as journal:
        assert journal.dropped == 2
        assert not journal.has("other")


def test_a_file_that_is_no_journal_is_refused_and_left_alone(tmp_path):
    """Something else under the journal's name is not written into."""
    (tmp_path / JOURNAL).write_text("my notes\n", encoding="utf-8")
    with pytest.raises(InputError, match="no journal"), Journal(tmp_path):
        pass
    assert (tmp_path / JOURNAL).read_text(encoding="utf-8") == "my notes\n"


def test_a_folder_in_use_is_refused(filled):
    """A second writer is told so; once the first is done, it may."""
    with Journal(filled), pytest.raises(InputError, match="another sweep"):
        Journal(filled)
    assert finished(filled) == [0, 1, 2]


def test_the_lock_of_a_killed_process_is_gone(tmp_path):
    """A process that is killed while it holds the journal leaves nothing that blocks the next."""
    hold = (
        "import os, signal, sys; from pathlib import Path; from t3sim.sweeps.journal import Journal\n"
        "Journal(Path(sys.argv[1])).add('recipe0', 'key0', ['row'], failed=False)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", hold, tmp_path], check=False).returncode == -9
    assert finished(tmp_path) == [0]


FILL = """
import resource, signal, sys
from pathlib import Path
from t3sim.sweeps.journal import Journal, JournalError
resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
with Journal(Path(sys.argv[1])) as journal:
    for number in range(5):
        try:
            journal.add(f"recipe{number}", f"key{number}", ["x" * 150], failed=False)
        except JournalError as error:
            print(number, error)
            break
"""


def test_a_disk_that_is_full_in_the_middle_of_a_record(tmp_path):
    """The error says where and why; what was finished before is whole, and nothing of the torn record is left."""
    printed = subprocess.run([sys.executable, "-c", FILL, tmp_path], check=True, capture_output=True, text=True).stdout
    number = int(printed.split()[0])
    assert 1 <= number <= 3
    assert "File too large" in printed
    assert str(tmp_path) in printed
    assert (tmp_path / JOURNAL).read_bytes().endswith(b"\n")
    assert finished(tmp_path) == list(range(number))


def test_taking_points_from_other_folders_takes_each_once(filled, tmp_path_factory):
    """Points that are known already, by recipe or by key, are not copied again."""
    out = tmp_path_factory.mktemp("merged")
    other = tmp_path_factory.mktemp("other")
    with Journal(other) as journal:
        journal.add("elsewhere", "key0", ["row 0", *ROWS], failed=False)
        journal.add("recipe3", "key3", ["row 3"], failed=False)
        journal.add_same("again", "key3")
    with Journal(out) as journal:
        journal.take(filled)
        journal.take(other)
        journal.take(filled)
        assert journal.rows("elsewhere") == journal.rows("recipe0")
        assert journal.rows("again") == ["row 3"]
    content = (out / JOURNAL).read_text(encoding="utf-8")
    assert [content.count(f"row {number}") for number in range(4)] == [1, 1, 1, 1]
    with Journal(out) as journal, pytest.raises(InputError, match="no journal"):
        journal.take(tmp_path_factory.mktemp("empty"))
