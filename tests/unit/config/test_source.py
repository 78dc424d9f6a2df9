"""Reading YAML: what values mean, where they stand, and which bytes are refused and why."""

import os

import pytest
import yaml

from t3sim.config.source import MAX_BYTES, MAX_DEPTH, dump_yaml, read_document, read_value, scalar
from t3sim.errors import InputError


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file that messages call 'x.yaml'."""
    monkeypatch.chdir(tmp_path)

    def write(content):
        path = tmp_path / "x.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path.relative_to(tmp_path)

    return write


def refusal(path):
    """Return the text of the error with which a path is refused."""
    with pytest.raises(InputError) as refused:
        read_document(path)
    return str(refused.value)


def test_data_and_lines(write):
    """Each key and list item is found at the line where it is written, counted from 1."""
    document = read_document(write("# note\na: 1\nb:\n  c: [x, 2.5]\n  d:\n    - {e: true}\n    - null\n"))
    assert document.data == {"a": 1, "b": {"c": ["x", 2.5], "d": [{"e": True}, None]}}
    assert {path: line for path, (_, line) in document.lines.items()} == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "c", 0): 4,
        ("b", "c", 1): 4,
        ("b", "d"): 5,
        ("b", "d", 0): 6,
        ("b", "d", 0, "e"): 6,
        ("b", "d", 1): 7,
    }
    assert {file for file, _ in document.lines.values()} == {"x.yaml"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-12", -12),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e9", 1e9),
        ("1E-3", 0.001),
        *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "TRue")),
        *((word, word) for word in ("010", "1_000", "1:30", "2024-01-01", "0o17", ".inf", ".nan", "1e999")),
        ("9" * 41, "9" * 41),
        ("16 MiB", "16 MiB"),
        ("<<", "<<"),
    ],
)
def test_words_mean_what_they_look_like(text, value):
    """Numbers, truth values and null are read; every other word, YAML 1.1's surprises too, is text."""
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


def test_quoted_words_and_keys_are_text(write):
    """Quotes make text of anything, and keys are text without them."""
    document = read_document(write("1: '1'\non: \"true\"\nnull: >\n  text\n"))
    assert document.data == {"1": "1", "on": "true", "null": "text\n"}


