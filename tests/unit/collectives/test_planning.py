"""Plans by name: what is looked up, proven and kept."""

from dataclasses import replace

import pytest

from t3sim.collectives import planning
from t3sim.collectives.algorithms.ring import Ring
from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, algorithms_for, default_algorithm, make_plan
from t3sim.errors import InputError, PlanError
from t3sim.registry import UnknownNameError

FACTS = NetworkFacts(ranks=4, shape=(4,))


def test_a_plan_is_made_once():
    """Asked again for the same plan, the same object is the answer."""
    plan = make_plan(Operation.REDUCE_SCATTER, "ring", FACTS)
    assert make_plan(Operation.REDUCE_SCATTER, "ring", NetworkFacts(ranks=4, shape=(4,))) is plan


def test_unknown_and_unfit_algorithms_are_named():
    """A name that nobody registered and an operation that an algorithm does not do are told with what is known."""
    with pytest.raises(UnknownNameError, match=r"unknown algorithm 'rign' .*did you mean ring"):
        make_plan(Operation.REDUCE_SCATTER, "rign", FACTS)
    with pytest.raises(PlanError, match=r"ring has no all_to_all \(known: direct, two-level\)"):
        make_plan(Operation.ALL_TO_ALL, "ring", FACTS)
    assert issubclass(PlanError, ValueError)
    assert PlanError.exit_code == InputError.exit_code


def test_a_plan_is_proven_before_it_is_given_out(monkeypatch):
    """An algorithm that forgets a move is found out."""
    whole = Ring().plan(Operation.REDUCE_SCATTER, FACTS)
    monkeypatch.setattr(Ring, "plan", lambda *_: replace(whole, moves=whole.moves[:-1]))
    with pytest.raises(PlanError, match="rank 0 never adds it to anything"):
        planning.make_plan.__wrapped__(Operation.REDUCE_SCATTER, "ring", FACTS)


@pytest.mark.parametrize(("ranks", "shape"), [(4, (2, 3)), (0, (0,)), (4, ()), (4, (-2, -2))])
def test_a_grid_has_to_hold_the_ranks(ranks, shape):
    """A shape whose product is not the number of ranks is refused."""
    with pytest.raises(PlanError, match=f"does not hold {ranks} ranks"):
        NetworkFacts(ranks=ranks, shape=shape)


def test_defaults_and_choices():
    """What goes to one rank each goes directly, the rest around the ring; every operation has algorithms to choose."""
    defaults = {operation: default_algorithm(operation) for operation in Operation}
    assert {op for op, name in defaults.items() if name == "direct"} == {Operation.ALL_TO_ALL, Operation.SEND}
    assert set(defaults.values()) == {"direct", "ring"}
    assert algorithms_for(Operation.BROADCAST) == ("direct", "ring")
