"""Loss buckets: where the time of a sublayer went under a scheme, in fs that add up to its time exactly.

A run is split into parts by ``t3sim.observe.time_parts``. The GEMM's parts are then compared with those of the same
kernel alone (the same order of workgroups and the same local updates, but no communication): what it takes alone is
the kernel's own. Where a scheme cuts it, its pieces are run alone, too, one by one on all CUs: what they take more is
the price of the cut. The rest is what running beside the collective cost. All these differences may be negative: a
gain.
A scheme that is put together from runs of its phases alone has one more bucket, ``hidden``: what it takes as
overlapped, as a negative number. A full tracker holds up counts, not stores, so it can lengthen what is exposed after
the GEMM, and never the GEMM itself. Kernels follow one another without synchronisation other than the data they wait
for: that wait is ``neighbour``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from t3sim.collectives.planning import NetworkFacts
from t3sim.errors import SimulationError
from t3sim.hardware.t3.mechanism import TrackTriggerSpec
from t3sim.lowering.work import Work
from t3sim.observe import Recorder
from t3sim.observe.time_parts import TimePart, last_gpu, split
from t3sim.registry import get
from t3sim.results.losses import BUCKETS, Losses
from t3sim.schemes.phases import Phase, gemm_alone, pieces_alone
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Outcome, Scheme, Sharing, Speeds
from t3sim.simulation.activity import activity_of
from t3sim.simulation.lab import SystemLab
from t3sim.workload.operations import Collective, Gemm

_SHORT = {"reduce_scatter": "rs", "all_gather": "ag"}
_OTHER = "other"


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    phases: tuple[Phase, ...]
    recorder: Recorder
    outcome: Outcome


class RecordingLab:
    """A ``t3sim.schemes.scheme.Lab`` that keeps the records of what a scheme runs on it."""

    def __init__(self, lab: SystemLab) -> None:
        self.lab = lab
        self.used: list[_Run] = []
        """Runs that the current scheme is made of."""
        self._alone: dict[Phase, _Run] = {}

    @property
    def track_trigger(self) -> TrackTriggerSpec:
        """Which parts of T3's mechanism the system has."""
        return self.lab.track_trigger

    @property
    def facts(self) -> NetworkFacts:
        """What algorithms may know of the system's network."""
        return self.lab.facts

    def run(self, phases: Sequence[Phase], scheme: str) -> Outcome:
        """Run ``phases`` in order on every GPU, with the arbitration configured for ``scheme``."""
        self.used.append(self._record(phases, scheme))
        return self.used[-1].outcome

    @property
    def sharing(self) -> Sharing:
        """How kernels that run at once divide the CUs."""
        return self.lab.sharing

    @property
    def speeds(self) -> Speeds:
        """What software that tunes itself knows of the system."""
        return self.lab.speeds

    def lower(self, operations: Sequence[Gemm | Collective]) -> tuple[Work, ...]:
        """Lower other operations than the sublayer's."""
        return self.lab.lower(operations)

    def alone(self, phase: Phase) -> Outcome:
        """Run one phase with the machine to itself; the same phase is run, and counts, once."""
        run = self.recorded_alone(phase)
        if run not in self.used:
            self.used.append(run)
        return run.outcome

    def recorded_alone(self, phase: Phase) -> _Run:
        """Run one phase with the machine to itself for comparison."""
        if phase not in self._alone:
            self._alone[phase] = self._record([phase], "default")
        return self._alone[phase]

    def _record(self, phases: Sequence[Phase], scheme: str) -> _Run:
        recorders: list[Recorder] = []
        self.lab.observe = lambda machine: recorders.append(Recorder(machine))
        outcome = self.lab.run(phases, scheme)
        return _Run(tuple(phases), recorders[0], outcome)


def losses_of(lab: SystemLab, works: Sequence[Work], schemes: Iterable[str]) -> list[Losses]:
    """Split the time that ``works`` take on ``lab`` under each of ``schemes``; the lab's own observer is replaced.

    Raises ``SimulationError`` when a run fails its own checks or its parts do not add up to its time.
    """
    recording = RecordingLab(lab)
    return [_losses(recording, works, name) for name in schemes]


def _losses(lab: RecordingLab, works: Sequence[Work], name: str) -> Losses:
    lab.used = []
    scheme: Scheme = get(SCHEME, name)()
    outcome = scheme.simulate(lab, works)
    total = outcome.total_fs
    buckets = dict.fromkeys((bucket.name for bucket in BUCKETS), 0)
    for run in lab.used:
        found = _buckets(lab, run)
        if sum(found.values()) != run.outcome.total_fs:
            raise SimulationError(f"{name}: {sum(found.values())} fs in buckets, {run.outcome.total_fs} fs in the run")
        for bucket, length in found.items():
            buckets[bucket] += length
    # One run is the scheme; several are put together by it, less what it takes as overlapped.
    buckets["hidden"] = total - sum(buckets.values())
    return Losses(scheme=name, total_fs=total, buckets=buckets, activity=activity_of(outcome))


def _buckets(lab: RecordingLab, run: _Run) -> dict[str, int]:
    gpu = last_gpu(run.recorder)
    whole: Counter[TimePart] = Counter()
    pieces: Counter[TimePart] = Counter()
    for phase in run.phases:
        if (alone := gemm_alone(phase)) is not None:
            for total, kernels in ((whole, (alone,)), (pieces, pieces_alone(phase) or (alone,))):
                for kernel in kernels:
                    total.update(_parts_alone(lab, run, kernel, gpu.gpu.index))
    parts = split(gpu)
    return {**_gemm(parts, whole, pieces), **_collectives(parts)}


def _parts_alone(lab: RecordingLab, run: _Run, phase: Phase, rank: int) -> Mapping[TimePart, int]:
    """Split the time of a kernel that has the machine to itself, on the GPU ``rank``."""
    reference = run if run.phases == (phase,) else lab.recorded_alone(phase)
    # A kernel that is the same on all GPUs is run on one for them, also where the whole run takes all.
    records = {record.gpu.index: record for record in reference.recorder.gpus}
    return split(records.get(rank, reference.recorder.gpus[0]))


def _gemm(
    parts: Mapping[TimePart, int], whole: Mapping[TimePart, int], pieces: Mapping[TimePart, int]
) -> dict[str, int]:
    """Compare the GEMMs of a run with the same alone, whole and in pieces; without these, all is the kernel's own."""

    def of(kind: str) -> tuple[int, int, int]:
        part = TimePart("gemm", kind)
        here = parts.get(part, 0)
        own, cut = (whole.get(part, 0), pieces.get(part, 0)) if whole else (here, here)
        return own, cut - own, here - cut

    compute, slower, cus_taken = of("compute")
    operands, more_operands, contention = of("operand_wait")
    stores, more_stores, pressure = of("store_wait")
    link, more_link, link_pressure = of("link_wait")
    return {
        "gemm_compute": compute,
        "gemm_waits": operands + stores + link,
        "gemm_pieces": slower + more_operands + more_stores + more_link,
        "gemm_dram_contention": contention,
        "gemm_store_pressure": pressure,
        "gemm_link_pressure": link_pressure,
        "gemm_cus_taken": cus_taken,
    }


def _collectives(parts: Mapping[TimePart, int]) -> dict[str, int]:
    found = {"tracker": 0, "launch": 0}
    for part, length in parts.items():
        if part.operation == "gemm":
            if part.kind == "launch":
                found["launch"] += length
            continue
        name = part.kind if part.kind in found else f"{_SHORT.get(part.operation, _OTHER)}_{part.kind}"
        found[name] = found.get(name, 0) + length
    return found
