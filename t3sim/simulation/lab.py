"""Runs phases on fresh machines of one system, and remembers what was run alone."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from t3sim.collectives.planning import NetworkFacts
from t3sim.errors import DataError, SimulationError
from t3sim.execution.data import DataMode, DataRun
from t3sim.hardware.conditions import SOUND
from t3sim.hardware.machine import GpuReport, LinkReport, Machine
from t3sim.hardware.memory.arbitration import ArbitrationPolicy
from t3sim.hardware.network.wiring import Wiring
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.work import Work
from t3sim.schemes.phases import Phase, program
from t3sim.schemes.scheme import Outcome, Sharing, Speeds
from t3sim.simulation.content import NotPlainError
from t3sim.simulation.fit import check_conditions
from t3sim.simulation.mirror import mirror_shape
from t3sim.simulation.part_store import REMEMBERED
from t3sim.simulation.parts import Part, Parts, are_described
from t3sim.simulation.plans import facts_of, wiring_of, works_of
from t3sim.simulation.system import SystemSpec
from t3sim.units import FS_PER_S
from t3sim.workload.operations import Collective, Gemm, Sublayer

_Key = TypeVar("_Key", bound=Hashable)

MIRROR = "mirror"
ONE = "one"
ALL = "all"


class SystemLab:
    """A ``t3sim.schemes.scheme.Lab`` for one system and number of GPUs."""

    def __init__(
        self,
        system: SystemSpec,
        gpus: int,
        simulated: str = MIRROR,
        observe: Callable[[Machine], None] | None = None,
        data: DataMode | None = None,
    ) -> None:
        """Simulate one GPU that stands for all wherever it is each of them (``mirror``), or ``all`` of them.

        ``one``: a single GPU also where chunks differ, which is an approximation (see ``mirror_shape``).

        ``observe`` is called with every machine before it runs. With ``data``, memories hold numbers; all GPUs are
        simulated then. Raises ``InputError`` for conditions of what the system does not have.
        """
        check_conditions(system, gpus)
        self.system = system
        self.gpus = gpus
        self.simulated = simulated
        self.observe = observe
        self.data = data
        self._alone: dict[Phase, Outcome] = {}

    def run(self, phases: Sequence[Phase], scheme: str) -> Outcome:
        """Run ``phases`` in order on every GPU, with the arbitration configured for ``scheme``.

        Raises ``SimulationError`` when the run contradicts itself: in data mode ``DataError`` where memory tells more.
        """
        wiring = wiring_of(self.system, self.gpus)
        works = [work for phase in phases for work in phase.works]
        one_for_all = self.simulated != ALL and self.data is None
        approximate = self.simulated == ONE
        shape = mirror_shape(self.system, wiring, phases, approximate=approximate) if one_for_all else None
        data = DataRun(works, self.gpus, self.data.precision) if self.data is not None else None
        mirrored = isinstance(shape, tuple)
        policy, conditions = self.system.policy(scheme), self.system.conditions
        if isinstance(shape, tuple):
            wiring = wiring.over(shape)
            if self.observe is None and (part := self._in_parts(wiring, policy, phases)) is not None:
                return _outcome(part.total_fs, [part.gpu], part.links)
        values = data.values if data is not None else None
        machine = Machine(self.system.gpu(), wiring, policy, conditions, values, mirrored=mirrored)
        if self.observe is not None:
            self.observe(machine)
        try:
            total = machine.run(program(phases))
        except SimulationError as error:
            if data is None or not (found := data.report_unfinished()).errors:
                raise
            raise DataError(f"{found}\nand the run failed: {error}") from error
        outcome = _outcome(total, [machine.report(gpu) for gpu in machine.gpus], machine.links())
        started = max(gpu.start_fs for gpu in machine.gpus)
        return replace(outcome, start_fs=started, data=data.report() if data is not None else None)

    def _in_parts(self, wiring: Wiring, policy: ArbitrationPolicy, phases: Sequence[Phase]) -> Part | None:
        """Run ``phases`` on one GPU from what is remembered; ``None`` where that cannot be, or something goes wrong."""
        if self.system.conditions != SOUND or not are_described(phases):
            return None
        # What goes wrong is told by a run of the whole, with its own times.
        with suppress(NotPlainError, SimulationError):
            return Parts(self.system, wiring, policy, REMEMBERED).run(phases)
        return None

    @property
    def sharing(self) -> Sharing:
        """How kernels that run at once divide the CUs: a GEMM keeps at least half of them."""
        cus, software = self.system.compute.cus, self.system.software
        taken = min(software.overlap_cus, max(1, cus // 2))
        return Sharing(
            pieces=software.overlap_pieces,
            gemm_cus=max(1, cus - taken),
            collective_cus=taken,
            gemm_first=None if software.cu_sharing == "fixed" else software.cu_sharing == "gemm-first",
            displaces=software.collectives_displace,
            event_fs=software.event_overhead,
            scatter_overhead_fs=software.scatter_overhead,
            gather_overhead_fs=software.gather_overhead,
            scatter_floor_fs=software.scatter_floor,
        )

    @property
    def speeds(self) -> Speeds:
        """What software that tunes itself knows of the system."""
        wiring, engines = wiring_of(self.system, self.gpus), self.system.copy_engines
        return Speeds(
            kernel=self.system.gemm,
            rates=self.system.gemm_rates(),
            peer_bytes_per_s=wiring.bytes_per_s(0, 1 % self.gpus),
            out_bytes_per_s=wiring.out_bytes_per_s(0),
            engines=engines.count,
            copy_start_s=engines.start_up / FS_PER_S,
            gather_rows=self.system.software.gather_rows,
        )

    def lower(self, operations: Sequence[Gemm | Collective]) -> tuple[Work, ...]:
        """Lower other operations than the sublayer's. Raises ``InputError`` where they do not fit."""
        place = {"phase": operations[0].phase, "sublayer": operations[0].sublayer}
        return works_of(self.system, Sublayer(model="", tp=self.gpus, operations=tuple(operations), **place))

    @property
    def track_trigger(self) -> TrackTriggerSpec:
        """Which parts of T3's mechanism the system has."""
        return self.system.track_trigger

    @property
    def facts(self) -> NetworkFacts:
        """What algorithms may know of the system's network."""
        return facts_of(self.system, self.gpus)

    def alone(self, phase: Phase) -> Outcome:
        """Run one phase with the machine to itself; the same phase is run once."""
        if phase not in self._alone:
            self._alone[phase] = self.run([phase], "default")
        return self._alone[phase]


