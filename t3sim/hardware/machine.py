"""A machine: GPUs wired by a topology in one SimPy environment, run once and checked."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import networkx as nx
import simpy
from simpy.core import EmptySchedule
from simpy.events import Event

from t3sim.errors import SimulationError, StallError
from t3sim.hardware.gpu import Gpu, GpuSpec, Span
from t3sim.hardware.memory.access import Cause
from t3sim.hardware.memory.arbitration import ArbitrationPolicy
from t3sim.hardware.network.link import Link, LinkSpec
from t3sim.units import FS_PER_S

Program = Callable[[Gpu], Generator[Event, Any, Any]]


@dataclass(frozen=True, kw_only=True)
class GpuReport:
    """What one GPU did in a run; times in fs."""

    served_bytes: dict[Cause, int]
    link_bytes: int
    dram_busy_fs: int
    link_busy_fs: int
    operand_stall_fs: int
    tracker_peak_entries: int
    tracker_waits: int
    spans: tuple[Span, ...]


class Machine:
    """The GPUs to simulate and the links between them."""

    def __init__(self, gpu: GpuSpec, link: LinkSpec, graph: "nx.DiGraph[int]", policy: ArbitrationPolicy) -> None:
        """Wire the GPUs; ``ValueError`` when one of ``graph`` does not have exactly one link out and one in."""
        self.env = simpy.Environment(0)
        self.gpus = [Gpu(self.env, gpu, policy, index) for index in sorted(graph.nodes)]
        if any(degree != 1 for _, degree in (*graph.in_degree, *graph.out_degree)):
            raise ValueError("every GPU of a ring has one link out and one in")
        self.links = {
            source: Link(self.env, link, f"Link[{source}->{target}]") for source, target in sorted(graph.edges)
        }
        source_of = {target: source for source, target in graph.edges}
        for gpu_ in self.gpus:
            (target,) = graph.successors(gpu_.index)
            gpu_.connect(self.links[gpu_.index], self.gpus[target], self.links[source_of[gpu_.index]])

    def run(self, program: Program) -> int:
        """Run ``program`` on every GPU; the time in fs at which the last one ends.

        Raises ``StallError`` when nothing can happen any more and a GPU is not done, ``SimulationError`` when the
        run contradicts itself (bytes lost, updates lost, work left in a queue, a link above its rate).
        """
        processes = [self.env.process(program(gpu)) for gpu in self.gpus]
        done = self.env.all_of(processes)
        try:
            self.env.run(until=done)
        except RuntimeError as error:
            if not isinstance(error.__context__, EmptySchedule):
                raise
            raise StallError(self._stall_report()) from error
        total = int(self.env.now)
        self.env.run()  # let what nobody waits for end
        self._check(total)
        return total

    def report(self, gpu: Gpu) -> GpuReport:
        """Read one GPU's counters after a run."""
        return GpuReport(
            served_bytes=gpu.memory.served_bytes(),
            link_bytes=gpu.out.sent_bytes,
            dram_busy_fs=gpu.memory.busy_fs(),
            link_busy_fs=gpu.out.busy_fs,
            operand_stall_fs=gpu.compute.stall_fs,
            tracker_peak_entries=gpu.tracker.peak_entries,
            tracker_waits=gpu.tracker.waited,
            spans=tuple(gpu.spans),
        )

    def _stall_report(self) -> str:
        waiting = [line for gpu in self.gpus for line in (*gpu.waiting(), *gpu.missing())]
        details = "\n  ".join(waiting) or "no component waits for another: a program waits for what nobody does"
        return f"nothing can happen any more at {int(self.env.now) / 1e9:.3f} us, but the run is not done:\n  {details}"

    def _check(self, total_fs: int) -> None:
        faults = [f"left in a queue: {line}" for gpu in self.gpus for line in gpu.waiting()]
        for gpu in self.gpus:
            served = gpu.memory.served_bytes()
            faults += [
                f"{gpu.memory.name}: {gpu.memory.submitted[cause]} B of {cause.name} asked, {served[cause]} B served"
                for cause in Cause
                if gpu.memory.submitted[cause] != served[cause]
            ]
            if gpu.memory.busy_fs() > int(self.env.now):
                faults.append(f"{gpu.memory.name}: busy for longer than the run took")
            if gpu.tracker.issued != gpu.tracker.counted:
                faults.append(f"{gpu.tracker.name}: {gpu.tracker.issued} updates issued, {gpu.tracker.counted} counted")
        for link in self.links.values():
            if link.sent_bytes != link.delivered_bytes:
                faults.append(f"{link.name}: {link.sent_bytes} B sent, {link.delivered_bytes} B received")
            if link.sent_bytes * FS_PER_S > link.spec.bytes_per_s * total_fs:
                faults.append(f"{link.name}: {link.sent_bytes} B in {total_fs} fs is above its rate")
        if faults:
            raise SimulationError("the run contradicts itself:\n  " + "\n  ".join(faults))
