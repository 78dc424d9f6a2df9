"""Runs phases on fresh machines of one system, and remembers what was run alone."""

from collections.abc import Callable, Sequence

from t3sim.hardware.machine import GpuReport, Machine
from t3sim.hardware.memory.access import Cause
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.registry import get
from t3sim.schemes.phases import Phase, program
from t3sim.schemes.scheme import Outcome
from t3sim.simulation.system import SystemSpec


class SystemLab:
    """A ``t3sim.schemes.scheme.Lab`` for one system and ring size."""

    def __init__(
        self,
        system: SystemSpec,
        gpus: int,
        topology: str,
        observe: Callable[[Machine], None] | None = None,
    ) -> None:
        """``topology``: ``mirror`` (one GPU stands for ``gpus``) or ``ring`` (all of them).

        ``observe`` is called with every machine before it runs.
        """
        self.system = system
        self.gpus = gpus
        self.topology = topology
        self.observe = observe
        self._alone: dict[Phase, Outcome] = {}

    def run(self, phases: Sequence[Phase], scheme: str) -> Outcome:
        """Run ``phases`` in order on every GPU, with the arbitration configured for ``scheme``."""
        graph = get(TOPOLOGY, self.topology)().graph(self.gpus)
        machine = Machine(self.system.gpu(), self.system.link, graph, self.system.policy(scheme))
        if self.observe is not None:
            self.observe(machine)
        total = machine.run(program(phases))
        return _outcome(total, tuple(machine.report(gpu) for gpu in machine.gpus))

    def alone(self, phase: Phase) -> Outcome:
        """Run one phase with the machine to itself; the same phase is run once."""
        if phase not in self._alone:
            self._alone[phase] = self.run([phase], "default")
        return self._alone[phase]


def _outcome(total_fs: int, gpus: tuple[GpuReport, ...]) -> Outcome:
    def longest(operation: str) -> int:
        return max(
            sum(span.end_fs - span.start_fs for span in gpu.spans if span.operation == operation) for gpu in gpus
        )

    def mean(values: Sequence[int]) -> int:
        return round(sum(values) / len(values))

    return Outcome(
        total_fs=total_fs,
        gemm_fs=longest("gemm"),
        rs_fs=longest("reduce_scatter"),
        ag_fs=longest("all_gather"),
        served_bytes={cause: mean([gpu.served_bytes[cause] for gpu in gpus]) for cause in Cause},
        link_bytes=mean([gpu.link_bytes for gpu in gpus]),
        dram_busy_fs=mean([gpu.dram_busy_fs for gpu in gpus]),
        link_busy_fs=mean([gpu.link_busy_fs for gpu in gpus]),
        tracker_peak_entries=max(gpu.tracker_peak_entries for gpu in gpus),
        gpus=gpus,
    )
