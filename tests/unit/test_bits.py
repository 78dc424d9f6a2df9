"""Bits of integers, compiled and not."""

import numpy as np
import pytest

from t3sim import bits
from t3sim.compiled import compiled


def word(number):
    """Make a 64-bit integer with this bit as its lowest, and the one with the sign above it."""
    others = -(1 << 63) if number < 63 else 0
    return np.array([(1 << number) | others], np.uint64 if number == 63 else np.int64).astype(np.int64)[0]


@compiled
def lowest(value):
    return bits.lowest_bit(value)


@pytest.mark.parametrize("number", [0, 1, 31, 32, 62, 63])
def test_the_lowest_bit(number):
    """Compiled functions find it by an instruction, plain ones by arithmetic on integers of any size."""
    assert lowest(word(number)) == bits._lowest_bit(word(number)) == number
