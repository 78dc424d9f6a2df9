"""Parts on disk: the same parts for another process, and for no other version."""

import json
import stat

import pytest

from t3sim.registry import get
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.simulation import part_store
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.part_store import FOLDER, OFF, REMEMBERED, open_disk, read_part, without_disk, written_part

SCHEMES = ("sequential", "t3", "ideal-overlap-nmc")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Let parts be kept in a folder of this test's."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    REMEMBERED.forget()
    yield tmp_path / "cache"
    REMEMBERED.forget()


@pytest.fixture
def run(tiny_system, pair, lowered, monkeypatch):
    """Give a function that runs schemes as a process of its own does: the outcomes, and how many parts it simulated."""

    def run():
        REMEMBERED.forget()
        simulated = []
        put = type(REMEMBERED).put
        monkeypatch.setattr(type(REMEMBERED), "put", lambda store, *item: (simulated.append(item), put(store, *item)))
        system = tiny_system()
        works = lowered(system, pair(4, (64, 128, 40)))
        outcomes = [get(SCHEME, name)().simulate(SystemLab(system, 4), works) for name in SCHEMES]
        monkeypatch.setattr(type(REMEMBERED), "put", put)
        return outcomes, len(simulated)

    return run


def test_a_part_is_read_as_it_was_written(run):
    """Counters by cause, spans, links, and how the machine is left: all of it, and of its types."""
    run()
    parts = list(REMEMBERED)
    assert parts
    for part in parts:
        again = read_part(written_part(part))
        assert again == part
        assert repr(again) == repr(part)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "null", "[1]", '{"gpu": {"served_bytes": [["gemm", "up", 1]]}}', '{"gpu": {"served_bytes": [[]]}}'],
)
def test_other_texts_are_no_parts(text):
    """What says something else is left alone."""
    assert read_part(text) is None


def test_a_part_without_a_field_is_none(run):
    """A text that is short of anything, or has more, is no part."""
    run()
    text = written_part(next(iter(REMEMBERED)))
    for name in json.loads(text):
        short = {key: value for key, value in json.loads(text).items() if key != name}
        assert read_part(json.dumps(short)) is None


def test_another_process_finds_what_is_kept(run, folder):
    """It simulates nothing, and has the same results; damaged files are simulated again."""
    first, simulated = run()
    assert simulated == len([path for path in folder.rglob("*") if path.is_file()]) > 0
    assert run() == (first, 0)
    for path in [path for path in folder.rglob("*") if path.is_file()][:2]:
        path.write_text("damaged")
    assert run() == (first, 2)
    assert run() == (first, 0)


def test_another_version_finds_nothing(run, folder, monkeypatch):
    """Of t3sim's sources, or of a library: every part is simulated anew."""
    first, simulated = run()
    monkeypatch.setattr(part_store, "code_version", lambda: "another")
    part_store._version.cache_clear()
    assert run() == (first, simulated)
    monkeypatch.undo()
    part_store._version.cache_clear()
    monkeypatch.setenv(FOLDER, str(folder))
    assert run() == (first, 0)
    monkeypatch.setattr(part_store, "version", lambda name: f"{name} 0")
    part_store._version.cache_clear()
    assert run() == (first, simulated)
    monkeypatch.undo()
    part_store._version.cache_clear()


def test_without_disk_nothing_is_kept(run, folder, monkeypatch):
    """A process that was told so neither reads nor writes, and the processes that it starts do not either."""
    monkeypatch.setenv(FOLDER, str(folder))  # restored after the test
    without_disk()
    assert part_store.os.environ[FOLDER] == OFF
    first, simulated = run()
    assert run() == (first, simulated)
    assert not folder.exists()


def test_only_a_folder_of_ones_own_is_used(tmp_path, monkeypatch):
    """Where others could put results, none are looked for."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    monkeypatch.setenv(FOLDER, str(shared / "cache"))
    assert open_disk() is None
    shared.chmod(0o700)
    assert open_disk().root == shared / "cache"
    assert stat.S_IMODE((shared / "cache").stat().st_mode) == 0o700


def test_the_users_cache_is_used(tmp_path, monkeypatch):
    """Without a folder of one's choice it is beside the compiled functions."""
    monkeypatch.delenv(FOLDER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_disk().root == tmp_path / "t3sim" / "parts"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert open_disk() is None