def _outcome(total_fs: int, gpus: Sequence[GpuReport], links: dict[str, LinkReport]) -> Outcome:
    def longest(operation: str) -> int:
        return max(
            sum(span.end_fs - span.start_fs for span in gpu.spans if span.operation == operation) for gpu in gpus
        )

    def mean(values: Sequence[int]) -> int:
        return round(sum(values) / len(values))

    def means(counts: Sequence[Mapping[_Key, int]]) -> dict[_Key, int]:
        keys = dict.fromkeys(key for count in counts for key in count)
        return {key: mean([count.get(key, 0) for count in counts]) for key in keys}

    operations = dict.fromkeys(span.operation for gpu in gpus for span in gpu.spans)
    return Outcome(
        total_fs=total_fs,
        operation_fs={operation: longest(operation) for operation in operations},
        served_bytes=means([gpu.served_bytes for gpu in gpus]),
        link_bytes=mean([gpu.link_bytes for gpu in gpus]),
        # Mirrored, each link stands for one of every GPU.
        wire_bytes=round(sum(link.sent_bytes for link in links.values()) / len(gpus)),
        dram_busy_fs=mean([gpu.dram_busy_fs for gpu in gpus]),
        link_busy_fs=mean([gpu.link_busy_fs for gpu in gpus]),
        tracker_peak_entries=max(gpu.tracker_peak_entries for gpu in gpus),
        dram_commands=means([gpu.dram_commands for gpu in gpus]),
        llc_asked_bytes=mean([gpu.llc_asked_bytes for gpu in gpus]),
        llc_missed_bytes=mean([gpu.llc_missed_bytes for gpu in gpus]),
        cu_busy_fs=means([gpu.cu_busy_fs for gpu in gpus]),
        links=links,
        gpus_simulated=len(gpus),
        gpus=tuple(gpus),
    )
