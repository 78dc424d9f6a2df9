"""What every arbitration policy must keep; a new policy is tested here without editing this file."""

from itertools import product

import pytest

from t3sim.errors import SimulationError
from t3sim.hardware.memory.access import Stream
from t3sim.hardware.memory.arbitration import HOLD, KIND, ArbitrationPolicy, QueueView, decision_table
from t3sim.registry import get, names

ENTRIES = 12
INTENSITIES = (None, 0.0, 0.3, 0.6, 1.0)


@pytest.fixture(params=list(product(names(KIND), INTENSITIES)), ids=lambda param: f"{param[0]} tuned {param[1]}")
def policy(request):
    """Give each registered policy, as configured by default and as tuned to light and heavy kernels."""
    name, intensity = request.param
    made = get(KIND, name)()
    return made if intensity is None else made.tuned(intensity)


@pytest.fixture(scope="module", params=[None, 0.0, 1.0], ids=lambda value: f"tuned {value}")
def shipped(request, tiny_system):
    """Give the policies that the shipped system configures."""
    configured = tiny_system().arbitration.values()
    return [policy if request.param is None else policy.tuned(request.param) for policy in configured]


def views(policy, entries=ENTRIES):
    """Every view in which at least one stream waits."""
    limit = policy.passed_over_limit()
    for compute, communication in ((True, True), (True, False), (False, True)):
        for occupancy, last, passed in product(range(entries), Stream, range(limit + 1)):
            yield QueueView(compute, communication, occupancy, last, passed)


def check_picks(policy):
    """Check that a policy picks what waits, and always picks into an empty queue."""
    for view in views(policy):
        choice = policy.pick(view)
        assert choice is None or view.waiting(choice), view
        assert choice is not None or view.occupancy > 0, view


def test_pick_returns_a_waiting_stream(policy):
    """A policy picks a stream that waits or holds both, and never holds into an empty queue."""
    check_picks(policy)


def test_shipped_policies_pick_waiting_streams(shipped):
    """The same holds for the policies as the shipped system configures them."""
    for configured in shipped:
        check_picks(configured)


def test_pick_is_a_pure_function(policy):
    """Asked twice about the same view, in any order, a policy and its copy answer alike."""
    asked = list(views(policy))
    first = [policy.pick(view) for view in asked]
    again = [policy.model_copy().pick(view) for view in reversed(asked)]
    assert first == again[::-1]


def test_tuning_is_a_pure_function(policy):
    """Tuning gives equal policies for equal intensities and leaves the policy itself as it was."""
    before = policy.model_copy()
    assert policy.tuned(0.4) == policy.tuned(0.4)
    assert policy == before


@pytest.mark.parametrize("entries", [1, ENTRIES])
def test_table_equals_pick(policy, entries):
    """The tabulated decisions are those of ``pick``, and the table cannot be written to."""
    table = decision_table(policy, entries)
    assert table.shape == (2, 2, entries, 2, policy.passed_over_limit() + 1)
    for view in views(policy, entries):
        tabulated = table[
            int(view.compute_waiting), int(view.communication_waiting), view.occupancy, view.last, view.passed_over
        ]
        choice = policy.pick(view)
        assert tabulated == (HOLD if choice is None else choice), view
    assert not table.flags.writeable


class _Stubborn(ArbitrationPolicy):
    """Gives the same answer in every view."""

    answer: Stream | None

    def pick(self, view):
        del view
        return self.answer


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Stream.COMMUNICATION, r"picks .*COMMUNICATION.*nothing waiting.*communication_waiting=False, occupancy=0"),
        (Stream.COMPUTE, r"picks .*COMPUTE.*nothing waiting.*compute_waiting=False"),
        (None, r"holds both streams while the DRAM queue is empty.*occupancy=0"),
    ],
)
def test_a_policy_that_would_hang_is_refused(answer, complaint):
    """One that picks what does not wait, or nothing into an empty queue, is refused by name and view."""
    with pytest.raises(SimulationError, match=rf"_Stubborn\(.*{complaint}"):
        decision_table(_Stubborn(answer=answer), ENTRIES)


def test_holding_both_is_no_error_while_something_is_queued():
    """A policy may hold both streams as long as the queue holds something whose service brings the next choice."""
    decision_table(_HoldsWhileBusy(), ENTRIES)


class _HoldsWhileBusy(ArbitrationPolicy):
    """One request at a time."""

    def pick(self, view):
        if view.occupancy:
            return None
        return Stream.COMPUTE if view.compute_waiting else Stream.COMMUNICATION


def test_communication_starves_no_longer_than_declared(policy):
    """Where a policy bounds the wait, communication goes first after that many compute requests at the latest."""
    bound = policy.passed_over_limit()
    if not bound:
        pytest.skip("the policy declares no bound on how long communication waits")
    for occupancy in range(ENTRIES):
        last, passed, admitted = Stream.COMPUTE, 0, 0
        while policy.pick(QueueView(True, True, occupancy, last, passed)) is not Stream.COMMUNICATION:
            admitted += 1
            passed = min(passed + 1, bound)
            assert admitted <= bound, f"communication waits for more than {bound} compute requests"


def test_policy_is_registered_under_its_own_name():
    """The name a policy is registered by is the one its own ``policy`` field carries, so YAML finds it."""
    for name in names(KIND):
        assert get(KIND, name)().policy == name
