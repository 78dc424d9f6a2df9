"""GEMM and collective at once, as software runs them, against measured times: each stack beside the scheme for it.

Two kernels that have nothing to do with each other run at once as ``stream-overlap`` or ``dma-overlap`` have them: all
others that overlap need a GEMM and a collective of its output.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from t3sim.collectives.planning import NetworkFacts
from t3sim.lowering.work import GemmWork, Work
from t3sim.processes import Progress, each
from t3sim.registry import get, names, register
from t3sim.results.comparison import SPEEDUP, Comparison
from t3sim.schemes.kernels import CollectivePhase, GemmPhase
from t3sim.schemes.peer_plans import by_engines
from t3sim.schemes.phases import Phase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Outcome, Scheme
from t3sim.schemes.streams import Kernel, StreamsPhase
from t3sim.simulation import Point, load_system
from t3sim.simulation.collective import run_collective
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.plans import facts_of
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND
from t3sim.validation.measured_overlap import (
    MeasuredOverlap,
    MeasuredOverlaps,
    OverlappedPair,
    Stack,
    completed,
    load_measured_overlaps,
)

TWO_STREAMS, BY_ENGINES = "stream-overlap", "dma-overlap"
"""Schemes that run what is independent at once."""


class Item(NamedTuple):
    """A pair, and each of its stacks that can be simulated."""

    pair: OverlappedPair
    stacks: dict[str, Stack]


@register(KIND, "overlap")
class MeasuredAgainstOverlap:
    """Pairs by system, and stacks on them; bands by whether numbers may be chosen by a pair."""

    against = "overlap"

    def __init__(self) -> None:
        """Read the table."""
        self._loaded = load_measured_overlaps()

    @property
    def notes(self) -> Sequence[str]:
        """Say which stacks are left out, of how many pairs, and why."""
        return list(left_out(self._loaded.spec))

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every pair under ``sequential``, and under the schemes of its stacks as far as there are any."""
        table = self._loaded.spec
        items = [Item(pair, usable_stacks(table, pair)) for pair in completed(self._loaded)]
        comparable = [item for item in items if item.stacks or item.pair.sequential_us is not None]
        found = each(compared, comparable, jobs=jobs, progress=progress, label=_label)
        return sorted((one for of_pair in found for one in of_pair), key=lambda one: one.group)


def _label(item: Item) -> str:
    return f"{item.pair.system} {item.pair.case}"


def usable_stacks(table: MeasuredOverlaps, pair: OverlappedPair) -> dict[str, Stack]:
    """Give each of a pair's stacks whose scheme is registered and can run such a pair."""
    stacks = {item.stack: table.stacks[item.stack] for item in pair.overlapped}
    return {name: stack for name, stack in stacks.items() if not _hindrance(pair, stack.scheme)}


def left_out(table: MeasuredOverlaps) -> Iterator[str]:
    """Say what of a table cannot be simulated."""
    pairs: dict[tuple[str, str, str], int] = {}
    for pair in table.pairs:
        for item in pair.overlapped:
            scheme = table.stacks[item.stack].scheme
            if hindrance := _hindrance(pair, scheme):
                place = (pair.system, item.stack, hindrance)
                pairs[place] = pairs.get(place, 0) + 1
    for (system, stack, hindrance), count in pairs.items():
        yield f"overlap: {count} of {stack} on {system} left out, since {hindrance}"


def _hindrance(pair: OverlappedPair, scheme: str) -> str:
    """Say why a scheme cannot stand for what ran; empty where it can."""
    if scheme not in names(SCHEME):
        return f"there is no scheme {scheme}"
    if pair.order == "independent" and scheme not in (TWO_STREAMS, BY_ENGINES):
        return f"{scheme} does not run what is independent at once"
    rival: Scheme = get(SCHEME, scheme)()
    misfit = rival.misfit(_facts(pair.system, pair.gpus))
    return misfit and f"{scheme} {misfit}"


@cache
def _facts(system: str, gpus: int) -> NetworkFacts:
    return facts_of(load_system(system).spec, gpus)


def compared(item: Item) -> list[Comparison]:
    """Simulate a pair one after the other, and at once under each scheme."""
    point = Point(system=load_system(item.pair.system), sublayer=item.pair.sublayer())
    point.check()
    sequential = run_collective(point)
    found = list(_one_after_the_other(item.pair, sequential))
    for overlapped in item.pair.overlapped:
        if (stack := item.stacks.get(overlapped.stack)) is not None:
            settings = [f"{key}={value}" for key, value in stack.settings.items()]
            own = replace(point, system=load_system(item.pair.system, settings)) if settings else point
            lab = SystemLab(own.system.spec, item.pair.gpus)
            outcome = _at_once(lab, own.works, item.pair, stack.scheme)
            found += _together(item.pair, overlapped, sequential.total_fs, outcome.total_fs)
    return found


def _at_once(lab: SystemLab, works: Sequence[Work], pair: OverlappedPair, scheme: str) -> Outcome:
    if pair.order != "independent":
        overlapping: Scheme = get(SCHEME, scheme)()
        return overlapping.simulate(lab, works)
    kernels = [_kernel(lab, work, copied=scheme == BY_ENGINES) for work in works]
    alone = next(kernel for kernel in kernels if isinstance(kernel, GemmPhase))
    return lab.run([StreamsPhase(tuple(map(Kernel, kernels)), gemm_alone=alone)], scheme)


def _kernel(lab: SystemLab, work: Work, *, copied: bool) -> Phase:
    """Give each of two kernels at once its CUs: what copy engines gather takes none."""
    if isinstance(work, GemmWork):
        return GemmPhase(work, None if copied else lab.sharing.gemm_cus)
    if copied:
        return CollectivePhase(by_engines(work, lab.facts), by_engines=True)
    return CollectivePhase(work, cus=lab.sharing.collective_cus)


def _one_after_the_other(pair: OverlappedPair, outcome: Outcome) -> Iterator[Comparison]:
    collective = outcome.total_fs - outcome.of("gemm")
    figures = (
        ("sequential_us", pair.sequential_us, outcome.total_fs),
        ("gemm_us", pair.gemm_us, outcome.of("gemm")),
        ("collective_us", pair.collective_us, collective),
    )
    for quantity, reference, simulated_fs in figures:
        if isinstance(reference, float):
            yield _comparison(pair, pair.system, quantity, reference, simulated_fs / FS_PER_US)


def _together(
    pair: OverlappedPair, overlapped: MeasuredOverlap, sequential_fs: int, total_fs: int
) -> Iterator[Comparison]:
    """Set time and speedup beside those of a stack, as far as they are known."""
    group = f"{pair.system}, {overlapped.stack}"
    speedup = overlapped.speedup
    if overlapped.time_us is not None:
        yield _comparison(pair, group, "overlapped_us", overlapped.time_us, total_fs / FS_PER_US)
        if isinstance(pair.sequential_us, float):
            speedup = pair.sequential_us / overlapped.time_us
    if speedup is not None:
        yield _comparison(pair, group, SPEEDUP, speedup, sequential_fs / total_fs)


def _comparison(pair: OverlappedPair, group: str, quantity: str, reference: float, simulated: float) -> Comparison:
    return Comparison(
        group=group,
        band="fit" if pair.fit else "held out",
        case=pair.case,
        quantity=quantity,
        reference=reference,
        simulated=simulated,
        source=pair.source,
    )
