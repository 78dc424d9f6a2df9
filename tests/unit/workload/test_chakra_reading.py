"""Chakra's files as traces: what becomes an operation, what it waits for, and what is said of the rest."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t3sim.data import traces_dir
from t3sim.errors import InputError
from t3sim.workload import Collective, Gemm, Trace, load_trace
from t3sim.workload.chakra import import_chakra, rank_files

SHIPPED = sorted(path.stem for path in traces_dir().glob("*.yaml"))
AR, REDUCE, AG, RS = 0, 1, 2, 7


@pytest.fixture
def imported(tmp_path, et):
    """Give a function that imports a file of these messages, of a group of four GPUs."""

    def run(*nodes, metadata=None, tp=4, **options):
        path = tmp_path / "some.0.et"
        path.write_bytes((et.metadata() if metadata is None else metadata) + b"".join(nodes))
        return import_chakra(path, tp=tp, **options)

    return run


def waits(found):
    return {operation.id: operation.after for operation in found.trace.operations}


def places(found):
    return {operation.id: operation.sublayer for operation in found.trace.operations}


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_exported_comes_back(tmp_path, name):
    """Every shipped trace, written and read again, is the same; of each rank."""
    trace = load_trace(name, folder=traces_dir()).spec
    for rank, data in enumerate(rank_files(trace)):
        (tmp_path / f"{name}.{rank}.et").write_bytes(data)
    for rank in (None, trace.tp - 1):
        assert import_chakra(tmp_path, rank=rank).trace == trace


def test_every_operation_comes_back(tmp_path):
    """So do the other collectives, shares that are not even, every dtype, and operations out of order."""
    ops = ("broadcast", "all_to_all", "send", "all_reduce", "all_gather", "reduce_scatter")
    collectives = [
        Collective(id=op, op=op, bytes=1001, phase="f", sublayer=op, dtype=dtype, after=("last", "send"))
        for op, dtype in zip(ops, ("fp32", "fp16", "bf16", "fp8", "fp8", "fp32"), strict=True)
    ]
    collectives[2] = collectives[2].model_copy(update={"after": ("last",)})
    last = Gemm(id="last", phase="f", sublayer="g", M=1, N=2**28, K_local=3, dtype="fp8")
    trace = Trace(model="toy", tp=3, description="ä: b", operations=(*collectives, last))
    for rank, data in enumerate(rank_files(trace)):
        (tmp_path / f"x.{rank}.et").write_bytes(data)
    assert import_chakra(tmp_path).trace == trace


@st.composite
def traces(draw):
    """Make a trace of one sublayer in which anything may wait for anything before it."""
    tp, count = draw(st.integers(2, 5)), draw(st.integers(1, 6))
    operations = []
    for i in range(count):
        after = draw(st.lists(st.sampled_from(operations), unique=True)) if operations else []
        common = {"id": f"o{i}", "phase": "f", "sublayer": "s", "after": tuple(operation.id for operation in after)}
        common["dtype"] = draw(st.sampled_from(["fp32", "fp16", "bf16", "fp8"]))
        op = draw(st.sampled_from(["gemm", "all_gather", "send", "broadcast"]))
        if op == "gemm":
            m, n, k = (draw(st.integers(1, 2**28)) for _ in range(3))
            operations.append(Gemm(M=m, N=n, K_local=k, **common))
        else:
            operations.append(Collective(op=op, bytes=draw(st.integers(1, 2**50)), **common))
    return Trace(model="toy", tp=tp, operations=tuple(draw(st.permutations(operations))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(traces(), st.integers(0, 4))
def test_any_trace_comes_back(tmp_path, trace, rank):
    """Whatever waits for whatever, in any order, of any size: what is written is what is read."""
    for number, data in enumerate(rank_files(trace)):
        (tmp_path / f"x.{number}.et").write_bytes(data)
    assert import_chakra(tmp_path / f"x.{rank % trace.tp}.et").trace == trace


def test_another_programs_collective(et, imported):
    """An all-gather's size is one rank's, any other's the whole; the dtype is the one asked for, and said to be so."""
    found = imported(et.collective(0, "a", AG, 100), et.collective(1, "b", RS, 100), dtype="bf16")
    assert [(o.op, o.bytes, o.dtype) for o in found.trace.operations] == [
        ("all_gather", 400, "bf16"),
        ("reduce_scatter", 100, "bf16"),
    ]
    assert "bf16 is taken" in "".join(found.notes)


