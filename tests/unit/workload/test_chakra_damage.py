"""Damaged files of Chakra's: one clear message each, whatever the bytes are, and little memory."""

import contextlib
import gzip
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t3sim.errors import InputError
from t3sim.workload import packed
from t3sim.workload.chakra import files, import_chakra, waiting

RS = 7


@pytest.fixture
def refused(tmp_path):
    """Give a function that refuses a file of these bytes: its message, after the file's name."""

    def run(data, tp=4):
        path = run.path
        path.write_bytes(data)
        with pytest.raises(InputError) as error:
            import_chakra(path, tp=tp)
        (problem,) = error.value.problems
        text = str(problem)
        assert text.startswith(f"{path}: ")
        return text.removeprefix(f"{path}: ")

    run.path = tmp_path / "bad.0.et"
    return run


def good(et):
    return et.metadata() + et.gemm(1, "g") + et.collective(2, "c", RS, 64, data=[1])


def test_files_that_are_no_traces(et, refused):
    """An empty file, one of text, and one that starts with a node."""
    assert refused(b"") == "is empty"
    text = refused(b"format: t3sim-trace\nversion: 1\n" + b"x" * 200)
    assert text.startswith("byte 1: the file does not begin with Chakra's metadata: field 13 has wire type 7")
    text = refused(et.gemm(1))
    assert "does not begin with Chakra's metadata: version is a varint where text belongs" in text
    assert "no operation that could be mapped" in refused(et.metadata())


def test_a_version_that_is_not_known(et, refused):
    """It is named with those that are."""
    message = refused(et.metadata("0.0.1"))
    assert message.startswith("version: a version of Chakra's schema that is not known, got '0.0.1' ")
    assert message.endswith("known: 0.0.4, 1.0.0)")


def test_every_version_that_is_known(et, tmp_path):
    """Files of each known version are read."""
    for version in ("0.0.4", "1.0.0"):
        (tmp_path / "x.et").write_bytes(et.metadata(version) + et.collective(0, "c", RS, 64))
        assert import_chakra(tmp_path / "x.et", tp=2).trace.tp == 2


def test_a_file_that_was_cut(et, refused):
    """Cut anywhere inside a message, it is refused with the byte at which that message begins."""
    data = good(et)
    first = len(et.metadata())
    second = first + len(et.gemm(1, "g"))
    for size in (*range(1, first), *range(first + 1, second), *range(second + 1, len(data))):
        start = max(place for place in (0, first, second) if place < size)
        message = refused(data[:size])
        assert message.startswith((f"byte {start + 1}: the file ends ", f"byte {start + 2}: the file ends "))


def test_lengths_that_cannot_be(et, refused):
    """A message of gigabytes, and a length that is no number of 32 bits."""
    start = len(et.metadata())
    message = refused(et.metadata() + bytes.fromhex("ff ff ff ff 0f"))
    assert message == f"byte {start + 5}: a message of 4294967295 bytes, where none has more than 33554432"
    assert refused(et.metadata() + b"\xff" * 5) == f"byte {start}: the length of a message has more than 32 bits"
    assert "the file ends inside the length" in refused(et.metadata() + b"\xff")


def test_values_of_a_wrong_kind(et, refused):
    """Text where a number belongs, and bytes of another wire type, with the node, its byte and the value."""
    node = et.node(3, "c", et.COLL, ("comm_type", et.INT64, RS), ("comm_size", et.STRING, "big"))
    message = refused(et.metadata() + node)
    assert message.startswith("node 3 ('c', byte 9): comm_size: must be a whole number, of any of Chakra's kinds, ")
    assert message.endswith("and is text, got 'big'")
    name = et.message(et.number(1, 3), et.number(2, 5))
    assert "name is a varint where text belongs" in refused(et.metadata() + name)
    latin = et.message(et.block(2, b"\xe4"))
    assert "name is not UTF-8" in refused(et.metadata() + latin)
    deps = et.message(et.number(1, 3), bytes.fromhex("2d 00 00 00 00"))
    assert "dependencies are four bytes where whole numbers belong" in refused(et.metadata() + deps)
    word = et.message(et.block(10, et.block(1, "M") + bytes.fromhex("4d 00 00 00 00")))
    assert "the value of an attribute is four bytes instead of a varint" in refused(et.metadata() + word)


