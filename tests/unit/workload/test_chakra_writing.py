"""Chakra's files as they are written: bytes by hand, and what protobuf itself makes of them."""

import pytest

from t3sim.data import traces_dir
from t3sim.workload import Collective, Gemm, Trace, load_trace
from t3sim.workload.chakra import rank_files
from t3sim.workload.chakra.schema import (
    Attribute,
    NodeType,
    ValueType,
    decoded_node,
    encoded_metadata,
    encoded_node,
)

PLACE = {"phase": "f", "sublayer": "s", "dtype": "fp16"}
SHIPPED = sorted(path.stem for path in traces_dir().glob("*.yaml"))


def toy(*operations, tp=4):
    return Trace(model="toy", tp=tp, description="d", operations=operations)


def first(trace, durations=None):
    return next(iter(rank_files(trace, durations)))


def test_the_metadata_is_first(et):
    """Version 0.0.4, and what a trace says of itself."""
    data = first(toy(Collective(id="c", op="all_reduce", bytes=64, **PLACE)))
    texts = [et.attribute("schema", et.STRING, "t3sim-trace-1"), et.attribute("model", et.STRING, "toy")]
    texts += [et.attribute("tp", et.INT64, 4), et.attribute("description", et.STRING, "d")]
    assert data.startswith(et.message(et.block(1, "0.0.4"), *(et.block(2, text) for text in texts)))


def test_a_gemm(et):
    """Operations, bytes of operands and output, shape, dtype and place, each of the kind that readers ask for."""
    trace = toy(Gemm(id="g", M=256, N=128, K_local=64, **PLACE))
    expected = et.node(
        0,
        "g",
        et.COMP,
        ("is_cpu_op", et.BOOL, 0),
        ("num_ops", et.INT64, 4194304),  # 2 x 256 x 128 x 64
        ("tensor_size", et.UINT64, 114688),  # 2 x (256 x 64 + 64 x 128 + 256 x 128)
        ("M", et.INT64, 256),
        ("N", et.INT64, 128),
        ("K", et.INT64, 64),
        ("dtype", et.STRING, "fp16"),
        ("phase", et.STRING, "f"),
        ("sublayer", et.STRING, "s"),
    )
    assert first(trace).endswith(expected)
    assert first(trace, {"g": 363}).endswith(b"g\x18\x04\x38\xeb\x02" + expected[expected.index(b"\x52") :])


@pytest.mark.parametrize(
    ("op", "kind", "size"),
    [
        ("all_reduce", 0, 4096),
        ("all_gather", 2, 1024),  # what one of four puts in
        ("broadcast", 5, 4096),
        ("all_to_all", 6, 4096),
        ("reduce_scatter", 7, 4096),
    ],
)
def test_a_collective(et, op, kind, size):
    """Type and size, which of an all-gather is one rank's share, in the group of all, after what it waits for."""
    gemm = Gemm(id="g", M=256, N=128, K_local=64, **PLACE)
    trace = toy(gemm, Collective(id="c", op=op, bytes=4096, after=("g",), **PLACE))
    more = ("comm_priority", et.INT32, 0), ("pg_name", et.STRING, "0"), ("dtype", et.STRING, "fp16")
    place = ("phase", et.STRING, "f"), ("sublayer", et.STRING, "s")
    assert first(trace).endswith(et.collective(1, "c", kind, size, *more, *place, data=[0]))


def test_every_rank_has_the_same_file_but_where_it_sends():
    """Of a send each rank has its own next and previous; all else is the same for all."""
    plain = list(rank_files(toy(Collective(id="c", op="all_reduce", bytes=64, **PLACE))))
    assert len(plain) == 4
    assert len(set(plain)) == 1
    assert len(set(rank_files(toy(Collective(id="c", op="send", bytes=64, **PLACE))))) == 4


def test_a_send(et):
    """The last rank sends to the first and receives from the one before it; others wait for what it receives."""
    after = Collective(id="d", op="all_reduce", bytes=64, after=("c",), **PLACE)
    data = list(rank_files(toy(Collective(id="c", op="send", bytes=64, **PLACE), after)))[3]
    ours = ("dtype", et.STRING, "fp16"), ("phase", et.STRING, "f"), ("sublayer", et.STRING, "s")

    def half(identity, name, kind, source, destination, **kwargs):
        ends = ("comm_src", et.INT32, source), ("comm_dst", et.INT32, destination), ("comm_tag", et.INT32, 1)
        of_all = ("is_cpu_op", et.BOOL, 0), ("comm_size", et.INT64, 64)
        return et.node(identity, name, kind, *of_all, *ends, *ours, **kwargs)

    pair = half(0, "c", et.SEND, 3, 0) + half(1, "c.recv", et.RECV, 2, 3, data=[0])
    more = ("comm_priority", et.INT32, 0), ("pg_name", et.STRING, "0")
    assert data.endswith(pair + et.collective(2, "d", 0, 64, *more, *ours, data=[1]))


def test_shares_that_are_not_even(et):
    """Where ranks cannot share a buffer evenly, its size stands beside the largest share."""
    data = first(toy(Collective(id="c", op="all_gather", bytes=4097, **PLACE)))
    assert et.block(10, et.attribute("comm_size", et.INT64, 1025)) in data
    assert et.block(10, et.attribute("buffer_size", et.INT64, 4097)) in data