def test_other_kinds_of_numbers(et, imported):
    """Writers differ in the kinds of values: any kind of whole number does."""
    kinds = ("is_cpu_op", et.INT32, 0), ("comm_type", et.INT32, RS), ("comm_size", et.UINT64, 64)
    found = imported(et.node(3, "c", et.COLL, *kinds, ("comm_group", et.INT32, 0)))
    assert [(o.op, o.bytes) for o in found.trace.operations] == [("reduce_scatter", 64)]


def test_what_is_between_operations_hands_on_what_it_waits_for(et, imported):
    """Dependencies of both kinds lead through nodes that are no operations, each once."""
    found = imported(
        et.gemm(10, "g"),
        et.cpu(11, "aten::copy_", data=[10]),
        et.cpu(12, "aten::view", control=[11], data=[10]),
        et.gemm(13, "h", control=[12]),
        et.collective(14, "c", RS, 64, data=[12, 13]),
    )
    assert waits(found) == {"g": (), "h": ("g",), "c": ("g", "h")}


def test_dependencies_on_what_is_not_there(et, imported):
    """Nothing can wait for a node that a linker left out; how many such dependencies there are is said."""
    found = imported(et.gemm(1, "g", data=[0, 7], control=[9]), et.gemm(2, "h", data=[0, 1]))
    assert waits(found) == {"g": (), "h": ("g",)}
    assert "4 dependencies on nodes that are not in the file are left out" in found.notes


def test_circles_in_traces_of_pytorch(et, imported):
    """PyTorch's linker makes circles: there nothing waits for what is further on, or for itself, and that is said."""
    metadata = et.metadata(schema="1.0.1")
    found = imported(
        et.gemm(1, "a", data=[2, 3]),
        et.cpu(2, "b", data=[1, 2]),
        et.gemm(3, "c"),
        et.gemm(4, "d", data=[2]),
        metadata=metadata,
    )
    assert waits(found) == {"a": ("c",), "c": (), "d": ("a",)}
    assert "2 dependencies on what started later, or on itself, are left out" in "".join(found.notes)
    stream = "stream", et.INT64, 7
    against = et.gemm(1, "a", stream, data=[2], start=10), et.gemm(2, "b", stream, start=20)
    assert waits(imported(*against, metadata=metadata)) == {"a": (), "b": ("a",)}


def test_kernels_of_a_stream_run_in_the_order_of_their_starts(et, imported):
    """Where the file has no dependencies between kernels of one stream, their starts give them; not on the CPU."""

    def on(stream):
        return "stream", et.INT64, stream

    found = imported(
        et.gemm(5, "late", on(7), start=300),
        et.gemm(6, "early", on(7), start=100),
        et.node(7, "softmax", et.COMP, ("is_cpu_op", et.BOOL, 0), on(7), start=200),
        et.collective(8, "other", RS, 64, on(20), start=150),
        et.cpu(9, "aten::mm", start=120),
    )
    assert waits(found) == {"late": ("early",), "early": (), "other": ()}


def test_kernels_without_a_stream_have_no_order(et, imported):
    """Operations whose file names no stream wait for nothing but what it says."""
    assert waits(imported(et.gemm(1, "a", start=5), et.gemm(2, "b", start=9))) == {"a": (), "b": ()}


