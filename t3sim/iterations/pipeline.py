"""Pipeline stages: when each is done, as micro-batches go forward and back through all of them.

One forward, one backward (1F1B), and with groups of layers interleaved (Megatron-LM, arXiv 2104.04473, section 2.2). A
stage works through its list in order; each piece waits for the same micro-batch in the group of layers before it, and
for its way from there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Piece(NamedTuple):
    """One micro-batch in one group of layers."""

    backward: bool
    micro_batch: int
    group: int
    """Of the stage's groups, from 0."""


@dataclass(frozen=True, kw_only=True)
class StageTimes:
    """What a micro-batch takes in each group of layers of one stage, fs."""

    forward: tuple[int, ...]
    backward: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class PipelineRun:
    """What an iteration takes."""

    total_fs: int
    """From the first forward piece's beginning to the last backward piece's end."""
    ended_fs: tuple[int, ...]
    """When each stage is done."""
    busy_fs: tuple[int, ...]
    """Time in which each stage computes."""


def run_pipeline(
    stages: Sequence[StageTimes], micro_batches: int, send_fs: int = 0, *, sends_block: bool = False
) -> PipelineRun:
    """Run ``micro_batches`` through ``stages``; ``send_fs``: the way of a micro-batch from one stage to another.

    ``sends_block``: a stage begins its next piece when what it sends has arrived.
    """
    count, groups = len(stages), len(stages[0].forward)
    orders = [stage_order(stage, count, micro_batches, groups) for stage in range(count)]
    done: dict[tuple[int, Piece], int] = {}
    places, free = [0] * count, [0] * count
    left = sum(map(len, orders))
    while left:
        before = left
        for stage, order in enumerate(orders):
            while places[stage] < len(order):
                piece = order[places[stage]]
                ready = _ready(stage, piece, count, groups, done, send_fs)
                if ready is None:
                    break
                times = stages[stage].backward if piece.backward else stages[stage].forward
                free[stage] = max(free[stage], ready) + times[piece.group]
                done[stage, piece] = free[stage]
                if sends_block and _leaves(stage, piece, count, groups):
                    free[stage] += send_fs
                places[stage] += 1
                left -= 1
        assert left < before, "every order of pieces can be worked through"
    busy = [micro_batches * (sum(each.forward) + sum(each.backward)) for each in stages]
    return PipelineRun(total_fs=max(free), ended_fs=tuple(free), busy_fs=tuple(busy))


def stage_order(stage: int, stages: int, micro_batches: int, groups: int) -> list[Piece]:
    """List what a stage works through: forward pieces until the first comes back, then in turn, then what is left."""
    total = micro_batches * groups
    forward = [_piece(number, stages, groups, backward=False) for number in range(total)]
    backward = [_piece(number, stages, groups, backward=True) for number in range(total)]
    if groups == 1:
        ahead = min(stages - stage - 1, total)
    elif micro_batches == stages:
        ahead = total
    else:
        ahead = min(2 * (stages - stage - 1) + (groups - 1) * stages, total)
    order = forward[:ahead]
    for number in range(total - ahead):
        order += [forward[ahead + number], backward[number]]
    return order + backward[total - ahead :]


def _piece(number: int, stages: int, groups: int, *, backward: bool) -> Piece:
    """Give the number-th piece of a direction: as many micro-batches as stages in a group, then the next group."""
    if groups == 1:
        return Piece(backward, number, 0)
    turn, place = divmod(number, stages * groups)
    group = place // stages
    return Piece(backward, turn * stages + place % stages, groups - 1 - group if backward else group)


def _leaves(stage: int, piece: Piece, stages: int, groups: int) -> bool:
    """Say whether another stage takes what a piece makes."""
    last, end = (0, 0) if piece.backward else (stages - 1, groups - 1)
    return stages > 1 and (stage, piece.group) != (last, end)


def _ready(
    stage: int, piece: Piece, stages: int, groups: int, done: dict[tuple[int, Piece], int], send_fs: int
) -> int | None:
    """Say when what a piece needs has arrived; ``None`` where it is not known yet."""
    if piece.backward and stage == stages - 1 and piece.group == groups - 1:
        return done.get((stage, piece._replace(backward=False)))
    step = 1 if piece.backward else -1
    source, group = stage + step, piece.group
    if source in (-1, stages):
        source, group = (stages - 1, group - 1) if source == -1 else (0, group + 1)
        if group < 0:
            return 0
    end = done.get((source, piece._replace(group=group)))
    return None if end is None else end + (send_fs if source != stage else 0)
