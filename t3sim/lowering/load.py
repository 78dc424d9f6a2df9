"""What a collective is to one GPU, as a library's cost table counts it."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from t3sim.collectives.plan import Kind, Plan, arrivals_of, tasks_of
from t3sim.units import ceil_div


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Steps and bytes of a collective."""

    ranks: int
    buffer_bytes: int
    """Of the whole buffer."""
    steps: int
    """Moves between ranks that follow one another."""
    moved_bytes: int
    """Bytes that the GPU sends, or receives if that is more, over the links that it needs for longest."""
    bytes_per_s: int
    """Rate of those."""


def load_of(plans: Sequence[Plan], nbytes: int, rank: int, rate_to: Callable[[int], int]) -> Load:
    """Count what ``rank`` does in ``plans``, one after the other, over a buffer of ``nbytes``.

    ``rate_to``: bytes per second to another rank.
    """
    ways: list[dict[int, int]] = [defaultdict(int), defaultdict(int)]
    sent, received = ways
    for plan in plans:
        part_bytes = ceil_div(nbytes, plan.parts)
        for task in tasks_of(plan, rank):
            if task.move is not None and task.kind is not Kind.LOCAL:
                sent[rate_to(task.destinations[0])] += part_bytes
        for arrival in arrivals_of(plan, rank):
            received[rate_to(arrival.source)] += part_bytes
    moved = (item for way in ways for item in way.items())
    rate, most = max(moved, key=lambda item: item[1] / item[0], default=(1, 0))
    return Load(
        ranks=plans[0].ranks,
        buffer_bytes=nbytes,
        steps=sum(_steps(plan) for plan in plans),
        moved_bytes=most,
        bytes_per_s=rate,
    )


def _steps(plan: Plan) -> int:
    """Count the moves between ranks that follow one another."""
    return len({move.step for move in plan.moves if move.kind is not Kind.LOCAL})
