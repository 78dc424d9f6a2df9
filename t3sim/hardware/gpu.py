"""One GPU: its parts, wired."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from t3sim.hardware.clock import Environment
from t3sim.hardware.compute.cu_pool import CuPool
from t3sim.hardware.compute.cus import ComputeArray, ComputeSpec
from t3sim.hardware.compute.llc import LlcSpec
from t3sim.hardware.conditions import SOUND, ConditionsSpec
from t3sim.hardware.copy_engines import CopyEnginesSpec
from t3sim.hardware.memory.arbitration import ArbitrationPolicy
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.model import MemorySpec
from t3sim.hardware.memory.values import Values
from t3sim.hardware.network.network import Network
from t3sim.hardware.ports import NetworkPort, Ports
from t3sim.hardware.probe import Probe
from t3sim.hardware.t3.dma import DmaEngine, DmaSpec
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.hardware.t3.tracker import Tracker, TrackerSpec
from t3sim.lowering.protocol import ProtocolSpec
from t3sim.lowering.tiling import GemmKernelSpec


@dataclass(frozen=True, kw_only=True)
class GpuSpec:
    """What a GPU is built from, and the kernels it is given."""

    compute: ComputeSpec
    gemm: GemmKernelSpec
    llc: LlcSpec
    memory: MemorySpec
    tracker: TrackerSpec
    dma: DmaSpec
    copy_engines: CopyEnginesSpec
    track_trigger: TrackTriggerSpec
    protocols: Mapping[str, ProtocolSpec]
    """What collective kernels run with."""
    host_overhead: int = 0
    """From the call of a collective to its kernel's launch, where the GPU waits for the host, fs."""
    reduction_share: float = 1.0
    """Of the DRAM's peak that the last sum of software moves on an idle GPU, at most."""


@dataclass(frozen=True, slots=True)
class Span:
    """When one operation ran on a GPU, fs."""

    operation: str
    """``gemm``, or the name of a collective."""
    start_fs: int
    end_fs: int
    launch_fs: int = 0
    """How long from its start on its kernel was being launched; what is fused with another has no launch of its own."""


class Program(Protocol):
    """Something that runs on a GPU."""

    def missing(self) -> list[str]:
        """Say what it still waits for."""


class Gpu:
    """One GPU of the group, or the one that stands for all."""

    def __init__(
        self,
        env: Environment,
        spec: GpuSpec,
        policy: ArbitrationPolicy,
        index: int,
        network: Network,
        conditions: ConditionsSpec = SOUND,
        values: Values | None = None,
    ) -> None:
        own = conditions.of_gpu(index)
        if own.lost_channels:
            spec = replace(spec, memory=spec.memory.without_channels(own.lost_channels))
        self.env = env
        self.spec = spec
        self.index = index
        self.name = f"Gpu[{index}]"
        self.start_fs = own.start
        """When it begins with its program."""
        self.memory = MemoryController(env, spec.memory, policy, index)
        self.compute = ComputeArray(spec.compute, spec.llc, own.speed)
        self.pool = CuPool(env, spec.compute.cus)
        self.tracker = Tracker(env, spec.tracker, index)
        self.dma = DmaEngine(env, spec.dma, index)
        self.ports = Ports(
            env=env,
            rank=index,
            memory=self.memory,
            cus=self.compute,
            tracker=self.tracker,
            dma=self.dma,
            network=NetworkPort(network, index),
            values=values,
        )
        self.spans: list[Span] = []
        self.programs: list[tuple[int, Program]] = []
        """What runs on it, each with the number of its operation."""
        self._conditions = conditions

    def launch_fs(self, kernel: str, overhead_fs: int) -> int:
        """Time from the launch of the kernel called ``kernel`` to its start: the overhead, and its jitter."""
        return overhead_fs + self._conditions.jitter_fs(self.index, kernel)

    def observe(self, probe: Probe) -> None:
        """Let all parts report to ``probe``."""
        self.memory.probe = self.compute.probe = self.tracker.probe = self.dma.probe = probe

    def waiting(self) -> list[str]:
        """Say what each part still waits for, for a stall report."""
        return [*self.memory.waiting(), *self.tracker.waiting(), *self.dma.waiting()]

    def missing(self) -> list[str]:
        """Say what each operation of the program still waits for, for a stall report."""
        return [
            f"{self.name}: operation {number} misses {what}"
            for number, program in self.programs
            for what in program.missing()
        ]
