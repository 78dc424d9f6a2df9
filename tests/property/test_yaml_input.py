"""Whatever bytes a file holds, and whatever is set on the command line: data or an orderly refusal."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from t3sim.config import Bytes, Spec, dump_yaml, load, read_document, source
from t3sim.config.layers import overridden
from t3sim.config.source import Document
from t3sim.errors import InputError

SYMBOLS = (*"ab[]{}'\"|>#1\n\t\r\ufeff", ": ", "  ", "- ", ", ", "? ", "&x ", "*x", "!!t ", "---", "...")
WORDS = ("é", "<<", "%YAML 1.1\n", "\\u0000", ".5", "1e9", "true", "value: ", "source: x\n", "class: paper\n")
KNOWN = ("format: t\n", "version: 1\n", "extends: x.yaml\n", "size: ", "1 B", "part: ", "counts: ")
MARKS = st.sampled_from((*SYMBOLS, *WORDS, *KNOWN))
YAML_LIKE = st.lists(MARKS, max_size=40).map(lambda parts: "".join(parts).encode())
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufffe\uffff"))
SCALARS = st.none() | st.booleans() | st.integers(-(10**39), 10**39) | TEXT
SCALARS |= st.floats(allow_nan=False, allow_infinity=False)
KEYS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


class Part(Spec):
    """A small spec with a quantity, a list and a default."""

    size: Bytes = 0
    counts: tuple[int, ...] = ()


class Whole(Spec):
    """A spec with a part and a choice of types."""

    part: Part = Part()
    a: int | str | None = None


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("yaml") / "x.yaml"


def attempt(action):
    """Return the result of the action or its refusal; any other exception fails the test."""
    try:
        return action(), None
    except InputError as error:
        return None, error


@given(content=st.binary(max_size=200) | YAML_LIKE)
@example(content=b"\xef\xbb\xbf\xef\xbb\xbf")
@example(content=b'"\\UFFFFFFFF"')
@example(content=b"%YAML " + b"1" * 5000 + b".1\n---\na: 1")
@example(content=b"a: " + b"1" * 5000)
@example(content=b"a: 0x" + b"f" * 5000)
@example(content=b"? " * 2000)
@example(content=b"- " * 2000)
@example(content=b"{" * 2000)
def test_any_bytes_are_a_mapping_or_refused(path, content):
    """Reading ends with a mapping whose every place has a line, or with problems that name the file."""
    path.write_bytes(content)
    lines = content.count(b"\n") + content.count(b"\r") + 1
    document, error = attempt(lambda: read_document(path))
    if error:
        assert error.problems
        assert all(problem.file == str(path) for problem in error.problems)
        assert all(problem.line is None or 1 <= problem.line <= lines for problem in error.problems)
        assert len(str(error).splitlines()) == len(error.problems)
    else:
        assert isinstance(document.data, dict)
        assert {path[:1] for path in document.lines} == {(), *((key,) for key in document.data)}
        assert all(1 <= line <= lines for _, line in document.lines.values())


@given(
    content=YAML_LIKE,
    overrides=st.lists(TEXT | st.sampled_from(["part.size=1 B", "part.counts=[1]"]), max_size=3),
)
def test_any_file_loads_or_is_refused(path, content, overrides):
    """With a right header before it, any text is a spec or a refusal that shows one line per problem."""
    path.write_bytes(b"format: t\nversion: 1\n" + content)
    loaded, error = attempt(lambda: load(Whole, path, folder=path.parent, format_name="t", overrides=overrides))
    if error:
        shown = [line for line in str(error).splitlines() if not line.startswith("--set")]
        assert len(shown) == len(set(shown)) == sum(problem.file != "--set" for problem in error.problems)
    else:
        path.write_text(dump_yaml(loaded.resolved), encoding="utf-8")
        again = load(Whole, path, folder=path.parent, format_name="t")
        assert (again.spec, again.config_hash) == (loaded.spec, loaded.config_hash)


@given(data=st.dictionaries(KEYS, DATA, max_size=5))
def test_dumped_data_is_read_back_equal(path, data):
    """Any data that a file can hold survives being written and read."""
    path.write_text(dump_yaml(data), encoding="utf-8")
    again = read_document(path).data
    assert again == data
    assert repr(again) == repr(data)  # 1, 1.0 and True are equal, and not the same


@given(
    data=st.dictionaries(KEYS, DATA, max_size=3),
    assignment=TEXT | st.builds("{}.{}={}".format, KEYS, KEYS, TEXT),
)
def test_any_override_applies_or_is_refused(data, assignment):
    """An override gives data or a problem of the command line, and leaves the document as it was."""
    before = repr(data)
    document = Document(data, {(): ("x.yaml", 1)})
    _, error = attempt(lambda: overridden(document, assignment))
    assert error is None or {problem.file for problem in error.problems} == {"--set"}
    assert repr(data) == before


def test_the_file_is_not_needed_after_loading(tmp_path):
    """A spec does not depend on what happens to its file later."""
    file = Path(tmp_path / "x.yaml")
    file.write_text("format: t\nversion: 1\npart: {size: 1 B}\n", encoding="utf-8")
    loaded = load(Whole, file, folder=tmp_path, format_name="t")
    file.unlink()
    assert loaded.spec.part.size == 1


@given(content=YAML_LIKE)
@example(content=b"a: {b: [1, 2]}\nc: |\n  x\n\n  y\nd: 'e'\n")
@example(content=b"a:\t1")
@example(content=b"? a\n: b")
def test_both_parsers_read_the_same(content):
    """What the parser in C takes, the one in Python takes, too: the same data, at the same lines."""
    text = content.decode()
    found = source._build(text, "x.yaml")
    plain = source._Builder("x.yaml")
    with contextlib.suppress(source._StopReadingError):
        source._diagnose(plain, text)
    assert (found.root, found.lines, found.problems) == (plain.root, plain.lines, plain.problems)
