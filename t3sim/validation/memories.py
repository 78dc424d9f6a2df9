"""Sublayers on links of many rates, phase by phase: what memory models are compared on.

``benchmarks/fluid_against_banked.py`` sets the fluid memory's times beside those of the banked one.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from t3sim.data import traces_dir
from t3sim.lowering.work import CollectiveWork
from t3sim.schemes.fused import NearMemoryPhase
from t3sim.schemes.kernels import CollectivePhase
from t3sim.schemes.phases import Phase
from t3sim.schemes.sequential import kernel_phase
from t3sim.schemes.t3 import fused_phases
from t3sim.simulation import Point, load_system
from t3sim.simulation.lab import ONE, SystemLab
from t3sim.units import FS_PER_US
from t3sim.workload.operations import Collective, Gemm, Sublayer
from t3sim.workload.trace import load_trace

BASE: Final = ("mega-gpt-2-tp8", "mega-gpt-2-tp16", "t-nlg-tp8", "t-nlg-tp16")
LARGE: Final = ("gpt-3-tp32", "palm-tp32", "mt-nlg-tp32", "futuristic-1t-tp64", "futuristic-10t-tp64")
RATES_GBPS: Final = (37.5, 75.0, 150.0, 300.0, 600.0)
"""Of one direction of a link."""
PHASES: Final = ("gemm", "rs", "ag", "near-memory rs", "t3", "t3-mca")
_RANDOM_SHAPES: Final = 30
_SEED: Final = 24


@dataclass(frozen=True, slots=True)
class Case:
    """A sublayer on links of one rate."""

    sublayer: Sublayer
    rate_gbps: float

    @property
    def name(self) -> str:
        """Name it for a reader."""
        return f"{self.sublayer.label} {self.rate_gbps:g} GB/s"


def cases() -> Iterator[Case]:
    """Give all cases: the shipped sublayers on links of all rates, then random shapes on links of one each."""
    for trace in (*BASE, *LARGE):
        for sublayer in load_trace(trace, folder=traces_dir()).spec.sublayers():
            for rate in RATES_GBPS:
                yield Case(sublayer, rate)
    chance = random.Random(_SEED)  # noqa: S311 - shapes, no secrets
    for number in range(_RANDOM_SHAPES):
        yield Case(_random_sublayer(chance, number), chance.choice(RATES_GBPS))


def _random_sublayer(chance: random.Random, number: int) -> Sublayer:
    rows, columns = (128 * round(2 ** chance.uniform(2, 6)) for _ in range(2))
    depth = 32 * round(2 ** chance.uniform(2, 7))
    gemm = Gemm(
        id="gemm",
        phase="forward",
        sublayer=f"{rows}x{columns}x{depth}",
        M=rows,
        N=columns,
        K_local=depth,
        dtype="fp16",
    )
    scatter = Collective(
        op="reduce_scatter",
        id="rs",
        phase=gemm.phase,
        sublayer=gemm.sublayer,
        bytes=gemm.output_bytes,
        dtype=gemm.dtype,
        after=("gemm",),
    )
    gather = scatter.model_copy(update={"op": "all_gather", "id": "ag", "after": ("rs",)})
    return Sublayer(
        model=f"random-{number}",
        phase="forward",
        sublayer=gemm.sublayer,
        tp=chance.choice((2, 4, 8, 16)),
        operations=(gemm, scatter, gather),
    )


def phase_times(case: Case, system: str, overrides: tuple[str, ...] = ()) -> dict[str, float]:
    """Simulate each phase alone; us by phase."""
    link = ("link.direction=per_direction", f"link.bandwidth={case.rate_gbps:g} GB/s")
    loaded = load_system(system, (*link, *overrides))
    point = Point(system=loaded, sublayer=case.sublayer, gpus=ONE)
    lab = SystemLab(loaded.spec, case.sublayer.tp, ONE)
    gemm, scatter, gather = point.works
    assert isinstance(scatter, CollectiveWork), "a sublayer is a GEMM, its reduce-scatter and its all-gather"
    fused = fused_phases(point.works, loaded.spec.track_trigger)[:1]
    alone: dict[str, Phase] = {
        "gemm": kernel_phase(gemm),
        "rs": CollectivePhase(scatter),
        "ag": kernel_phase(gather),
        "near-memory rs": NearMemoryPhase(scatter),
    }
    times = {name: lab.run([phase], "default").own_fs for name, phase in alone.items()}
    times |= {scheme: lab.run(fused, scheme).own_fs for scheme in ("t3", "t3-mca")}
    return {name: time / FS_PER_US for name, time in times.items()}
