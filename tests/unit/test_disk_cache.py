"""Texts on disk: whole or not there, within a bound, for several processes at once."""

import os
import subprocess
import sys
import time

import pytest

from t3sim import disk_cache
from t3sim.disk_cache import DiskCache

MANY = 2**30
KEYS = [f"{number:02x}{'0' * 10}" for number in range(40)]


@pytest.fixture
def cache(tmp_path):
    """Give a cache without a bound that matters."""
    return DiskCache(tmp_path, "one", MANY)


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_text_comes_back_as_it_was(cache, tmp_path):
    """By its key, in another process too, and by no other key; the last one that was put counts."""
    for text in ("first\nof two lines\n", "", "\u00e4\u2028 second"):
        cache.put(KEYS[0], text)
        assert cache.get(KEYS[0]) == text
        assert DiskCache(tmp_path, "one", MANY).get(KEYS[0]) == text
    assert cache.get(KEYS[1]) is None


def test_versions_have_nothing_in_common(cache, tmp_path):
    """What one version has put there is not there for another one."""
    cache.put(KEYS[0], "text")
    assert DiskCache(tmp_path, "two", MANY).get(KEYS[0]) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(path.read_bytes().replace(b"text", b"next")),
        lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: path.write_bytes(b"0" * 64 + b"\ntext"),
    ],
    ids=["empty", "short", "long", "changed", "no text", "a folder", "a wrong sum"],
)
def test_what_is_damaged_is_not_there(damage, cache):
    """Nothing is taken from a file that is not as it was written, and putting the text again helps where it can."""
    cache.put(KEYS[0], "the text")
    (path,) = files(cache.root)
    damage(path)
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[0], "the text")
    assert cache.get(KEYS[0]) == (None if path.is_dir() else "the text")


def test_a_file_of_another_key_is_not_taken(cache):
    """A file that was copied or renamed says that it is of another key."""
    cache.put(KEYS[0], "the text")
    (path,) = files(cache.root)
    other = cache.root / "one" / KEYS[1][:2]
    other.mkdir()
    path.rename(other / KEYS[1])
    assert cache.get(KEYS[1]) is None


def test_what_is_asked_for_least_recently_goes_first(tmp_path):
    """At the bound, texts that nobody has asked for go, of other versions too; the rest stays."""
    size = 4096  # of a file on the disk
    old, new = (DiskCache(tmp_path, version, 20 * size) for version in ("old", "new"))
    for number, key in enumerate(KEYS[:20]):
        (old if number < 5 else new).put(key, "x" * 100)
        path = tmp_path / ("old" if number < 5 else "new") / key[:2] / key
        os.utime(path, (number, number))
    assert old.get(KEYS[3]) is not None
    for key in KEYS[20:26]:
        new.put(key, "y")
    new.trim()
    assert new.usage().nbytes <= 20 * size
    left = {path.name for path in files(tmp_path)}
    assert KEYS[3] in left
    assert set(KEYS[20:26]) <= left
    assert not left & {KEYS[0], KEYS[1], KEYS[2], KEYS[4], KEYS[5]}
    assert new.usage().files == len(left)


def test_the_bound_holds_as_texts_are_put(tmp_path):
    """Nobody has to look after it."""
    cache = DiskCache(tmp_path, "one", 200_000)
    for number in range(300):
        cache.put(f"{number:04d}", "x" * 3000)
    assert cache.usage().nbytes <= 200_000 * (1 + 2 / 64) + 4096
    assert cache.get("0299") is not None


def test_a_disk_that_refuses_is_no_error(cache, monkeypatch):
    """Nothing is kept, and nothing half-written is left."""

    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(disk_cache.os, "fdopen", refuse)
        cache.put(KEYS[0], "text")
    assert files(cache.root) == []
    monkeypatch.setattr(disk_cache.tempfile, "mkstemp", refuse)
    cache.put(KEYS[0], "text")
    assert cache.get(KEYS[0]) is None


def test_files_that_nobody_finishes_go(cache):
    """A process that was killed leaves a file of a name that no key has; after an hour it goes."""
    folder = cache.root / "one" / "ab"
    folder.mkdir(parents=True)
    stale, fresh = folder / ".new-1", folder / ".new-2"
    for path in (stale, fresh):
        path.write_text("half")
    os.utime(stale, (time.time() - 4000,) * 2)
    cache.trim()
    assert files(cache.root) == [fresh]


WORKER = """
import sys
from pathlib import Path
from t3sim.disk_cache import DiskCache
cache = DiskCache(Path(sys.argv[1]), "one", 60_000)
for turn in range(30):
    for number in range(20):
        key = f"{number:02d}key"
        found = cache.get(key)
        assert found in (None, key * 100), found
        cache.put(key, key * 100)
print("whole")
"""


def test_processes_share_a_folder(tmp_path):
    """Three that put, get and remove the same texts at once find them whole or not at all."""
    command = [sys.executable, "-c", WORKER, tmp_path]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in running] == ["whole"] * 3
