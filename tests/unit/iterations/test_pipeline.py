"""Pipeline stages: orders, bubbles in closed form, and stages that are not equal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t3sim.iterations.pipeline import Piece, StageTimes, run_pipeline, stage_order


def equal(stages, groups=1, forward=10, backward=20):
    return [StageTimes(forward=(forward,) * groups, backward=(backward,) * groups)] * stages


@pytest.mark.parametrize(
    ("stages", "micro_batches", "groups"), [(1, 4, 1), (4, 8, 1), (4, 8, 2), (4, 4, 3), (8, 64, 12)]
)
def test_the_bubble_of_equal_stages_is_the_published_one(stages, micro_batches, groups):
    """(p - 1) / (m v) of the ideal time (arXiv 2104.04473, section 2.2)."""
    run = run_pipeline(equal(stages, groups), micro_batches)
    ideal = micro_batches * groups * 30
    assert run.total_fs - ideal == (stages - 1) * 30
    assert run.busy_fs == (ideal,) * stages


def test_one_forward_one_backward():
    """The first of three stages is two micro-batches ahead, the last one none."""
    order = [(piece.backward, piece.micro_batch) for piece in stage_order(0, 3, 4, 1)]
    back = [(True, number) for number in range(4)]
    assert order == [(False, 0), (False, 1), (False, 2), back[0], (False, 3), *back[1:]]
    last = [(piece.backward, piece.micro_batch) for piece in stage_order(2, 3, 4, 1)]
    assert last == [(False, 0), back[0], (False, 1), back[1], (False, 2), back[2], (False, 3), back[3]]


def test_interleaved_groups_take_turns():
    """Two stages of two groups: two micro-batches through the first, then through the second; back the other way."""
    order = stage_order(1, 2, 4, 2)
    forward = [(piece.micro_batch, piece.group) for piece in order if not piece.backward]
    backward = [(piece.micro_batch, piece.group) for piece in order if piece.backward]
    assert forward == [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (3, 0), (2, 1), (3, 1)]
    assert backward == [(0, 1), (1, 1), (0, 0), (1, 0), (2, 1), (3, 1), (2, 0), (3, 0)]
    # (groups - 1) x stages are ahead on the last stage, and two more on each before it.
    assert order[:3] == [Piece(False, 0, 0), Piece(False, 1, 0), Piece(False, 0, 1)]
    assert [piece.backward for piece in stage_order(0, 2, 4, 2)][:5] == [False] * 5


def test_the_slowest_stage_sets_the_pace():
    """Its micro-batches follow each other; the first has come through one stage, the last goes back through it."""
    stages = [*equal(1), *equal(1, forward=50, backward=70), *equal(1)]
    run = run_pipeline(stages, 6)
    assert run.busy_fs == (180, 720, 180)
    assert run.total_fs >= 10 + 720 + 20
    assert run.total_fs == run.ended_fs[0]


def test_the_way_between_stages_counts_once_a_hop():
    """One micro-batch through three stages and back: four hops."""
    assert run_pipeline(equal(3), 1, send_fs=7).total_fs == 3 * 30 + 4 * 7


@given(stages=st.integers(1, 5), turns=st.integers(1, 4), groups=st.integers(1, 3), data=st.data())
def test_every_piece_runs_once_and_nothing_is_faster_than_its_stage(stages, turns, groups, data):
    """Any times: all micro-batches go forward and back through all groups; the busiest stage is a bound."""
    groups = groups if stages > 1 else 1
    micro_batches = turns * stages
    times = st.tuples(*[st.integers(1, 99)] * groups)
    each = [StageTimes(forward=data.draw(times), backward=data.draw(times)) for _ in range(stages)]
    run = run_pipeline(each, micro_batches, data.draw(st.integers(0, 20)))
    assert run.total_fs >= max(run.busy_fs)
    assert run.total_fs <= sum(run.busy_fs) + 20 * 2 * micro_batches * stages * groups
    for stage in range(stages):
        assert len(set(stage_order(stage, stages, micro_batches, groups))) == 2 * micro_batches * groups


def test_stages_that_wait_for_their_sends_begin_later():
    """Two stages, two micro-batches, a way of 7: the first sends both before its way back begins, one by one.

    First stage: forward 0-10, sending to 17, forward to 27, sending to 34. Second: forward 17-27, back to 47, sending
    to 54, forward to 64, back to 84, sending to 91. First again: back 54-74 and 91-111.
    """
    assert run_pipeline(equal(2), 2, send_fs=7, sends_block=True).ended_fs == (111, 91)
    # Without waiting the second stage ends its last piece at 77, and the first takes it from 84 to 104.
    assert run_pipeline(equal(2), 2, send_fs=7).ended_fs == (104, 77)