def test_shapes_that_cannot_be(et, refused):
    """A GEMM without rows is refused with its node."""
    message = refused(et.metadata() + et.gemm(4, "g", shape=(0, 5, 5)))
    assert message.startswith("node 4 ('g', byte 9): M: ")
    assert message.endswith("greater than 0, got 0")


def test_graphs_that_cannot_be(et, refused):
    """Two nodes of one id, and circles: of dependencies alone, and of them and the order in a stream."""
    assert refused(good(et) + et.gemm(1, "again")).endswith("has the id of another node")
    circle = et.gemm(1, "a", data=[2]) + et.cpu(2, "b", control=[1])
    assert refused(et.metadata() + circle).startswith("nodes wait for each other: node 1 ('a', byte ")
    stream = "stream", et.INT64, 7
    against = et.gemm(1, "a", stream, data=[2], start=10) + et.gemm(2, "b", stream, start=20)
    assert "start in another order than they wait" in refused(et.metadata() + against)


def test_gzip(et, tmp_path, refused):
    """A packed file is read as it is, whatever it is called; a damaged one is refused."""
    packed_data = gzip.compress(good(et))
    (tmp_path / "x.0.et").write_bytes(packed_data)
    assert len(import_chakra(tmp_path / "x.0.et", tp=4).trace.operations) == 2
    assert "cannot be unpacked after byte" in refused(packed_data[:-12])
    assert "cannot be unpacked after byte" in refused(packed_data[:15] + b"\xff\xff" + packed_data[17:])


@pytest.mark.parametrize("unit", [b"\x00", bytes.fromhex("80 80 80 10") + bytes(2**25)], ids=["empty", "large"])
def test_a_bomb(et, refused, unit):
    """What is packed small and unpacks to hundreds of megabytes is refused before it fills the memory."""
    data = gzip.compress(et.metadata() + unit * (2**26 // len(unit) + 1), 1)
    assert len(data) < 2**20
    tracemalloc.start()
    try:
        message = refused(data)
        assert tracemalloc.get_traced_memory()[1] < 2**27
    finally:
        tracemalloc.stop()
    assert "has the id of another node" in message or "wire type" in message


def test_graphs_that_are_too_large(et, refused, monkeypatch):
    """Nodes, their dependencies, and what is handed on through nodes that are no operations are bounded."""
    gemms = b"".join(et.gemm(number, f"g{number}") for number in range(1, 5))
    data = et.metadata() + gemms + et.cpu(5, "b", data=[1, 2, 3, 4]) + et.cpu(6, "c", data=[5, 1])
    for name, limit in (("MOST_NODES", 5), ("MOST_DEPENDENCIES", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(files, name, limit)
            assert "dependencies: cut it to one step" in refused(data)
            patch.setattr(files, name, 6)
            assert len(import_chakra(refused.path, tp=4).trace.operations) == 4
    with monkeypatch.context() as patch:
        patch.setattr(waiting, "_MOST_HELD", 7)
        assert refused(data) == "nodes that are no operations hand on more than 7 dependencies"
        patch.setattr(waiting, "_MOST_HELD", 8)
        assert len(import_chakra(refused.path, tp=4).trace.operations) == 4


def test_no_more_is_unpacked_than_the_limit(tmp_path):
    """Reading stops with the byte that is too many."""
    path = tmp_path / "x"
    path.write_bytes(gzip.compress(bytes(1001)))
    with packed.unpacking(path, most=1001) as file:
        assert len(file.read(2000)) == 1001
    with packed.unpacking(path, most=1000) as file, pytest.raises(InputError, match="more than 1000 bytes, unpacked"):
        file.read(2000)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_is_a_trace_or_a_message(et, tmp_path, data):
    """Bytes changed, put in and taken out anywhere: a trace comes out, or an error in our words."""
    changed = bytearray(good(et))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    path = tmp_path / "any.0.et"
    path.write_bytes(bytes(changed))
    with contextlib.suppress(InputError):
        assert import_chakra(path, tp=4).trace.operations
