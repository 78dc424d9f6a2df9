"""What a scheme is, what it may use to answer, and the answer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from t3sim.hardware.machine import GpuReport
from t3sim.hardware.memory.access import Cause
from t3sim.lowering.work import Work
from t3sim.schemes.phases import Phase

KIND = "scheme"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a scheme costs: times in fs, traffic in bytes per GPU (the mean, where GPUs are simulated one by one)."""

    total_fs: int
    gemm_fs: int
    rs_fs: int
    ag_fs: int
    served_bytes: dict[Cause, int]
    link_bytes: int
    dram_busy_fs: int
    link_busy_fs: int
    tracker_peak_entries: int
    gpus: tuple[GpuReport, ...] = ()


def in_sequence(parts: Sequence[Outcome], *, saved_fs: int = 0) -> Outcome:
    """Put outcomes one after the other and take ``saved_fs`` off for what is assumed to overlap."""
    return Outcome(
        total_fs=sum(part.total_fs for part in parts) - saved_fs,
        gemm_fs=sum(part.gemm_fs for part in parts),
        rs_fs=sum(part.rs_fs for part in parts),
        ag_fs=sum(part.ag_fs for part in parts),
        served_bytes={cause: sum(part.served_bytes[cause] for part in parts) for cause in Cause},
        link_bytes=sum(part.link_bytes for part in parts),
        dram_busy_fs=sum(part.dram_busy_fs for part in parts),
        link_busy_fs=sum(part.link_busy_fs for part in parts),
        tracker_peak_entries=max(part.tracker_peak_entries for part in parts),
    )


class Lab(Protocol):
    """Runs phases on a fresh machine of the system under study."""

    def run(self, phases: Sequence[Phase], scheme: str) -> Outcome:
        """Run ``phases`` in order on every GPU, with the arbitration configured for ``scheme``."""

    def alone(self, phase: Phase) -> Outcome:
        """Run one phase with the machine to itself."""


class Scheme(Protocol):
    """A way to execute the work of a sublayer."""

    label: str
    """Name as the paper writes it."""
    order: int
    """Place in tables."""

    def simulate(self, lab: Lab, works: Sequence[Work]) -> Outcome:
        """Execute ``works`` and say what it costs."""
