"""Sets of moments against sets of integers."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from t3sim.observe.intervals import Interval, difference, intersection, length_fs, union

INTERVALS = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


def moments_of(intervals):
    return {moment for start, end in intervals for moment in range(start, end)}


def is_normal(moments):
    """Sorted, none empty, and a gap between each and the next."""
    ends = [bound for interval in moments for bound in interval]
    return all(before < after for before, after in pairwise(ends))


@given(INTERVALS, INTERVALS)
def test_moments_are_sets(first, second):
    """Union, intersection and difference are those of sets of integers, and so is the length."""
    one, other = union(first), union(second)
    assert is_normal(one)
    assert moments_of(one) == moments_of(first)
    both, left = intersection(one, other), difference(one, other)
    assert is_normal(both)
    assert is_normal(left)
    assert moments_of(both) == moments_of(first) & moments_of(second)
    assert moments_of(left) == moments_of(first) - moments_of(second)
    assert length_fs(one) == len(moments_of(first)) == length_fs(both) + length_fs(left)


def test_intervals_that_touch_are_joined():
    """What ends when the next begins is one stretch."""
    assert union([(5, 9), (0, 5), (9, 9)]) == [Interval(0, 9)]
