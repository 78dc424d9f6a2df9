"""One GPU: its parts, wired. Everything that leaves it goes over its outgoing link to its successor in the ring."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from t3sim.hardware.clock import Action, Environment
from t3sim.hardware.compute.cus import ComputeArray, ComputeSpec
from t3sim.hardware.compute.llc import LlcSpec
from t3sim.hardware.memory.access import Access, Cause, Stream
from t3sim.hardware.memory.arbitration import ArbitrationPolicy
from t3sim.hardware.memory.controller import MemoryController
from t3sim.hardware.memory.model import MemorySpec
from t3sim.hardware.network.link import Link
from t3sim.hardware.network.message import Message, Receiver
from t3sim.hardware.t3.dma import DmaEngine, DmaSpec
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.hardware.t3.tracker import Tracker, TrackerSpec
from t3sim.lowering.layout import Place
from t3sim.lowering.protocol import ProtocolSpec
from t3sim.lowering.tiling import GemmKernelSpec
from t3sim.units import ceil_div


@dataclass(frozen=True, kw_only=True)
class GpuSpec:
    """What a GPU is built from."""

    compute: ComputeSpec
    gemm: GemmKernelSpec
    llc: LlcSpec
    memory: MemorySpec
    tracker: TrackerSpec
    dma: DmaSpec
    track_trigger: TrackTriggerSpec
    protocols: Mapping[str, ProtocolSpec]


@dataclass(frozen=True, slots=True)
class Span:
    """When one operation ran on a GPU, fs."""

    operation: str
    """``gemm``, ``reduce_scatter`` or ``all_gather``."""
    start_fs: int
    end_fs: int
    launch_fs: int = 0
    """How long from its start on its kernel was being launched; what is fused with another has no launch of its own."""


class Gpu:
    """One GPU of the ring, or the mirrored one that stands for all."""

    def __init__(self, env: Environment, spec: GpuSpec, policy: ArbitrationPolicy, index: int) -> None:
        self.env = env
        self.spec = spec
        self.index = index
        self.name = f"Gpu[{index}]"
        self.memory = MemoryController(env, spec.memory, policy, f"{self.name}.Memory")
        self.compute = ComputeArray(env, spec.compute, spec.gemm, spec.llc, self.memory)
        self.tracker = Tracker(spec.tracker, f"{self.name}.Tracker")
        self.dma = DmaEngine(env, spec.dma, self._dma_read, f"{self.name}.Dma")
        self.receivers: dict[int, Receiver] = {}
        self.spans: list[Span] = []

    def connect(self, out: Link, successor: "Gpu", incoming: Link) -> None:
        """Attach the link to ``successor`` and the one from the predecessor (for giving its buffer back)."""
        self.out = out
        self.successor = successor
        self.incoming = incoming

    def send(self, message: Message, accepted: Action | None = None) -> None:
        """Send ``message`` to the successor; ``accepted`` runs when the link has taken it."""
        self.out.send(message.nbytes, partial(self.deliver, message), accepted, self._wire_bytes(message))

    def _wire_bytes(self, message: Message) -> int:
        """Bytes whose time ``message`` holds the wire.

        All chunks of a ring are under way at once and every GPU waits for its predecessor, so the largest chunk
        sets the pace of all. A mirrored GPU sees one chunk at a time and keeps that pace by itself.
        """
        if self.successor is not self:
            return message.wire_bytes
        return ceil_div(message.wire_bytes * message.largest_chunk_bytes, message.chunk_bytes)

    def deliver(self, message: Message) -> None:
        """Hand ``message`` to the successor's receiver for its operation."""
        self.successor.receivers[message.phase].receive(message)

    def consumed(self, message: Message) -> None:
        """Give the link buffer that an incoming ``message`` held back to the predecessor."""
        self.incoming.consumed(message.nbytes)

    def waiting(self) -> list[str]:
        """Say what each part still waits for, for a stall report."""
        return [*self.memory.waiting(), *self.tracker.waiting(), *self.dma.waiting(), *self.out.waiting()]

    def missing(self) -> list[str]:
        """Say what each operation of the program still waits for, for a stall report."""
        held = self.compute.store_buffer.held
        report = [f"{self.name}.Compute: {held} B of stores have not left"] if held else []
        for number, receiver in self.receivers.items():
            report += [f"{self.name}: operation {number} misses {what}" for what in receiver.missing()]
        return report

    def _dma_read(self, nbytes: int, place: Place, done: Action) -> None:
        self.memory.submit(Stream.COMMUNICATION, Access.READ, nbytes, Cause.RS_READ, place, done)
