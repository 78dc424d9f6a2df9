"""Protobuf's wire format: bytes as its documentation has them, and where it stops making sense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim.workload.chakra.wire import (
    WireError,
    bytes_field,
    delimited,
    fields,
    number_field,
    read_varint,
    signed,
    unpacked,
    varint,
    zigzag,
)

VARINTS = {
    0: "00",
    1: "01",
    127: "7f",
    128: "80 01",
    150: "96 01",
    300: "ac 02",
    2**32: "80 80 80 80 10",
    2**64 - 1: "ff ff ff ff ff ff ff ff ff 01",
    -1: "ff ff ff ff ff ff ff ff ff 01",
}


@pytest.mark.parametrize("value", VARINTS)
def test_a_varint(value):
    """Seven bits a byte, lowest first, the top bit where more follow; below zero as 64 bits."""
    assert varint(value) == bytes.fromhex(VARINTS[value])


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_a_varint_is_read_as_it_was_written(value, after):
    """Reading gives the number and the place after it."""
    data = varint(value)
    assert read_varint(memoryview(data + after), 0, 0) == (value, len(data))


def test_fields_as_the_documentation_has_them():
    """Field 1 with 150, field 2 with text, and a message in a file with its length in front."""
    assert number_field(1, 150) == bytes.fromhex("08 96 01")
    assert bytes_field(2, "testing") == bytes.fromhex("12 07") + b"testing"
    assert number_field(27, value=False) == bytes.fromhex("d8 01 00")
    assert delimited(b"abc") == b"\x03abc"


def test_a_message_is_taken_apart():
    """Each field has its number, wire type, value and the byte at which that begins."""
    data = bytes.fromhex("08 96 01  12 02 68 69  1d 00 00 80 3f  21 01 00 00 00 00 00 00 00")
    found = [
        (number, kind, bytes(value) if kind else value, at) for number, kind, value, at in fields(memoryview(data), 100)
    ]
    assert found == [
        (1, 0, 150, 101),
        (2, 2, b"hi", 105),
        (3, 5, bytes.fromhex("00 00 80 3f"), 108),
        (4, 1, bytes.fromhex("01 00 00 00 00 00 00 00"), 113),
    ]
    assert unpacked("<f", memoryview(found[2][2])) == 1.0


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("0b", "field 1 has wire type 3", 100),
        ("0f", "field 1 has wire type 7", 100),
        ("02 00", "field 0 has wire type 2", 100),
        ("08", "a number goes on after the end", 101),
        ("08 01 10 96", "a number goes on after the end", 103),
        ("08 ff ff ff ff ff ff ff ff ff ff 01", "a number of more than 10 bytes", 101),
        ("12 05 68 69", "field 2 says that it has 5 bytes, where its message has 2 left", 101),
        ("12 ff ff ff ff ff ff ff ff ff 01", "says that it has 18446744073709551615 bytes", 101),
        ("0d 00 00", "says that it has 4 bytes, where its message has 2 left", 101),
    ],
)
def test_what_is_no_message(text, message, at):
    """The error says what is wrong and at which byte of the file."""
    with pytest.raises(WireError, match=message) as error:
        list(fields(memoryview(bytes.fromhex(text)), 100))
    assert error.value.at == at


def test_numbers_below_zero():
    """Two's complement for int32 and int64, the sign in the lowest bit for sint."""
    assert [signed(value, 32) for value in (0, 2**31 - 1, 2**31, 2**64 - 1)] == [0, 2**31 - 1, -(2**31), -1]
    assert [zigzag(value) for value in (0, 1, 2, 3, 2**64 - 1)] == [0, -1, 1, -2, -(2**63)]
