"""Traces as files: what is written is what is read, and what is wrong is named with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim import data
from t3sim.collectives.plan import Operation
from t3sim.errors import InputError
from t3sim.workload import DTYPE_BYTES, Collective, Gemm, Trace, load_trace, render_trace

TEXT = """\
# Made by: t3sim trace new toy --tp 4
# M, N, K_local: output rows (tokens), output columns, and the reduction length on one GPU.
# bytes: the whole buffer of the collective, before it is divided among the GPUs.
format: t3sim-trace
version: 1
model: toy
tp: 4
description: "two: lines"
operations:
  - {id: op.gemm, op: gemm,           phase: forward, sublayer: op, M: 256, N: 128, K_local: 64, dtype: fp16, after: []}
  - {id: op.rs,   op: reduce_scatter, phase: forward, sublayer: op, bytes: 65536 B,              dtype: fp16, after: [op.gemm]}
"""  # noqa: E501

TOY = Trace(
    model="toy",
    tp=4,
    description="two: lines",
    operations=(
        Gemm(id="op.gemm", phase="forward", sublayer="op", M=256, N=128, K_local=64, dtype="fp16"),
        Collective(
            op="reduce_scatter",
            id="op.rs",
            phase="forward",
            sublayer="op",
            bytes=65536,
            dtype="fp16",
            after=("op.gemm",),
        ),
    ),
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "toy-tp4.yaml").write_text(TEXT, encoding="utf-8")
    return tmp_path


def problems(folder, text):
    """Refuse a file of this text; (line, message) of each problem."""
    path = folder / "wrong.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_trace(path, folder=folder)
    assert all(str(path) in str(problem) for problem in refused.value.problems)
    return [(problem.line, str(problem)) for problem in refused.value.problems]


def test_loads_by_name_and_by_path(folder):
    """A trace is found by name in its folder, or by its path."""
    assert load_trace("toy-tp4", folder=folder).spec == TOY
    assert load_trace(folder / "toy-tp4.yaml", folder=folder / "elsewhere").spec == TOY


def test_unknown_name_lists_what_there_is(folder):
    """A name that is in no file is refused with the names that are."""
    with pytest.raises(InputError, match="toy-tp4"):
        load_trace("toy-tp8", folder=folder)


def test_written_for_review():
    """A trace is written one operation a line, in columns, under the command that made it."""
    assert render_trace(TOY) == TEXT


def test_header_names_the_command():
    """The given command stands in the first line, and cannot break out of the comment."""
    text = render_trace(TOY, command="t3sim trace import\ntp: 2")
    assert text.splitlines()[0] == "# Made by: t3sim trace import tp: 2"
    assert text.splitlines()[1:] == TEXT.splitlines()[1:]


def test_misspelt_dependency_has_its_line(folder):
    """The problem names the line of the operation, the misspelt id and the nearest known one."""
    [(line, message)] = problems(folder, TEXT.replace("[op.gemm]", "[op.gem]"))
    assert line == 11
    assert "did you mean 'op.gemm'?" in message


def test_repeated_id_has_its_line(folder):
    """The problem stands at the second operation of the same id."""
    [(line, message)] = problems(folder, TEXT.replace("id: op.rs, ", "id: op.gemm,").replace("[op.gemm]", "[]"))
    assert line == 11
    assert "operation 1 of the trace already has this id" in message


def test_cycle_has_its_line(folder):
    """The problem stands at the first operation of the cycle."""
    [(line, message)] = problems(folder, TEXT.replace("after: []", "after: [op.rs]"))
    assert line == 10
    assert "op.gemm -> op.rs -> op.gemm" in message


@pytest.mark.parametrize(
    ("old", "new", "line", "text"),
    [
        ("K_local: 64", "K_local: 0", 10, "K_local"),
        ("bytes: 65536 B", "bytes: 65536", 11, "bytes"),
        ("K_local: 64", "K: 64", 10, "K_local"),
        ("op: reduce_scatter", "op: reduce_scater", 11, "reduce_scatter"),
        ("dtype: fp16, after: []", "dtype: fp17, after: []", 10, "fp16"),
        ("tp: 4\n", "tp: 1\n", 7, "tp"),
    ],
)
def test_wrong_value_has_its_line(folder, old, new, line, text):
    """Whatever is wrong in an operation, every problem is on that line and one says what is known."""
    found = problems(folder, TEXT.replace(old, new))
    assert {at for at, _ in found} == {line}
    assert any(text in message for _, message in found)


def test_no_operations(folder):
    """A trace that lists nothing to do is refused at its list."""
    [(line, message)] = problems(folder, TEXT.partition("operations:")[0] + "operations: []\n")
    assert line == 9
    assert message.endswith("operations: a trace needs at least one operation")


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_./-]*", fullmatch=True)
GEMMS = st.builds(
    Gemm,
    id=NAMES,
    phase=NAMES,
    sublayer=st.just("op"),
    M=st.integers(1, 2**28),
    N=st.integers(1, 2**20),
    K_local=st.integers(1, 2**20),
    dtype=st.sampled_from(sorted(DTYPE_BYTES)),
)
COLLECTIVES = st.builds(
    Collective,
    op=st.sampled_from([operation.value for operation in Operation]),
    id=NAMES,
    phase=NAMES,
    sublayer=NAMES,
    bytes=st.integers(1, 2**50),
    dtype=st.sampled_from(sorted(DTYPE_BYTES)),
)


@st.composite
def traces(draw):
    """Traces of up to five operations, each of which may wait for those before it in the file."""
    operations = draw(st.lists(GEMMS | COLLECTIVES, min_size=1, max_size=5, unique_by=lambda o: o.id))
    chained = [
        o.model_copy(update={"after": tuple(p.id for p in operations[:i] if draw(st.booleans())), "phase": o.id})
        for i, o in enumerate(operations)
    ]
    line = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=200)
    text = line.filter(lambda text: not {"\ufffe", "\uffff"} & set(text))
    return Trace(model=draw(NAMES), tp=draw(st.integers(2, 1024)), description=draw(text), operations=tuple(chained))


@given(trace=traces())
def test_written_traces_load_back_equal(tmp_path_factory, trace):
    """Whatever a trace is named or described as, its file loads back to an equal trace."""
    path = tmp_path_factory.mktemp("trace") / "any.yaml"
    path.write_text(render_trace(trace), encoding="utf-8")
    assert load_trace(path, folder=path.parent).spec == trace


@pytest.mark.parametrize("name", ["null", "true", "1e5", "12", "0x1f", "1_000", "1.", "2024-01-01", "no"])
def test_names_that_yaml_would_take_for_something_else(folder, name):
    """An id that looks like a number, a date or a truth value stays the text that it is."""
    operation = TOY.operations[0].model_copy(update={"id": name})
    trace = Trace(model="toy", tp=2, operations=(operation,))
    path = folder / "odd.yaml"
    path.write_text(render_trace(trace), encoding="utf-8")
    assert load_trace(path, folder=folder).spec == trace


@pytest.mark.parametrize("path", sorted(data.traces_dir().glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_trace_is_as_written_by_this_version(path):
    """A shipped trace loads, has the model and degree of its name, and renders to itself but for who made it."""
    trace = load_trace(path.stem, folder=data.traces_dir()).spec
    assert path.stem.removesuffix("-sequence-parallel") == f"{trace.model}-tp{trace.tp}"
    _, *lines = path.read_text(encoding="utf-8").splitlines()
    assert render_trace(trace).splitlines()[1:] == lines
