"""The system under study: the specs of all components, as one file describes them."""

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from t3sim import schemes  # noqa: F401 - registers the schemes whose names are checked below
from t3sim.config import Femtoseconds, Spec, one_of
from t3sim.errors import nearest
from t3sim.hardware.cluster import ClusterSpec
from t3sim.hardware.compute.cus import MOST_CUS, ComputeSpec
from t3sim.hardware.compute.llc import LlcSpec
from t3sim.hardware.conditions import SOUND, ConditionsSpec
from t3sim.hardware.copy_engines import CopyEnginesSpec
from t3sim.hardware.gpu import GpuSpec
from t3sim.hardware.memory.arbitration import KIND as ARBITRATION
from t3sim.hardware.memory.arbitration import ArbitrationPolicy
from t3sim.hardware.memory.banked import spec as banked  # noqa: F401 - the models register themselves
from t3sim.hardware.memory.fluid import in_order_spec as in_order  # noqa: F401 - the models register themselves
from t3sim.hardware.memory.fluid import spec as fluid  # noqa: F401 - the models register themselves
from t3sim.hardware.memory.model import KIND as MEMORY
from t3sim.hardware.memory.model import MemorySpec
from t3sim.hardware.network.link import LinkSpec
from t3sim.hardware.network.topologies import KIND as TOPOLOGY
from t3sim.hardware.network.topologies import Topology
from t3sim.hardware.network.topologies.ring import RingSpec
from t3sim.hardware.t3.dma import DmaSpec
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.hardware.t3.tracker import TrackerSpec
from t3sim.lowering.kernel_choice import GemmRates
from t3sim.lowering.other_kernels import OtherKernelsSpec
from t3sim.lowering.protocol import ProtocolSpec
from t3sim.lowering.tiling import MOST_TILE_EXTENT, GemmKernelSpec
from t3sim.registry import names
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.units import FS_PER_S

if TYPE_CHECKING:
    PolicySpec = ArbitrationPolicy
    MemoryModelSpec = MemorySpec
    TopologyModelSpec = Topology
else:
    TopologyModelSpec = one_of(TOPOLOGY, "kind")
    MemoryModelSpec = one_of(MEMORY, "model")
    PolicySpec = one_of(ARBITRATION, "policy")


MOST_OVERLAP_PIECES = 1024
LEAST_SHARE = 0.001


class SoftwareSpec(Spec):
    """What runs collectives, and how kernels share a GPU."""

    libraries: tuple[str, ...] = ()
    """Libraries whose kernels are run, by ``library`` of a protocol; none: those of all."""
    host_overhead: Femtoseconds = 0
    """From the call of a collective to its kernel's launch, where the GPU waits for the host."""
    overlap_pieces: Annotated[int, Field(gt=0, le=MOST_OVERLAP_PIECES)] = 4
    """Pieces that ``stream-overlap`` cuts a GEMM into, along M."""
    overlap_cus: Annotated[int, Field(gt=0, le=MOST_CUS)] = 16
    """CUs that its collectives take from the GEMM that they run beside."""
    cu_sharing: Literal["fixed", "collective-first", "gemm-first"] = "fixed"
    """How its kernels at once share CUs: a split for as long as both run, or whose workgroups take what comes free."""
    collectives_displace: bool = False
    """Whether what its collectives move takes places in the LLC beside a GEMM's operands, or streams past them."""
    event_overhead: Femtoseconds = 0
    """From a kernel's end until a stream that waits for its event launches the next kernel."""
    scatter_overhead: Femtoseconds = 0
    """Before each piece of a GEMM that `async-tp` decomposes, beside its launch: the host's part, barriers, events."""
    gather_overhead: Femtoseconds = 0
    """The same before each piece of a GEMM whose input `async-tp` gathers."""
    gather_rows: Annotated[int, Field(gt=0, le=MOST_TILE_EXTENT)] | None = None
    """Rows of an input that `fused-sw` gathers with one copy and one flag; none: a GPU's rows at once."""
    reduction_share: Annotated[float, Field(ge=LEAST_SHARE, le=1)] = 1.0
    """Of the DRAM's peak that the last sum of a rival moves on an idle GPU, at most; 1: as its CUs can."""
    scatter_floor: Femtoseconds = 0
    """What the host takes to issue a rival's GEMM, copies and sums of a reduce-scatter: it does not end before that."""