def test_byte_order_mark_and_foreign_line_ends(write):
    """A file from another system is read as the same data and lines."""
    document = read_document(write(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n"))
    assert document.data == {"a": 1, "b": 2}
    assert document.lines["b",] == ("x.yaml", 2)


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n"
BOMB_REFUSAL = """\
x.yaml:1: a: anchor &a: anchors are not accepted
x.yaml:2: b: anchor &b: anchors are not accepted
x.yaml:2: b.0: alias *a: aliases are not accepted
x.yaml:2: b.1: alias *a: aliases are not accepted
x.yaml:3: c: anchor &c: anchors are not accepted
x.yaml:3: c.0: alias *b: aliases are not accepted
x.yaml:3: c.1: alias *b: aliases are not accepted"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "x.yaml:1: the file is empty"),
        ("# only a comment\n", "x.yaml:1: the file is empty"),
        ("---\n", "x.yaml:1: the file is empty"),
        ("- a\n", "x.yaml:1: the file must hold a mapping of keys"),
        ("just words\n", "x.yaml:1: the file must hold a mapping of keys"),
        (b"a: 1\nb: \xff\n", "x.yaml:2: not UTF-8 text: byte 0xff"),
        ("a: 1\n".encode("utf-16"), "x.yaml:1: not UTF-8 text: byte 0xff"),
        (b"a: 1\n\nb: \x00\n", "x.yaml:3: control character U+0000"),
        ("a: \x1b[2J\n", "x.yaml:1: control character U+001B"),
        ("a: x # \u2028b: 2\n", "x.yaml:1: control character U+2028"),
        ('a: "\\0"\n', "x.yaml:1: a: control character U+0000"),
        ('a: "\\ud800"\n', "x.yaml:1: a: control character U+D800"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: a: duplicate key; first on line 1"),
        ("b:\n  c: 1\n  'c': 2\n", "x.yaml:3: b.c: duplicate key; first on line 2"),
        (
            "a: !!python/object:os.system ls\n",
            "x.yaml:1: a: tag tag:yaml.org,2002:python/object:os.system: tags are not accepted",
        ),
        ("a: !x {b: 1}\n", "x.yaml:1: a: tag !x: tags are not accepted"),
        ("a:\n  <<: *base\n", "x.yaml:2: a.<<: alias *base: aliases are not accepted"),
        (BOMB, BOMB_REFUSAL),
        ("a: 1\n---\nb: 2\n", "x.yaml:2: a second document; one file holds one"),
        ("[a, b]: 1\n", "x.yaml:1: a key must be a single word"),
        (
            "a: 1\n*x : 2\n",
            "x.yaml:2: alias *x: aliases are not accepted\nx.yaml:2: a key must be a single word",
        ),
        ("a: {'': 1}\n", "x.yaml:1: a: an empty key"),
        (f"? {'k' * 101}\n: 1\n", "x.yaml:1: a key of 101 characters; at most 100 are accepted"),
        ('a: "\\UFFFFFFFF"\n', "x.yaml: not valid YAML: an impossible number in an escape or a directive"),
        (
            "a:\n  - 1\n  b: 2\n",
            "x.yaml:3: not valid YAML: while parsing a block collection, expected <block end>, but found '?'",
        ),
        (
            "a: {b: 1,\n",
            "x.yaml:2: not valid YAML: while parsing a flow node, expected the node content, but found '<stream end>'",
        ),
        (
            'a: 1\nb: "x\n',
            "x.yaml:3: not valid YAML: while scanning a quoted scalar, found unexpected end of stream",
        ),
        (
            "a: 1\n\tb: 2\n",
            "x.yaml:2: not valid YAML: while scanning for the next token, found character '\\t' that cannot start any token",  # noqa: E501
        ),
    ],
)
def test_unacceptable_content_is_refused_at_its_line(write, content, message):
    """Each kind of wrong content has one message that names the line and says what is wrong."""
    assert refusal(write(content)) == message


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ("{a: ", "}")])
def test_nesting_has_a_limit(write, opening, closing):
    """Data as deep as the limit is read; one level more, or a hundred thousand, is refused."""

    def nested(levels):
        return write("top: " + opening * levels + closing * levels)

    assert read_document(nested(MAX_DEPTH - 1)).data["top"]
    for levels in (MAX_DEPTH, 10**5):
        assert refusal(nested(levels)) == f"x.yaml:1: nested deeper than {MAX_DEPTH} levels"


def test_size_has_a_limit(write):
    """A file of the largest size is read and one byte more is refused."""
    filler = b"#" * (MAX_BYTES - len(b"a: 1\n"))
    assert read_document(write(b"a: 1\n" + filler)).data == {"a": 1}
    assert refusal(write(b"a: 1\n#" + filler)) == "x.yaml: the file is larger than 4194304 bytes"


def test_reading_stops_after_many_problems(write):
    """A hostile file does not fill the memory with its problems."""
    text = refusal(write("".join(f"k{i}: *a\n" for i in range(1000))))
    assert text.splitlines()[-1] == "x.yaml:50: k49: alias *a: aliases are not accepted"


def test_last_problem_may_be_the_syntax(write):
    """Broken syntax behind many other problems is still an orderly refusal."""
    assert refusal(write("".join(f"k{i}: *a\n" for i in range(49)) + "x: ]")).count("\n") == 49


def test_what_is_no_readable_file(tmp_path, monkeypatch):
    """A missing file, a directory, a loop of links and an impossible name are refused by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    here = tmp_path.relative_to(tmp_path)
    assert refusal(here / "none.yaml") == "none.yaml: no such file"
    assert refusal(here / "folder.yaml") == "folder.yaml: this is a directory, not a file"
    assert refusal(here / "loop.yaml").startswith("loop.yaml: the file cannot be read: ")
    assert refusal(here / "a\0.yaml") == "a\\x00.yaml: the file cannot be read: embedded null byte"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission(write):
    """A file that may not be read is refused with the system's reason."""
    path = write("a: 1\n")
    path.chmod(0)
    assert refusal(path) == "x.yaml: the file cannot be read: Permission denied"


def test_values_from_the_command_line():
    """A piece of YAML is any value, and a problem in it has no line to point at."""
    assert read_value("[1, {a: yes}]", "--set") == [1, {"a": "yes"}]
    with pytest.raises(InputError) as refused:
        read_value("{a: &x 1", "--set")
    assert str(refused.value) == (
        "--set: a: anchor &x: anchors are not accepted\n"
        "--set: not valid YAML: while parsing a flow mapping, expected ',' or '}', but got '<stream end>'"
    )


def test_dumped_data_is_read_back(write):
    """Words that look like numbers stay text, and what occurs twice is written twice."""
    twice = ["1e9", "yes", "010", "0x1F", "", "null", " a ", "a: b", "ü", "two\nlines", "x" * 300]
    data = {"a": twice, "b": {"c": twice, "d": [1, 1e22, 0.1, True, None, [], {}]}, "1": "<<"}
    assert read_document(write(dump_yaml(data))).data == data
    assert yaml.safe_load(dump_yaml(data)) == data
