"""What a trace accepts, what it refuses and where it points, and how it falls into sublayers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from t3sim.errors import InputError
from t3sim.workload import DTYPE_BYTES, Collective, Gemm, Trace
from t3sim.workload.operations import picked

PLACE = {"phase": "forward", "sublayer": "op"}


def gemm(name, *after, **changes):
    fields = {"M": 256, "N": 128, "K_local": 64, "dtype": "fp16", **PLACE}
    return Gemm(id=name, after=after, **{**fields, **changes})


def collective(name, *after, **changes):
    fields = {"op": "reduce_scatter", "bytes": 65536, "dtype": "fp16", **PLACE}
    return Collective(id=name, after=after, **{**fields, **changes})


def trace(*operations, tp=8):
    return Trace(model="toy", tp=tp, operations=operations)


def faults(*operations, **changes):
    """(place, message) of each fault of a trace made of these operations."""
    with pytest.raises(ValidationError) as refused:
        trace(*operations, **changes)
    return [(error["loc"], error["msg"]) for error in refused.value.errors()]


@pytest.mark.parametrize(("dtype", "size"), [("fp32", 4), ("fp16", 2), ("bf16", 2), ("fp8", 1)])
def test_element_sizes(dtype, size):
    """Each dtype has the element size of its format, and the output is M x N such elements."""
    assert DTYPE_BYTES[dtype] == size
    assert gemm("g", M=3, N=5, dtype=dtype).output_bytes == 15 * size
    assert gemm("g", M=3, K_local=7, dtype=dtype).input_bytes == 21 * size


def test_dtypes_and_their_sizes_are_the_same_set():
    """A dtype that an operation accepts has a size, and the other way round."""
    accepted = Gemm.model_fields["dtype"].annotation.__args__
    assert set(DTYPE_BYTES) == set(accepted)


def test_flop_counts_multiplications_and_additions():
    """A GEMM costs two operations per output element and term of its local reduction."""
    assert gemm("g", M=2, N=3, K_local=5).flop == 60


@pytest.mark.parametrize("field", ["M", "N", "K_local"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "8", True, 2**28 + 1])
def test_dimensions_are_positive_integers(field, value):
    """A GEMM without extent, with a fractional one or with text for one is refused at that field."""
    with pytest.raises(ValidationError) as refused:
        gemm("g", **{field: value})
    assert [error["loc"] for error in refused.value.errors()] == [(field,)]


def test_collective_moves_something():
    """A collective over an empty buffer is refused, and a quantity with a unit is understood."""
    with pytest.raises(ValidationError):
        collective("c", bytes=0)
    assert collective("c", bytes="69730304 B").bytes == 69730304


@pytest.mark.parametrize("name", ["", "a b", "a,b", "[a]", "-a", "a:b", "a\nb"])
def test_names_stand_unquoted_in_lists(name):
    """A name that a list or a command line would split is refused."""
    with pytest.raises(ValidationError):
        gemm(name)


@pytest.mark.parametrize("text", ["two\nlines", "bell \a", "\x85", "\u2028", "\uffff"])
def test_descriptions_are_one_line(text):
    """A description that would not fit on one line of a file is refused."""
    with pytest.raises(ValidationError):
        Trace(model="toy", tp=2, description=text, operations=(gemm("g"),))


def test_operations_do_not_change():
    """An operation is a value: assigning to a field is an error."""
    with pytest.raises(ValidationError):
        gemm("g").M = 1


@pytest.mark.parametrize("tp", [1, 0, -8, 2**16 + 1])
def test_a_group_has_two_gpus_or_more(tp):
    """A tensor-parallel group of fewer than two GPUs, or of absurdly many, is refused."""
    assert [place for place, _ in faults(gemm("g"), tp=tp)] == [("tp",)]


def test_a_trace_has_operations():
    """A trace without operations is refused."""
    assert faults() == [(("operations",), "a trace needs at least one operation")]


def test_repeated_id_points_at_the_second_use():
    """The fault names the place of the later operation and the number of the earlier one."""
    assert faults(gemm("a"), gemm("b"), gemm("a")) == [
        (("operations", 2, "id"), "operation 1 of the trace already has this id")
    ]


def test_unknown_dependency_names_the_nearest():
    """A misspelt dependency points at its place in the list and suggests the operation that was meant."""
    found = faults(gemm("op.gemm"), collective("op.rs", "op.gemm", "op.gem"))
    assert found == [
        (
            ("operations", 1, "after", 1),
            "'op.rs' waits for 'op.gem', which is no operation (did you mean 'op.gemm'?)",
        )
    ]


def test_unknown_dependency_without_a_near_name():
    """Where no operation has a similar id, none is suggested."""
    assert faults(gemm("a", "zzz")) == [(("operations", 0, "after", 0), "'a' waits for 'zzz', which is no operation")]


def test_all_faults_are_reported_together():
    """A repeated id does not hide an unknown dependency."""
    assert [place for place, _ in faults(gemm("a"), gemm("a", "zzz"), gemm("b", "yyy"))] == [
        ("operations", 1, "id"),
        ("operations", 1, "after", 0),
        ("operations", 2, "after", 0),
    ]


def test_cycle_is_spelled_out():
    """Operations that wait for each other are listed in order, from the first of them in the file."""
    found = faults(gemm("start"), gemm("a", "start", "c"), gemm("b", "a"), gemm("c", "b"))
    assert found == [(("operations", 1, "after"), "operations wait for each other: a -> b -> c -> a")]


def test_operation_cannot_wait_for_itself():
    """An operation after itself is the shortest cycle."""
    assert faults(gemm("a", "a")) == [(("operations", 0, "after"), "operations wait for each other: a -> a")]


def test_each_separate_cycle_is_reported():
    """Two cycles that have nothing in common are two faults."""
    found = faults(gemm("a", "b"), gemm("b", "a"), gemm("c", "d"), gemm("d", "c"))
    assert [message.rpartition(": ")[2] for _, message in found] == ["a -> b -> a", "c -> d -> c"]


def test_sublayers_cannot_wait_for_each_other():
    """Sublayers are executed whole, so two that interleave are refused although the operations could run."""
    found = faults(gemm("a", sublayer="op"), gemm("b", "a", sublayer="fc2"), collective("c", "b", sublayer="op"))
    assert found == [(("operations", 0), "sublayers wait for each other: forward op -> forward fc2 -> forward op")]


def test_sublayers_come_in_order_of_first_appearance():
    """The same sublayer in another phase is another group, and groups keep the order of the file."""
    groups = trace(
        gemm("a", sublayer="fc2"),
        gemm("b", sublayer="op"),
        gemm("c", sublayer="fc2", phase="backward"),
        gemm("d", sublayer="fc2"),
    ).sublayers()
    assert [(g.phase, g.sublayer, [o.id for o in g.operations]) for g in groups] == [
        ("forward", "fc2", ["a", "d"]),
        ("forward", "op", ["b"]),
        ("backward", "fc2", ["c"]),
    ]
    assert {(g.model, g.tp) for g in groups} == {("toy", 8)}


def test_labels_show_the_phase_where_a_name_is_of_two():
    """`fc2` is in both phases, `op` in one: only the former needs its phase to be told apart."""
    groups = trace(
        gemm("a", sublayer="fc2"), gemm("b", sublayer="op"), gemm("c", sublayer="fc2", phase="backward")
    ).sublayers()
    assert [group.label for group in groups] == ["toy tp8 forward/fc2", "toy tp8 op", "toy tp8 backward/fc2"]


PLACES = (("forward", "fc1"), ("forward", "fc2"), ("backward", "fc2"), ("backward", "fc1"), ("backward", "ip"))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ((), (0, 1, 2, 3, 4)),
        (("fc2",), (1, 2)),
        (("ip", "fc1"), (4, 0, 3)),
        (("backward/fc2",), (2,)),
        (("backward/ip",), (4,)),
        (("backward/fc2", "fc2"), (2, 1)),
        (("fc2", "fc2"), (1, 2)),
    ],
)
def test_a_name_picks_both_phases_and_a_phase_one(wanted, found):
    """Sublayers come in the order asked for, each once; without a choice in that of the trace."""
    assert picked(PLACES, wanted, "--sublayer") == tuple(PLACES[number] for number in found)


def test_unknown_sublayers_are_refused():
    """Known are names, and of those in both phases also what picks one of them; each unknown one is a problem."""
    with pytest.raises(InputError) as refused:
        picked(PLACES, ("forward/ip", "fc2", "fc3", "fc3"), "--sublayer")
    assert [(problem.key, problem.value) for problem in refused.value.problems] == [
        ("--sublayer", "forward/ip"),
        ("--sublayer", "fc3"),
    ]
    assert set(refused.value.problems[0].known) == {
        "fc1",
        "fc2",
        "ip",
        "forward/fc1",
        "forward/fc2",
        "backward/fc2",
        "backward/fc1",
    }


def test_sublayer_is_in_execution_order():
    """Operations listed backwards come out in the order in which they can run."""
    (group,) = trace(collective("ag", "rs", op="all_gather"), collective("rs", "gemm"), gemm("gemm")).sublayers()
    assert [operation.id for operation in group.operations] == ["gemm", "rs", "ag"]


@given(st.data())
def test_order_respects_every_dependency_and_then_the_file(data):
    """In any acyclic trace of one sublayer, the next operation is the first in the file that can run."""
    count = data.draw(st.integers(1, 8))
    rank = data.draw(st.permutations(range(count)))
    before = [[j for j in range(count) if rank[j] < rank[i] and data.draw(st.booleans())] for i in range(count)]
    operations = [gemm(f"n{i}", *(f"n{j}" for j in before[i])) for i in range(count)]
    expected: list[int] = []
    while len(expected) < count:
        expected.append(next(i for i in range(count) if i not in expected and set(before[i]) <= set(expected)))
    (group,) = trace(*operations).sublayers()
    assert [operation.id for operation in group.operations] == [f"n{i}" for i in expected]
