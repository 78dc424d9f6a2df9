"""Collectives alone on free memory, against ASTRA-sim 2 with its congestion-aware analytical network.

Its links and reductions are as here, with a latency for each hop. Its switch takes each message in full before it
sends it on, where ours passes bytes on as they come: those rows are a group of their own, to be seen and not counted.
"""

import csv
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from t3sim.data import configs_dir
from t3sim.errors import InputError, Problem
from t3sim.processes import Progress, each
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import load_system
from t3sim.simulation.collective import FREE_MEMORY, collective_point, run_collective
from t3sim.units import FS_PER_US
from t3sim.validation.comparison import KIND

_MIB = 2**20
_NS_PER_US = 1000
_HOPS = {"fully-connected": 1, "switch": 2}
"""Links on the way from GPU to GPU, by topology."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRun:
    """One collective in ASTRA-sim."""

    topology: str
    algorithm: str
    op: str
    gpus: int
    total_bytes: int
    link_gbps: int
    """Of one direction, GB = 1e9 B."""
    hop_latency_ns: int
    """Of each link."""
    time_ns: int
    source: str

    @property
    def label(self) -> str:
        """Name it for a reader."""
        return f"{self.op} {self.total_bytes // _MIB} MiB, {self.algorithm} on {self.topology}, n={self.gpus}"

    def simulated_us(self) -> float:
        """Simulate the same."""
        latency = _HOPS[self.topology] * self.hop_latency_ns
        system = load_system(
            overrides=[
                *FREE_MEMORY,
                "link.direction=per_direction",
                f"link.bandwidth={self.link_gbps} GB/s",
                f"link.latency={latency} ns",
                f"topology={{kind: {self.topology}}}",
                f"algorithms={{{self.op}: {self.algorithm}}}",
            ]
        )
        return run_collective(collective_point(system, self.op, self.gpus, self.total_bytes)).total_fs / FS_PER_US


def load_peer_runs(path: Path | None = None) -> tuple[PeerRun, ...]:
    """Load a table of runs; none given: the shipped one. Raises ``InputError`` when it cannot be read."""
    path = path or configs_dir() / "measured" / "network_astra_sim.csv"
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            return tuple(_run(row) for row in csv.DictReader(lines))
    except (OSError, KeyError, TypeError, ValueError) as error:
        message = f"cannot be read as a table of runs: {type(error).__name__}: {error}"
        raise InputError(Problem(message=message, file=str(path))) from None


def _run(row: dict[str, str]) -> PeerRun:
    if row["topology"] not in _HOPS:
        raise ValueError(f"unknown topology {row['topology']!r}; known: {', '.join(_HOPS)}")
    return PeerRun(
        topology=row["topology"],
        algorithm=row["algorithm"],
        op=row["op"],
        gpus=int(row["gpus"]),
        total_bytes=int(row["total_bytes"]),
        link_gbps=int(row["link_gbps"]),
        hop_latency_ns=int(row["hop_latency_ns"]),
        time_ns=int(row["time_ns"]),
        source=row["source"],
    )


@register(KIND, "network-astra-sim")
class AgainstAstraSim:
    """ASTRA-sim's times, by topology; bands by algorithm."""

    against = "network"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Simulate every run of the table."""
        return each(_compared, load_peer_runs(), jobs=jobs, progress=progress, label=attrgetter("label"))


def _compared(run: PeerRun) -> Comparison:
    forwards = run.topology == "switch"
    return Comparison(
        group=f"ASTRA-sim, {run.topology}{' that stores and forwards' if forwards else ''}",
        band=run.algorithm,
        case=run.label,
        quantity="time_us",
        reference=run.time_ns / _NS_PER_US,
        simulated=run.simulated_us(),
        source=run.source,
    )