def test_names_of_others(et, imported):
    """Names become ids: STAGE's with their signs replaced, equal ones numbered, none by the node's number."""
    stage = "transformer.0.mha.qkv@0_X1COMM"
    found = imported(et.collective(1, stage, AG, 8), et.gemm(2, "mm"), et.gemm(3, "mm"), et.gemm(9, ""))
    assert list(waits(found)) == ["transformer.0.mha.qkv-0_X1COMM", "mm", "mm.2", "node.9"]


def test_stage_writes_no_shapes(et, imported):
    """STAGE's metadata has no version, its compute no shape: the collective that its input needs is all there is."""
    metadata = et.message(et.block(2, et.attribute("schema", et.STRING, "symbolic_tensor_network")))
    ops = ("num_ops", et.INT64, 10), ("tensor_size", et.UINT64, 20)
    found = imported(
        et.collective(1, "mha.o@0_X1COMM", AG, 64),
        et.node(2, "mha.o@0_COMP", et.COMP, *ops, data=[1]),
        metadata=metadata,
    )
    assert list(waits(found)) == ["mha.o-0_X1COMM"]
    assert "1 not mapped: compute without the shape of a GEMM (attributes M, N, K)" in found.notes
    assert "       1 x mha.o@0_COMP" in found.notes


def test_sublayers(et, imported):
    """A GEMM opens a sublayer, and joins the all-gather that it waits for; a collective is with its last GEMM."""
    found = imported(
        et.collective(0, "ag", AG, 64),
        et.gemm(1, "fc1", data=[0]),
        et.gemm(2, "fc2", data=[1]),
        et.collective(3, "rs", RS, 64, data=[2, 1]),
        et.collective(4, "alone", AR, 64),
        et.gemm(5, "next", data=[3]),
    )
    expected = {"ag": "fc1", "fc1": "fc1", "fc2": "fc2", "rs": "fc2", "alone": "alone", "next": "next"}
    assert places(found) == expected
    assert {operation.phase for operation in found.trace.operations} == {"imported"}


def test_what_is_not_mapped_is_counted_by_name(et, imported):
    """By reason, and in it by name, the commonest first."""
    found = imported(
        et.collective(0, "c", RS, 64),
        *(et.cpu(number, "aten::mm") for number in (1, 2)),
        et.cpu(3, "aten::add"),
        et.collective(4, "nccl:reduce", REDUCE, 64),
        et.collective(5, "empty", AR, 0),
        et.node(6, "new", 12),
        et.node(7, "load", 2),
        et.node(8, "send", et.SEND),
        et.gemm(9, "mm64", dtype="fp64"),
        et.node(10, "bare", et.COLL),
    )
    assert found.notes[0] == "11 nodes, 4 of them compute and 4 collectives; mapped: 0 GEMMs and 1 collectives"
    lines = list(found.notes[2:])
    assert lines[lines.index("3 not mapped: work of the CPU") :][:3] == [
        "3 not mapped: work of the CPU",
        "       2 x aten::mm",
        "       1 x aten::add",
    ]
    for reason in (
        "a collective reduce, which t3sim has not",
        "a collective of no bytes",
        "type 12, which is not known",
        "a load from other memory, or a store",
        "a message from GPU to GPU",
        "a GEMM of no dtype that is known (attribute dtype: fp32, fp16, bf16, fp8)",
        "a collective without comm_type or comm_size",
    ):
        assert f"1 not mapped: {reason}" in lines


def test_an_unknown_schema_is_noted(et, imported):
    """A file of a known version whose writer is not known is read, and that is said."""
    found = imported(et.collective(0, "c", RS, 64), metadata=et.metadata(schema="9.9"))
    assert "written by the schema '9.9', which is not known" in found.notes[0]
    assert "1.0.2-chakra.0.0.4" in found.notes[0]


GROUPS = """['[{"pg_name": "0", "ranks": [0,1,2,3,4,5,6,7]}, {"pg_name": "1", "ranks": [0,1]}]']"""


