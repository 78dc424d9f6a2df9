"""What a scheme is, what it may use to answer, and the answer."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import ClassVar, Protocol, TypeVar

from t3sim.collectives.planning import NetworkFacts
from t3sim.execution.data import DataReport
from t3sim.hardware.machine import GpuReport, LinkReport
from t3sim.hardware.memory.access import Cause
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.kernel_choice import GemmRates
from t3sim.lowering.tiling import GemmKernelSpec
from t3sim.lowering.work import Work
from t3sim.results.schemes import Role
from t3sim.schemes.phases import Phase
from t3sim.workload.operations import Collective, Gemm

KIND = "scheme"
_Key = TypeVar("_Key", bound=Hashable)
_Count = TypeVar("_Count", int, LinkReport)


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How a GEMM in pieces and its collectives run at once."""

    pieces: int
    """Into how many pieces a GEMM is cut, at most."""
    gemm_cus: int
    """CUs of a GEMM beside a collective."""
    collective_cus: int
    """CUs of a collective beside a GEMM."""
    gemm_first: bool | None
    """Whose workgroups take CUs that come free first; ``None``: each has its own for as long as both run."""
    displaces: bool
    """Whether collectives on CUs take places in the LLC."""
    event_fs: int
    """What a stream takes to see another one's event."""
    scatter_overhead_fs: int
    """What comes before a piece of a decomposed GEMM and nothing hides."""
    gather_overhead_fs: int
    """The same where its input is gathered."""
    scatter_floor_fs: int
    """What the host takes to issue a GEMM and all that its reduce-scatter is made of."""


@dataclass(frozen=True, kw_only=True)
class Speeds:
    """What software that tunes itself to a machine knows of it."""

    kernel: GemmKernelSpec
    """How GEMM kernels are written."""
    rates: GemmRates
    peer_bytes_per_s: int
    """From a GPU to another."""
    out_bytes_per_s: int
    """From a GPU to all others together."""
    engines: int
    """Copy engines."""
    copy_start_s: float
    """From the start of an engine's copy to its first read."""
    gather_rows: int | None
    """Rows that one of their copies brings, of a GEMM's input; ``None``: all of a GPU's."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a scheme costs: times in fs, traffic in bytes per GPU (the mean, where GPUs are simulated one by one)."""

    total_fs: int
    operation_fs: dict[str, int]
    """Time of each operation, by its name: the longest of the GPUs'."""
    served_bytes: dict[Cause, int]
    link_bytes: int
    wire_bytes: int
    """Bytes that all links carried, by GPU; what takes several links counts on each."""
    dram_busy_fs: int
    link_busy_fs: int
    tracker_peak_entries: int
    dram_commands: dict[str, int]
    """Commands and requests of all channels, by the memory model's names; empty where it has no rows."""
    llc_asked_bytes: int
    llc_missed_bytes: int
    cu_busy_fs: dict[str, int]
    """By operation: time that its workgroups held a CU, added up over the CUs."""
    links: dict[str, LinkReport]
    """By name; where one GPU stands for all, its links do for theirs."""
    gpus_simulated: int
    start_fs: int = 0
    """When the last GPU began; part of ``total_fs``."""
    gpus: tuple[GpuReport, ...] = ()
    data: DataReport | None = None
    """In data mode: what was found in memory."""

    @property
    def wire_bytes_max(self) -> int:
        """Bytes that the link with the most of them carried."""
        return max((link.sent_bytes for link in self.links.values()), default=0)

    @property
    def own_fs(self) -> int:
        """Time from the last GPU's beginning on."""
        return self.total_fs - self.start_fs

    def of(self, operation: str) -> int:
        """Time of ``operation``, fs; 0 where none ran."""
        return self.operation_fs.get(operation, 0)


def in_sequence(parts: Sequence[Outcome], *, saved_fs: int = 0) -> Outcome:
    """Put outcomes one after the other and take ``saved_fs`` off for what is assumed to overlap.

    GPUs that begin late do so once.
    """
    start_fs = max(part.start_fs for part in parts)
    return Outcome(
        total_fs=start_fs + sum(part.own_fs for part in parts) - saved_fs,
        start_fs=start_fs,
        operation_fs=summed_by_key([part.operation_fs for part in parts]),
        served_bytes=summed_by_key([part.served_bytes for part in parts]),
        link_bytes=sum(part.link_bytes for part in parts),
        wire_bytes=sum(part.wire_bytes for part in parts),
        dram_busy_fs=sum(part.dram_busy_fs for part in parts),
        link_busy_fs=sum(part.link_busy_fs for part in parts),
        tracker_peak_entries=max(part.tracker_peak_entries for part in parts),
        dram_commands=summed_by_key([part.dram_commands for part in parts]),
        llc_asked_bytes=sum(part.llc_asked_bytes for part in parts),
        llc_missed_bytes=sum(part.llc_missed_bytes for part in parts),
        cu_busy_fs=summed_by_key([part.cu_busy_fs for part in parts]),
        links=summed_by_key([part.links for part in parts]),
        gpus_simulated=max(part.gpus_simulated for part in parts),
        data=reduce(add, found) if (found := [part.data for part in parts if part.data is not None]) else None,
    )


def summed_by_key(counts: Sequence[Mapping[_Key, _Count]]) -> dict[_Key, _Count]:
    """Add up counters key by key, in the order of their first appearance."""
    total: dict[_Key, _Count] = {}
    for count in counts:
        for key, value in count.items():
            total[key] = total[key] + value if key in total else value
    return total


class Lab(Protocol):
    """Runs phases on a fresh machine of the system under study."""

    @property
    def track_trigger(self) -> TrackTriggerSpec:
        """Which parts of T3's mechanism the system has."""

    @property
    def facts(self) -> NetworkFacts:
        """What algorithms may know of the system's network."""

    @property
    def sharing(self) -> Sharing:
        """How kernels that run at once divide the CUs."""

    @property
    def speeds(self) -> Speeds:
        """What software that tunes itself knows of the system."""

    def lower(self, operations: Sequence[Gemm | Collective]) -> tuple[Work, ...]:
        """Lower other operations than the sublayer's. Raises ``InputError`` where they do not fit."""

    def run(self, phases: Sequence[Phase], scheme: str) -> Outcome:
        """Run ``phases`` in order on every GPU, with the arbitration configured for ``scheme``."""

    def alone(self, phase: Phase) -> Outcome:
        """Run one phase with the machine to itself."""


class Scheme(ABC):
    """A way to execute the work of a sublayer."""

    label: str
    """Name as the paper writes it."""
    role: Role = "scheme"
    order: int
    """Place in tables."""
    tunes: ClassVar[Mapping[str, tuple[int | str, ...]]] = {}
    """Keys of ``software`` that its users choose by shape, each with the values that a search tries."""

    def misfit(self, facts: NetworkFacts) -> str:
        """Say why it cannot run on such a network; empty where it can."""
        del facts
        return ""

    @abstractmethod
    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Execute ``works`` and say what it costs."""
