"""Ranks on a grid that wraps around, against numpy's own coordinates."""

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from t3sim.collectives.grid import generators, rotated, turn

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
on_grid = shapes.flatmap(
    lambda shape: st.tuples(st.just(shape), st.integers(0, prod(shape) - 1), st.integers(0, prod(shape) - 1))
)


@given(on_grid)
def test_ranks_move_on_coordinate_by_coordinate(case):
    """A rank moved on has the sums of both ranks' coordinates, each wrapped around, as numpy numbers them."""
    shape, rank, by = case
    both = np.add(np.unravel_index(rank, shape), np.unravel_index(by, shape)) % shape
    assert rotated(rank, by, shape) == np.ravel_multi_index(tuple(both), shape)


@given(on_grid)
def test_a_turn_is_found_again(case):
    """From where a rank was to where it is, ``turn`` says by how much it was moved on."""
    shape, rank, by = case
    assert turn(rank, rotated(rank, by, shape), shape) == by


@given(shapes)
def test_generators_lead_everywhere(shape):
    """From rank 0, one step at a time along any axis, every rank is reached; each step is along one axis."""
    reached = {0}
    for _ in range(prod(shape)):
        reached |= {rotated(rank, step, shape) for rank in reached for step in generators(shape)}
    assert reached == set(range(prod(shape)))
    assert all(sorted(np.unravel_index(step, shape))[-2:] in ([0, 1], [1]) for step in generators(shape))