@pytest.fixture(scope="module")
def protobuf():
    """Give the classes that protobuf makes of Chakra's schema."""
    pb = pytest.importorskip("google.protobuf.descriptor_pb2")
    pool = pytest.importorskip("google.protobuf.descriptor_pool").DescriptorPool()
    factory = pytest.importorskip("google.protobuf.message_factory")
    kind = pb.FieldDescriptorProto
    file = pb.FileDescriptorProto(name="et.proto", package="c", syntax="proto3")
    values = {
        "double": 3, "float": 5, "int32": 7, "int64": 9, "uint32": 11, "uint64": 13, "sint32": 15, "sint64": 17,
        "fixed32": 19, "fixed64": 21, "sfixed32": 23, "sfixed64": 25, "bool": 27, "string": 29, "bytes": 31,
    }  # fmt: skip

    def add(name, *fields):
        message = file.message_type.add(name=name)
        for number, field, type_, repeated, of in fields:
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            message.field.add(name=field, number=number, type=type_, label=label, type_name=of)
        return message

    text, whole, nested = kind.TYPE_STRING, kind.TYPE_UINT64, kind.TYPE_MESSAGE
    attribute = add("AttributeProto", (1, "name", text, False, None))
    attribute.oneof_decl.add(name="value")
    for name, number in values.items():
        type_ = getattr(kind, f"TYPE_{name.upper()}")
        attribute.field.add(name=f"{name}_val", number=number, type=type_, label=1, oneof_index=0)
    attr = nested, True, ".c.AttributeProto"
    add("GlobalMetadata", (1, "version", text, False, None), (2, "attr", *attr))
    numbers = [(1, "id"), (3, "type"), (6, "start_time_micros"), (7, "duration_micros")]
    add(
        "Node",
        *((number, name, whole, False, None) for number, name in numbers),
        (2, "name", text, False, None),
        (4, "ctrl_deps", whole, True, None),
        (5, "data_deps", whole, True, None),
        (10, "attr", *attr),
    )
    pool.Add(file)
    names = ("AttributeProto", "GlobalMetadata", "Node")
    return {name: factory.GetMessageClass(pool.FindMessageTypeByName(f"c.{name}")) for name in names}


def test_protobuf_writes_the_same_bytes(protobuf):
    """A metadata and a node with every kind of value that we write are the same bytes from protobuf."""
    attributes = [
        Attribute("a", ValueType.INT32, 0),
        Attribute("b", ValueType.INT64, 2**40),
        Attribute("c", ValueType.UINT64, 2**63),
        Attribute("d", ValueType.BOOL, value=False),
        Attribute("e", ValueType.STRING, "é"),
        Attribute("f", ValueType.INT32, -1),
    ]
    theirs = [
        {"name": "a", "int32_val": 0},
        {"name": "b", "int64_val": 2**40},
        {"name": "c", "uint64_val": 2**63},
        {"name": "d", "bool_val": False},
        {"name": "e", "string_val": "é"},
        {"name": "f", "int32_val": -1},
    ]
    node = protobuf["Node"](id=7, name="n", type=4, data_deps=[0, 300, 2], duration_micros=500, attr=theirs)
    assert encoded_node(7, "n", NodeType.COMP, [0, 300, 2], attributes, 500) == node.SerializeToString()
    metadata = protobuf["GlobalMetadata"](version="0.0.4", attr=theirs)
    assert encoded_metadata("0.0.4", attributes) == metadata.SerializeToString()


def test_what_protobuf_writes_is_read(protobuf):
    """Every kind of value, dependencies of both kinds, and the start time are read as they were put in."""
    values = {
        "double": -0.5, "float": 0.25, "int32": -2, "int64": -(2**40), "uint32": 2**32 - 1, "uint64": 2**64 - 1,
        "sint32": -3, "sint64": -(2**62), "fixed32": 2**31, "fixed64": 2**63, "sfixed32": -4, "sfixed64": -5,
        "bool": True, "string": "text",
    }  # fmt: skip
    attr = [{"name": name, f"{name}_val": value} for name, value in values.items()]
    attr.append({"name": "bytes", "bytes_val": b"\xff"})
    data = protobuf["Node"](id=1, ctrl_deps=[5], data_deps=[4, 3], start_time_micros=9, attr=attr).SerializeToString()
    found = decoded_node(memoryview(data), 0, frozenset(values))
    assert found.attributes == values
    assert (found.id, list(found.waits_for), found.start_us) == (1, [4, 3, 5], 9)


@pytest.mark.parametrize("name", SHIPPED)
def test_protobuf_reads_what_is_exported(protobuf, name):
    """Of every shipped trace each message is read by protobuf, and is the same bytes when it writes it again."""
    trace = load_trace(name, folder=traces_dir()).spec
    data, at, read = first(trace), 0, []
    while at < len(data):
        size, shift = 0, 0
        while True:
            byte = data[at]
            size |= (byte & 127) << shift
            at, shift = at + 1, shift + 7
            if byte < 128:
                break
        part = data[at : at + size]
        at += size
        read.append(protobuf["Node" if read else "GlobalMetadata"].FromString(part))
        assert read[-1].SerializeToString() == part
    assert [node.name for node in read[1:]] == [operation.id for operation in trace.operations]