def test_groups_of_pytorch(et, imported):
    """Sizes of groups are read from their metadata; collectives of groups of another size are left out."""
    about = et.node(1, "## process_group:init ##", 1, parts=[et.block(8, et.block(1, GROUPS))])
    world, pair = (("pg_name", et.STRING, name) for name in "01")
    tp = et.collective(3, "tp", RS, 64, pair)
    assert imported(about, tp, tp=None).trace.tp == 2
    both = about, et.collective(2, "dp", RS, 64, world), tp
    found = imported(*both, tp=2)
    assert list(waits(found)) == ["tp"]
    assert "1 not mapped: a collective of 8 ranks, where the group has 2" in found.notes
    with pytest.raises(InputError, match=r"does not say how many GPUs the group has; give --tp \(known: 2, 8\)"):
        imported(*both, tp=None)


def test_groups_of_stage(tmp_path, et):
    """STAGE writes groups into a file beside the traces, by the number that their collectives name."""
    pairs = et.collective(1, "tp_X1COMM", RS, 64, ("pg_name", et.STRING, "1"), ("comm_group", et.INT32, 1))
    all_of_them = et.collective(2, "dp_X1COMM", AR, 64, ("comm_group", et.INT32, 2))
    for rank in range(4):
        (tmp_path / f"workload.{rank}.et").write_bytes(et.metadata("") + pairs + all_of_them)
    for name in ("comm_group.json", "workload.json"):
        (tmp_path / name).write_text('{"1": [0, 1], "2": [0, 1, 2, 3]}', encoding="utf-8")
        with pytest.raises(InputError, match=r"give --tp \(known: 2, 4\)"):
            import_chakra(tmp_path)
        found = import_chakra(tmp_path, group="1")
        assert (found.trace.tp, list(waits(found))) == (2, ["tp_X1COMM"])
        assert "1 not mapped: a collective of another group than 1" in found.notes
        (tmp_path / name).write_text('{"1": 2}', encoding="utf-8")
        with pytest.raises(InputError, match=f"{name}: groups of the trace beside it: must be a mapping"):
            import_chakra(tmp_path)
        plain = tmp_path / "plain"
        plain.mkdir(exist_ok=True)
        for other in ("workload.0.et", "workload.1.et"):
            (plain / other).write_bytes(et.metadata() + et.collective(1, "c", RS, 64, ("pg_name", et.STRING, "0")))
        (plain / name).write_text('["not about groups"]', encoding="utf-8")
        assert import_chakra(plain).trace.tp == 2  # no group is named, so that no file is asked for it
        (tmp_path / name).write_text("{", encoding="utf-8")
        with pytest.raises(InputError, match=f"{name}: groups of the trace beside it: not valid JSON"):
            import_chakra(tmp_path)


def test_as_many_gpus_as_files(tmp_path, et):
    """Where nothing says how many GPUs there are, files of the same prefix are counted; one alone needs the option."""
    data = et.metadata() + et.collective(0, "c", AG, 64)
    (tmp_path / "x.0.et").write_bytes(data)
    with pytest.raises(InputError, match="give --tp"):
        import_chakra(tmp_path / "x.0.et")
    (tmp_path / "x.1.et").write_bytes(data)
    (tmp_path / "x.10.et").write_bytes(data)
    (tmp_path / "notes.txt").write_text("no trace", encoding="utf-8")
    assert import_chakra(tmp_path / "x.0.et").trace.tp == 3
    assert import_chakra(tmp_path).trace.operations[0].bytes == 3 * 64
    with pytest.raises(InputError, match=r"no file of this rank, got 7 \(known: 0, 1, 10\)"):
        import_chakra(tmp_path, rank=7)
    (tmp_path / "y.0.et").write_bytes(data)
    with pytest.raises(InputError, match=r"traces of several names.*x, y"):
        import_chakra(tmp_path)


def test_an_empty_folder(tmp_path):
    """A folder without such files is refused with what they are called."""
    with pytest.raises(InputError, match=r"PREFIX\.RANK\.et"):
        import_chakra(tmp_path)
