"""Chakra's messages put together by hand, byte by byte, from protobuf's rules alone."""

from types import SimpleNamespace

import pytest

# Field numbers of the kinds of values in AttributeProto.
INT32, INT64, UINT64, SINT64, BOOL, STRING = 7, 9, 13, 17, 27, 29
COMP, SEND, RECV, COLL = 4, 5, 6, 7


def varint(value):
    groups = [value >> shift & 127 for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(group | 128 for group in groups[:-1]), groups[-1]])


def number(field, value):
    return varint(field * 8) + varint(value)


def block(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field * 8 + 2) + varint(len(data)) + data


def attribute(name, kind, value):
    return block(1, name) + (block if kind == STRING else number)(kind, value)


def message(*parts):
    data = b"".join(parts)
    return varint(len(data)) + data


def metadata(version="0.0.4", **texts):
    return message(block(1, version), *(block(2, attribute(name, STRING, text)) for name, text in texts.items()))


def node(identity, name, kind, *attributes, data=(), control=(), start=0, parts=()):
    """Put a node together; ``attributes``: (name, kind of value, value)."""
    return message(
        number(1, identity) if identity else b"",
        block(2, name),
        number(3, kind),
        block(4, b"".join(map(varint, control))) if control else b"",
        block(5, b"".join(map(varint, data))) if data else b"",
        number(6, start) if start else b"",
        *parts,
        *(block(10, attribute(*entry)) for entry in attributes),
    )


def gemm(identity, name="mm", *more, shape=(256, 128, 64), dtype="fp16", **kwargs):
    sizes = [(key, INT64, value) for key, value in zip("MNK", shape, strict=True)]
    return node(identity, name, COMP, ("is_cpu_op", BOOL, 0), *sizes, ("dtype", STRING, dtype), *more, **kwargs)


def collective(identity, name, kind, size, *more, **kwargs):
    return node(
        identity,
        name,
        COLL,
        ("is_cpu_op", BOOL, 0),
        ("comm_type", INT64, kind),
        ("comm_size", INT64, size),
        *more,
        **kwargs,
    )


def cpu(identity, name, **kwargs):
    return node(identity, name, COMP, ("is_cpu_op", INT32, 1), **kwargs)


@pytest.fixture(scope="session")
def et():
    """Give what puts Chakra's messages together."""
    return SimpleNamespace(**{name: value for name, value in globals().items() if callable(value) or name.isupper()})
