"""Ranks on a grid that wraps around, against numpy's own coordinates."""

from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from t3sim.collectives.grid import add, generators, negated

shapes = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple)
on_grid = shapes.flatmap(
    lambda shape: st.tuples(st.just(shape), st.integers(0, prod(shape) - 1), st.integers(0, prod(shape) - 1))
)


@given(on_grid)
def test_ranks_add_coordinate_by_coordinate(case):
    """The sum of two ranks has the sums of their coordinates, each wrapped around."""
    shape, rank, by = case
    both = np.add(np.unravel_index(rank, shape), np.unravel_index(by, shape)) % shape
    assert add(rank, by, shape) == np.ravel_multi_index(tuple(both), shape)


@given(on_grid)
def test_the_negated_rank_leads_back(case):
    """A rank and its negation add up to rank 0."""
    shape, rank, _ = case
    assert add(rank, negated(rank, shape), shape) == 0


@given(shapes)
def test_generators_lead_everywhere(shape):
    """From rank 0, one step at a time along any axis, every rank is reached; each step is along one axis."""
    reached = {0}
    for _ in range(prod(shape)):
        reached |= {add(rank, step, shape) for rank in reached for step in generators(shape)}
    assert reached == set(range(prod(shape)))
    assert all(sorted(np.unravel_index(step, shape))[-2:] in ([0, 1], [1]) for step in generators(shape))
