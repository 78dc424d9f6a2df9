"""Quantities: what is read exactly, what is refused and how, and which way times are rounded."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim import units

SIZES = "B, kB, MB, GB, TB, KiB, MiB, GiB, TiB"
RATES = "B/s, kB/s, MB/s, GB/s, TB/s, KiB/s, MiB/s, GiB/s, TiB/s, kbit/s, Mbit/s, Gbit/s, Tbit/s"


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (units.SIZE.parse, "0 B", 0),
        (units.SIZE.parse, "64 B", 64),
        (units.SIZE.parse, "16 MiB", 16_777_216),
        (units.SIZE.parse, "2 GB", 2_000_000_000),
        (units.SIZE.parse, "1.5kB", 1500),
        (units.SIZE.parse, "0.5 KiB", 512),
        (units.SIZE.parse, "  1e3 B ", 1000),
        (units.DURATION.parse, "0 ns", 0),
        (units.DURATION.parse, "500 ns", 500_000_000),
        (units.DURATION.parse, "1.5 us", 1_500_000_000),
        (units.DURATION.parse, "1.5 µs", 1_500_000_000),
        (units.DURATION.parse, "0.714 ps", 714),
        (units.DURATION.parse, "1 s", 10**15),
        (units.RATE.parse, "75 GB/s", 75 * 10**9),
        (units.RATE.parse, "1 TB/s", 10**12),
        (units.RATE.parse, "900 GiB/s", 900 * 2**30),
        (units.RATE.parse, "400 Gbit/s", 50 * 10**9),
        (units.FREQUENCY.parse, "1.4 GHz", 1_400_000_000),
        (units.FREQUENCY.parse, "1 Hz", 1),
    ],
)
def test_quantities_are_read_exactly(parse, text, expected):
    """A number and a unit become a whole number of base units, without rounding."""
    value = parse(text)
    assert value == expected
    assert type(value) is int


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (units.SIZE.parse, "64", f"'64' has no unit; known: {SIZES}"),
        (units.RATE.parse, "75 GB", f"'75 GB' has an unknown unit; known for a rate: {RATES}"),
        (units.RATE.parse, "75 Gb/s", f"'75 Gb/s' has an unknown unit; known for a rate: {RATES}"),
        (
            units.DURATION.parse,
            "5 min",
            "'5 min' has an unknown unit; known for a duration: fs, ps, ns, us, µs, ms, s",
        ),
        (
            units.FREQUENCY.parse,
            "1.4 ghz",
            "'1.4 ghz' has an unknown unit; known for a frequency: Hz, kHz, MHz, GHz",
        ),
        (units.SIZE.parse, "", "'' is not a size; write a number and a unit, as in '16 MiB'"),
        (units.SIZE.parse, "many B", "'many B' is not a size; write a number and a unit, as in '16 MiB'"),
        (
            units.RATE.parse,
            "1 GB / s",
            "'1 GB / s' is not a rate; write a number and a unit, as in '75 GB/s'",
        ),
        (units.SIZE.parse, "1_000 B", "'1_000 B' is not a size; write a number and a unit, as in '16 MiB'"),
        (units.SIZE.parse, "1 EB", f"'1 EB' has an unknown unit; known for a size: {SIZES}"),
        (units.SIZE.parse, "-1 B", "'-1 B' is negative"),
        (units.SIZE.parse, "1.5 B", "'1.5 B' is not a whole number of bytes"),
        (units.DURATION.parse, "0.1 fs", "'0.1 fs' is not a whole number of fs"),
        (units.SIZE.parse, "1e9 TiB", "'1e9 TiB' is more than 9223372036854775807 bytes"),
        (
            units.SIZE.parse,
            "1e999999999 B",
            "'1e999999999 B' is not a size; write a number and a unit, as in '16 MiB'",
        ),
    ],
)
def test_wrong_quantities_say_what_would_be_right(parse, text, message):
    """A quantity that cannot be meant is refused with its text and what is known instead."""
    with pytest.raises(ValueError, match="'") as refused:
        parse(text)
    assert str(refused.value) == message


@given(text=st.text(max_size=30) | st.from_regex(r"[-+0-9.eE]{0,12} ?[kMGTi]?[Bbs/]{0,3}"))
def test_any_text_is_a_quantity_or_a_value_error(text):
    """No text makes a parser fail in another way, or gives a negative or huge number."""
    for dimension in (units.SIZE, units.DURATION, units.RATE, units.FREQUENCY):
        try:
            value = dimension.parse(text)
        except ValueError:
            continue
        assert 0 <= value < 2**63


@given(nbytes=st.integers(0, 2**50), rate=st.integers(1, 2**50))
def test_transfers_are_never_faster_than_the_rate(nbytes, rate):
    """The time is the smallest whole one in which the rate allows that many bytes."""
    time = units.transfer_fs(nbytes, rate)
    exact = Fraction(nbytes, rate) * 10**15
    assert exact <= time < exact + 1


def test_division_rounds_up():
    """Any remainder counts as a whole."""
    assert [units.ceil_div(n, 4) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
