"""A machine: GPUs on a network in one SimPy environment, run once and checked."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import simpy
from simpy.core import EmptySchedule
from simpy.events import Event

from t3sim.errors import SimulationError, StallError
from t3sim.hardware.conditions import SOUND, ConditionsSpec
from t3sim.hardware.gpu import Gpu, GpuSpec, Span
from t3sim.hardware.memory.access import Cause
from t3sim.hardware.memory.arbitration import ArbitrationPolicy
from t3sim.hardware.memory.values import Values
from t3sim.hardware.network.network import Network
from t3sim.hardware.network.wiring import Wiring
from t3sim.hardware.probe import Probe
from t3sim.hardware.standing import Standing

RunProgram = Callable[[Gpu], Generator[Event, Any, Any]]


@dataclass(frozen=True, kw_only=True)
class GpuReport:
    """What one GPU did in a run; times in fs."""

    served_bytes: dict[Cause, int]
    link_bytes: int
    """Bytes that it sent over its own links."""
    dram_busy_fs: int
    link_busy_fs: int
    """Time its busiest own link was sending."""
    dram_commands: dict[str, int]
    """Commands and requests, by the memory model's names; empty where it has no rows."""
    llc_asked_bytes: int
    """Operand bytes that the GEMMs' workgroups asked of the LLC."""
    llc_missed_bytes: int
    """What it had to read from DRAM for that."""
    cu_busy_fs: dict[str, int]
    """By operation: time that its workgroups held a CU, added up over the CUs."""
    operand_stall_fs: int
    tracker_peak_entries: int
    tracker_waits: int
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class LinkReport:
    """What one link did in a run."""

    sent_bytes: int
    """Data that it carried, without the flags that a protocol puts between them."""
    busy_fs: int
    """Time it was sending."""

    def __add__(self, other: "LinkReport") -> "LinkReport":
        """Add up what it did in two runs."""
        return LinkReport(self.sent_bytes + other.sent_bytes, self.busy_fs + other.busy_fs)


class Machine:
    """The GPUs to simulate and the network between them."""

    def __init__(
        self,
        gpu: GpuSpec,
        wiring: Wiring,
        policy: ArbitrationPolicy,
        conditions: ConditionsSpec = SOUND,
        values: Sequence[Values] | None = None,
        *,
        mirrored: bool,
    ) -> None:
        """``mirrored``: one GPU stands for all of ``wiring``, which must look the same from each of them.

        ``values``: in data mode, what each GPU's memory holds. Raises ``ValueError`` for conditions of GPUs or links
        that there are none of, and for those that make GPUs differ where one is to stand for all.
        """
        for unknown in conditions.unknown(wiring):
            raise unknown
        if mirrored and conditions.difference:
            raise ValueError(f"{conditions.difference}: simulate all GPUs, not one for all")
        self.env = simpy.Environment(0)
        ranks = range(1) if mirrored else range(wiring.gpus)
        self.network = Network(self.env, wiring, conditions.of_links(wiring, ranks), mirrored=mirrored)
        self.gpus = [
            Gpu(self.env, gpu, policy, rank, self.network, conditions, None if values is None else values[rank])
            for rank in ranks
        ]

    def standing(self) -> Standing | None:
        """Say how the one GPU stands where nothing is under way; ``None`` otherwise, and where it cannot be told."""
        (gpu,) = self.gpus
        if gpu.waiting() or gpu.missing():
            return None
        bus, links = gpu.memory.standing(), self.network.standing()
        return None if bus is None or links is None else Standing(bus, links)

    def resume(self, standing: Standing) -> None:
        """Let what is run go on from there: to be called before the machine runs, whose one GPU stands for all."""
        (gpu,) = self.gpus
        gpu.memory.resume(standing.bus)
        self.network.resume(standing.links)

    def observe(self, probe: Probe) -> None:
        """Let every part report to ``probe``; to be called before the machine runs."""
        self.network.observe(probe)
        for gpu in self.gpus:
            gpu.observe(probe)

    def run(self, program: RunProgram) -> int:
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
        links = self.network.out_links(gpu.index)
        return GpuReport(
            served_bytes=gpu.memory.served_bytes(),
            link_bytes=sum(link.sent_bytes for link in links),
            dram_busy_fs=gpu.memory.busy_fs(),
            link_busy_fs=max((link.busy_fs for link in links), default=0),
            dram_commands=gpu.memory.commands(),
            llc_asked_bytes=gpu.compute.llc_asked_bytes,
            llc_missed_bytes=gpu.compute.llc_missed_bytes,
            cu_busy_fs=dict(gpu.compute.busy_fs),
            operand_stall_fs=gpu.compute.stall_fs,
            tracker_peak_entries=gpu.tracker.peak_entries,
            tracker_waits=gpu.tracker.waited,
            spans=tuple(gpu.spans),
        )

    def links(self) -> dict[str, LinkReport]:
        """Read the counters of all links after a run, by name; mirrored, each stands for those of all GPUs."""
        return {name: LinkReport(link.sent_bytes, link.busy_fs) for name, link in self.network.links.items()}

    def _stall_report(self) -> str:
        waiting = [line for gpu in self.gpus for line in (*gpu.waiting(), *gpu.missing())]
        waiting += self.network.waiting()
        details = "\n  ".join(waiting) or "no component waits for another: a program waits for what nobody does"
        return f"nothing can happen any more at {int(self.env.now) / 1e9:.3f} us, but the run is not done:\n  {details}"

    def _check(self, total_fs: int) -> None:
        faults = [f"left in a queue: {line}" for gpu in self.gpus for line in gpu.waiting()]
        faults += [f"left in a queue: {line}" for line in self.network.waiting()]
        for gpu in self.gpus:
            faults += gpu.memory.faults()
            if gpu.compute.llc_missed_bytes > gpu.compute.llc_asked_bytes:
                missed, asked = gpu.compute.llc_missed_bytes, gpu.compute.llc_asked_bytes
                faults.append(f"{gpu.name}.Llc: {missed} B missed of {asked} B asked for")
            if gpu.tracker.issued != gpu.tracker.counted:
                faults.append(f"{gpu.tracker.name}: {gpu.tracker.issued} updates issued, {gpu.tracker.counted} counted")
        faults += self.network.faults(total_fs)
        if faults:
            raise SimulationError("the run contradicts itself:\n  " + "\n  ".join(faults))
