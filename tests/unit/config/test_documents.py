"""Files that sections extend: where they are looked for, and that nothing that was read is forgotten."""

from hashlib import sha256
from pathlib import Path

import pytest

from t3sim.config import draft

HEADER = "format: t3sim-system\nversion: 1\n"
PART = "format: t3sim-memory\nversion: 1\n"
VALUES = "bandwidth: 1 TB/s\ncapacity: 16 GiB\n"


@pytest.fixture
def elsewhere(write, tmp_path):
    """Write a file into a folder that is neither the working directory nor the one of shipped files."""
    del write  # makes the test's working directory

    def elsewhere(name, text):
        path = tmp_path / "elsewhere" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return elsewhere


@pytest.fixture
def digests():
    """Return the digests of the files that a system is read from."""
    return lambda path: draft(path, folder=Path("presets"), format_name="t3sim-system").digests()


def digest(path):
    return sha256(path.read_bytes()).hexdigest()


def test_a_path_is_relative_to_the_file_that_says_it(elsewhere, loaded):
    """At the top, in a section, and in a file that a section extends, a path starts at the file it stands in."""
    elsewhere("base.yaml", f"{HEADER}name: base\nmemory: {{extends: ./parts/memory.yaml, latency: 3 ns}}\n")
    elsewhere("parts/memory.yaml", f"{PART}extends: more/memory.yaml\ncapacity: 8 GiB\n")
    elsewhere("parts/more/memory.yaml", PART + VALUES)
    child = elsewhere("deep/child.yaml", f"{HEADER}extends: ../base.yaml\nname: child\n")
    spec = loaded(child).spec
    assert (spec.name, spec.memory.capacity, spec.memory.latency) == ("child", 8 * 2**30, 3 * 10**6)


def test_a_section_in_a_section_s_file_is_relative_to_that_file(elsewhere, loaded):
    """The file that a part of a part is taken from lies beside the part and not beside the system."""
    system = elsewhere("x.yaml", f"{HEADER}name: x\nmemory: {{extends: parts/memory.yaml}}\n")
    elsewhere("parts/memory.yaml", f"{PART}{VALUES}arbitration: {{extends: ./own.yaml}}\n")
    elsewhere("parts/own.yaml", "format: t3sim-arbitration\nversion: 1\npolicy: threshold\noccupancy: 7\n")
    assert loaded(system).spec.memory.arbitration.occupancy == 7


def test_a_file_of_that_name_in_the_working_directory_is_another_one(elsewhere, loaded):
    """What lies in the working directory changes nothing."""
    system = elsewhere("x.yaml", f"{HEADER}name: x\nmemory: {{extends: ./memory.yaml}}\n")
    elsewhere("memory.yaml", PART + VALUES)
    Path("memory.yaml").write_text(PART + VALUES.replace("16", "1"), encoding="utf-8")
    assert loaded(system).spec.memory.capacity == 16 * 2**30


@pytest.mark.parametrize("override", ["memory={extends: ./memory.yaml}", "memory.extends=./memory.yaml"])
def test_a_path_on_the_command_line_is_relative_to_the_working_directory(elsewhere, loaded, base, override):
    """No file says it, so it starts where the user is."""
    system = elsewhere("x.yaml", base)
    Path("memory.yaml").write_text(PART + VALUES.replace("16", "1"), encoding="utf-8")
    kept = 16 if "." in override.partition("=")[0] else 1  # the section's own values stand over the file's
    assert loaded(system, override).spec.memory.capacity == kept * 2**30


def test_a_name_is_a_shipped_file_wherever_it_is_said(elsewhere, loaded):
    """A bare word is looked up by the kind of section, as ever."""
    Path("memory").mkdir()
    Path("memory/fast.yaml").write_text(PART + VALUES, encoding="utf-8")
    assert loaded(elsewhere("x.yaml", f"{HEADER}name: x\nmemory: {{extends: fast}}\n")).spec.memory.capacity == 2**34


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("./none.yaml", "no such file, got './none.yaml'"),
        ("../memory/", "this is a directory, not a file, got '../memory/'"),
        ("5", "must be a name or a path, got 5"),
        ("slow", "unknown name in memory, got 'slow' (did you mean slower?; known: slower)"),
    ],
)
def test_wrong_parts(write, refusal, extends, message):
    """What a section cannot extend is refused at its line."""
    Path("memory").mkdir()
    Path("memory/slower.yaml").write_text(PART, encoding="utf-8")
    write("x.yaml", f"{HEADER}name: x\nmemory:\n  extends: {extends}\n")
    assert refusal("x") == f"presets/x.yaml:5: memory.extends: {message}"


def test_a_part_that_holds_itself_is_refused(elsewhere, refusal):
    """A file whose section extends the file itself ends in an error, not in an endless system."""
    system = elsewhere("x.yaml", f"{HEADER}name: x\nmemory: {{extends: ./memory.yaml}}\n")
    elsewhere("memory.yaml", f"{PART}{VALUES}memory: {{extends: ./memory.yaml}}\n")
    assert "sections extend each other: nested deeper than 32 levels" in refusal(system)


def test_every_file_that_was_read_is_known_by_its_bytes(elsewhere, digests):
    """Ancestors, parts, ancestors of parts and parts of parts are there, also where nothing is left of their values."""
    paths = [
        elsewhere("x.yaml", f"{HEADER}extends: ./base.yaml\nmemory: {{extends: ./memory.yaml, capacity: 1 GiB}}\n"),
        elsewhere("base.yaml", f"{HEADER}name: base\nclock: 1 GHz\n"),
        elsewhere("memory.yaml", f"{PART}extends: ./old.yaml\ncapacity: 2 GiB\narbitration: {{extends: ./own.yaml}}\n"),
        elsewhere("old.yaml", f"{PART}capacity: 3 GiB\nbandwidth: 1 TB/s\n"),
        elsewhere("own.yaml", "format: t3sim-arbitration\nversion: 1\npolicy: round_robin\n"),
    ]
    assert sorted(digests(paths[0])) == sorted(map(digest, paths))


def test_files_that_change_places_are_other_data(elsewhere, digests, loaded):
    """The digests tell which file was laid over which: the same two contents the other way round are another system."""
    top = elsewhere("x.yaml", f"{HEADER}extends: a/x.yaml\n")
    shared = f"{HEADER}extends: a/x.yaml\nmemory: {{bandwidth: 1 TB/s, capacity: "
    found = set()
    elsewhere("a/a/a/x.yaml", f"{HEADER}name: x\n")
    for outer, inner in ((1, 2), (2, 1)):
        elsewhere("a/x.yaml", f"{shared}{outer} GiB}}\n")
        elsewhere("a/a/x.yaml", f"{shared}{inner} GiB}}\n")
        assert loaded(top).spec.memory.capacity == outer * 2**30
        found.add(digests(top))
    assert len(found) == 2


def test_an_edited_part_is_read_again(elsewhere, loaded):
    """In one process too, a system that is loaded again is what its files say now."""
    system = elsewhere("x.yaml", f"{HEADER}name: x\nmemory: {{extends: ./memory.yaml}}\n")
    for gib in (1, 2):
        elsewhere("memory.yaml", PART + VALUES.replace("16", str(gib)))
        assert loaded(system).spec.memory.capacity == gib * 2**30