class SystemSpec(Spec):
    """N equal GPUs on a network."""

    name: str
    """Name in results."""
    description: str = ""
    """One line for a reader."""
    compute: ComputeSpec
    """The CUs."""
    gemm: GemmKernelSpec
    """GEMM kernels."""
    other_kernels: OtherKernelsSpec = Field(default_factory=OtherKernelsSpec)
    """Kernels that are neither GEMMs nor collectives."""
    llc: LlcSpec
    """The last-level cache."""
    memory: MemoryModelSpec
    """DRAM, by one of the memory models."""
    tracker: TrackerSpec
    """T3's tracker."""
    dma: DmaSpec
    """The DMA engine that the tracker triggers."""
    copy_engines: CopyEnginesSpec = Field(default_factory=CopyEnginesSpec)
    """Engines that software has copy between GPUs."""
    track_trigger: TrackTriggerSpec = Field(default_factory=TrackTriggerSpec)
    """Which parts of T3's mechanism there are."""
    link: LinkSpec
    """A GPU's link to a neighbour, or to a switch."""
    topology: TopologyModelSpec = Field(default_factory=RingSpec)
    """How the GPUs are wired."""
    algorithms: dict[str, str] = Field(default_factory=dict)
    """Algorithm by collective; those that are not named take the one that suits the topology."""
    protocols: dict[str, ProtocolSpec] = Field(default_factory=dict)
    """What collective kernels may run with; none: they cost their launch and what is simulated."""
    software: SoftwareSpec = Field(default_factory=SoftwareSpec)
    """Which of them are run, and what the host adds."""
    arbitration: dict[str, PolicySpec]
    """Policy of the memory controller by scheme; ``default`` is for those that are not named."""
    cluster: ClusterSpec = Field(default_factory=ClusterSpec)
    """The nodes around it, as far as whole models need them."""
    conditions: ConditionsSpec = SOUND
    """What is wrong with GPUs and links."""

    @field_validator("arbitration")
    @classmethod
    def _known_schemes(cls, value: dict[str, ArbitrationPolicy]) -> dict[str, ArbitrationPolicy]:
        known = (*names(SCHEME), "default")
        for name in value:
            if name not in known:
                near = nearest(name, known)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise ValueError(f"{name!r} is no scheme{hint}; known: {', '.join(known)}")
        if "default" not in value:
            raise ValueError("needs a policy under 'default'")
        return value

    @model_serializer(mode="wrap")
    def _with_conditions_if_any(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not wrong: a sound system is the same value as one without the section."""
        data: dict[str, Any] = handler(self)
        if self.conditions == SOUND:
            data.pop("conditions", None)
        return data

    def gpu(self) -> GpuSpec:
        """Collect what one GPU is built from."""
        return GpuSpec(
            compute=self.compute,
            gemm=self.gemm,
            llc=self.llc,
            memory=self.memory,
            tracker=self.tracker,
            dma=self.dma,
            copy_engines=self.copy_engines,
            track_trigger=self.track_trigger,
            protocols=self.available_protocols(),
            host_overhead=self.software.host_overhead,
            reduction_share=self.software.reduction_share,
        )

    def available_protocols(self) -> dict[str, ProtocolSpec]:
        """Pick those of the libraries that are run; for an algorithm asked for by its name, those of any library."""
        run, asked = self.software.libraries, set(self.algorithms.values())
        return {
            name: protocol
            for name, protocol in self.protocols.items()
            if not run or protocol.library in run or protocol.algorithm in asked
        }

    def gemm_rates(self) -> GemmRates:
        """Collect what the choice among GEMM kernels has to know."""
        compute, llc = self.compute, self.llc
        per_cu = compute.sustained_fraction * compute.clock
        return GemmRates(
            cus=compute.cus,
            flops_per_s={dtype: flops * per_cu for dtype, flops in compute.matrix_flops_per_cycle.items()},
            llc_bytes_per_s=math.inf if llc.bandwidth is None else llc.bandwidth,
            llc_bytes=llc.capacity,
            dram_bytes_per_s=self.memory.peak_bytes_per_s,
            load_latency_s=self.memory.load_latency / FS_PER_S,
            stage_overhead_s=compute.stage_overhead / FS_PER_S,
        )

    def policy(self, scheme: str) -> ArbitrationPolicy:
        """Name the memory controller's policy under ``scheme``."""
        return self.arbitration.get(scheme, self.arbitration["default"])
