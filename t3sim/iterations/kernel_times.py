"""Times of a layer's kernels on one system: GEMMs and sublayers simulated, equal ones once; the rest by arithmetic."""

import math
from collections import Counter
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass

from t3sim.errors import InputError, Problem
from t3sim.lowering.other_kernels import Rates, attention_fs, attention_kernels, kernel_fs
from t3sim.lowering.work import CollectiveWork, GemmWork
from t3sim.registry import get
from t3sim.schemes.kernels import GemmPhase
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Scheme
from t3sim.schemes.sequential import kernel_phase
from t3sim.simulation.lab import SystemLab
from t3sim.simulation.plans import facts_of, works_of
from t3sim.simulation.system import SystemSpec
from t3sim.workload.layers import Attention, Kernel, Step
from t3sim.workload.operations import Gemm, Sublayer

COMMUNICATION = "communication"
"""Kind of what collectives add to the kernels beside them."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One kernel, or a GEMM with its collectives."""

    name: str
    kind: str
    total_fs: int
    exposed_fs: int = 0
    """What collectives add: the time less that of the same GEMM with the GPU to itself."""
    alone_fs: int = 0
    """What its collectives take by themselves, as kernels."""
    kernels: int = 1
    """That the host issues."""


@dataclass(frozen=True)
class Spent:
    """Time of a list of kernels that follow one another."""

    total_fs: int
    by_kind: dict[str, int]
    """fs; what collectives add is ``communication``, and no part of their GEMM's."""
    alone_fs: int
    """What all collectives take by themselves."""
    waiting_fs: int
    """How long the GPU waits for the host: part of the total."""


def together(parts: Iterable[tuple[Spent, int]]) -> Spent:
    """Add up what is spent, each part so many times."""
    total = alone = waiting = 0
    by_kind: Counter[str] = Counter()
    for spent, times in parts:
        total += spent.total_fs * times
        alone += spent.alone_fs * times
        waiting += spent.waiting_fs * times
        by_kind.update({kind: fs * times for kind, fs in spent.by_kind.items()})
    return Spent(total, dict(by_kind), alone, waiting)


class KernelTimes:
    """Answers for one system and scheme."""

    def __init__(self, system: SystemSpec, scheme: str, tp: int) -> None:
        """Raise ``InputError`` where the scheme cannot run on the network of ``tp`` GPUs."""
        self.system = system
        self._scheme: Scheme = get(SCHEME, scheme)()
        if tp > 1 and (misfit := self._scheme.misfit(facts_of(system, tp))):
            raise InputError(Problem(message=misfit, key="scheme", value=scheme))
        self._lab = SystemLab(system, max(tp, 2))
        self._times: dict[Step, Timed] = {}
        compute = system.compute
        self._rates = Rates(
            cus=compute.cus,
            dram_bytes_per_s=system.memory.peak_bytes_per_s,
            llc_bytes_per_s=math.inf if system.llc.bandwidth is None else float(system.llc.bandwidth),
            flops_per_s=system.gemm_rates().flops_per_s,
        )

    def sharing(self, system: SystemSpec) -> "KernelTimes":
        """Answer for a system that differs in its cluster or in what the host takes alone: kernels are timed once."""
        shared = copy(self)
        shared.system = system
        return shared

    def of(self, step: Step) -> Timed:
        """Time one step; GEMMs of a dtype that the system lacks raise ``InputError``."""
        if step not in self._times:
            self._times[step] = self._timed(step)
        return self._times[step]

    def spent(self, steps: Iterable[Step], *, backward: bool = False) -> Spent:
        """Add up steps that follow one another; the GPU waits where the host cannot issue kernels as fast.

        The host does not run ahead of a list: a layer's pass, each way.
        """
        timed = [self.of(step) for step in steps]
        by_kind: Counter[str] = Counter()
        for each in timed:
            by_kind[each.kind] += each.total_fs - each.exposed_fs
            by_kind[COMMUNICATION] += each.exposed_fs
        total = sum(each.total_fs for each in timed)
        spec = self.system.other_kernels
        issue = spec.issue if spec.backward_issue is None or not backward else spec.backward_issue
        issued = issue * sum(each.kernels for each in timed)
        waiting = max(0, issued - total)
        return Spent(total + waiting, dict(by_kind), sum(each.alone_fs for each in timed), waiting)

    def spent_all(self, lists: Counter[tuple[Step, ...]], *, backward: bool = False) -> Spent:
        """Add up lists of steps, each as often as it is counted."""
        return together([(self.spent(steps, backward=backward), count) for steps, count in lists.items()])

    def _timed(self, step: Step) -> Timed:
        spec = self.system.other_kernels
        if isinstance(step, Kernel):
            return Timed(step.name, step.kind, kernel_fs(step, spec, self._rates))
        if isinstance(step, Attention):
            kernels = attention_kernels(step, spec)
            return Timed(step.name, "attention", attention_fs(step, spec, self._rates), kernels=kernels)
        if isinstance(step, Gemm):
            return Timed(step.sublayer, "gemm", self._gemm_fs(step))
        return self._sublayer(step)

    def _gemm_fs(self, op: Gemm) -> int:
        alone = Sublayer(model="", phase=op.phase, sublayer=op.sublayer, tp=2, operations=(op,))
        (work,) = works_of(self.system, alone)
        assert isinstance(work, GemmWork)
        return self._lab.alone(GemmPhase(work)).total_fs

    def _sublayer(self, sublayer: Sublayer) -> Timed:
        works = works_of(self.system, sublayer)
        gemm_fs = sum(self._lab.alone(GemmPhase(work)).total_fs for work in works if isinstance(work, GemmWork))
        moves = [work for work in works if isinstance(work, CollectiveWork)]
        alone_fs = sum(self._lab.alone(kernel_phase(work)).total_fs for work in moves)
        total = self._scheme.simulate(self._lab, works).total_fs
        kind = "gemm" if gemm_fs else COMMUNICATION
        # A reduce-scatter with its all-gather is one call of a library: an all-reduce.
        kernels = len(works) - max(0, len(moves) - 1)
        return Timed(sublayer.sublayer, kind, total, total - gemm_fs, alone_fs, kernels=kernels)
