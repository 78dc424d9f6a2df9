"""Plans of software that stores or copies straight into other GPUs' memory."""

from dataclasses import replace
from itertools import chain

from t3sim.collectives.apart import with_sums_apart
from t3sim.collectives.plan import Operation
from t3sim.collectives.planning import NetworkFacts, make_plan
from t3sim.lowering.chunks import Chunks
from t3sim.lowering.work import CollectiveWork, Work

_HALVES = (Operation.REDUCE_SCATTER, Operation.ALL_GATHER)


def direct(work: Work, facts: NetworkFacts) -> Work:
    """Send each part straight to where it belongs, if every GPU has links to all others and that cuts it alike."""
    if not facts.direct or not isinstance(work, CollectiveWork) or work.plan.operation not in _HALVES:
        return work
    plan = make_plan(work.plan.operation, "direct", facts)
    return replace(work, plan=plan) if plan.parts == work.plan.parts else work


def by_engines(work: CollectiveWork, facts: NetworkFacts) -> CollectiveWork:
    """Give the plan by which copy engines move what CUs sum: straight to where it belongs, or the work's own."""
    if not facts.direct or work.plan.operation not in _HALVES:
        return replace(work, plan=with_sums_apart(work.plan))
    plan, pieces = make_plan(work.plan.operation, "direct", facts), work.chunks.piece_bytes
    # Parts of one home lie side by side, and are one here.
    subs = len(pieces) // plan.parts
    homes = [pieces[first : first + subs] for first in range(0, len(pieces), subs)]
    chunks = Chunks(piece_bytes=tuple(tuple(chain.from_iterable(home)) for home in homes))
    return replace(work, plan=plan, chunks=chunks if subs > 1 else work.chunks)
