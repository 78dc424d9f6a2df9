"""What every collective algorithm must keep; a new one is tested here without editing this file."""

from itertools import product

import pytest

import t3sim.collectives  # noqa: F401 - registers the algorithms
from t3sim.collectives.steps import KIND, ChunkMapping
from t3sim.registry import get, names

RINGS = range(2, 10)


@pytest.fixture(params=list(product(names(KIND), RINGS)), ids=lambda param: f"{param[0]} of {param[1]}")
def case(request):
    """Give each registered algorithm with ring sizes 2 to 9: (algorithm, ring size)."""
    name, count = request.param
    return get(KIND, name)(), count


def test_steps_name_positions_of_the_ring_once(case):
    """Every step is about a position of the ring, and no position is handled twice."""
    algorithm, count = case
    positions = [step.position for step in algorithm.steps(count)]
    assert set(positions) <= set(range(count))
    assert len(set(positions)) == len(positions)


def test_what_is_sent_is_waited_for(case):
    """A chunk sent at position p is waited for at the successor's p + 1, and nothing else is waited for."""
    algorithm, count = case
    steps = algorithm.steps(count)
    arriving = {(step.position + 1) % count for step in steps if step.sends}
    assert arriving == {step.position for step in steps if step.after_arrival}


def test_steps_can_be_executed(case):
    """What leaves was read, a chunk is sent or written but not both, and two copies are read only to reduce."""
    algorithm, count = case
    for step in algorithm.steps(count):
        assert step.reads in (0, 1, 2)
        assert step.reads or not (step.sends or step.writes)
        assert not (step.sends and step.writes)
        assert step.reads < 2 or step.after_arrival


def test_no_gpu_waits_for_ever(case):
    """Equal GPUs that run their steps in order all come to the end."""
    algorithm, count = case
    steps = algorithm.steps(count)
    next_step, arrived = [0] * count, [set() for _ in range(count)]
    progress = True
    while progress:
        progress = False
        for gpu in range(count):
            while next_step[gpu] < len(steps):
                step = steps[next_step[gpu]]
                if step.after_arrival and step.position not in arrived[gpu]:
                    break
                if step.sends:
                    arrived[(gpu + 1) % count].add((step.position + 1) % count)
                next_step[gpu] += 1
                progress = True
    assert next_step == [len(steps)] * count


def test_bandwidth_is_not_wasted(case):
    """No GPU sends more than N - 1 of the N chunks: what a ring needs for either half of an all-reduce."""
    algorithm, count = case
    assert sum(step.sends for step in algorithm.steps(count)) <= count - 1


def test_steps_are_the_same_each_time(case):
    """Asked twice, an algorithm gives the same steps."""
    algorithm, count = case
    assert algorithm.steps(count) == type(algorithm)().steps(count)


def test_mappings_send_and_keep(case):
    """A fused form maps every position, keeps exactly the last chunk, and forwards only what is stored locally."""
    algorithm, count = case
    if not hasattr(algorithm, "mappings"):
        pytest.skip("the algorithm has no form that is fused with a GEMM")
    mappings = algorithm.mappings(count)
    assert len(mappings) == count
    assert [position for position, kind in enumerate(mappings) if kind is ChunkMapping.KEEP] == [count - 1]
    assert mappings[0] is not ChunkMapping.FORWARD, "nothing arrives for the first chunk: no update would trigger it"
