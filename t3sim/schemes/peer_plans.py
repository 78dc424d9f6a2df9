"""Plans of software that stores or copies straight into other GPUs' memory."""

from dataclasses import replace

from t3sim.collectives.apart import with_sums_apart
from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.lowering.work import CollectiveWork, Work

_HALVES = (Operation.REDUCE_SCATTER, Operation.ALL_GATHER)


def direct(work: Work, facts: NetworkFacts) -> Work:
    """Send each part straight to where it belongs, if every GPU has links to all others and that cuts it alike."""
    if not facts.direct or not isinstance(work, CollectiveWork) or work.plan.operation not in _HALVES:
        return work
    plan = make_plan(work.plan.operation, "direct", facts)
    return replace(work, plan=plan) if plan.parts == work.plan.parts else work


def by_engines(work: CollectiveWork, facts: NetworkFacts) -> CollectiveWork:
    """Give the plan by which copy engines move what CUs sum."""
    moved = direct(work, facts)
    assert isinstance(moved, CollectiveWork)
    return replace(moved, plan=with_sums_apart(moved.plan))
