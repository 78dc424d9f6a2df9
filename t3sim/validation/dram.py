"""One DRAM channel against a table of runs of another simulator: bandwidth and mean read latency."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from t3sim.data import configs_dir
from t3sim.hardware.memory.banked.dram.spec import DramSpec
from t3sim.hardware.memory.banked.dram.stream import run_stream
from t3sim.hardware.memory.banked.mappings import KIND as MAPPING
from t3sim.processes import Progress, each
from t3sim.registry import get, register
from t3sim.results.comparison import Comparison
from t3sim.validation.comparison import KIND
from t3sim.validation.dram_patterns import REQUEST_BYTES, RequestStream, family, request_stream
from t3sim.validation.dram_table import ReferenceRun, ReferenceTable, load_table

SHIPPED = configs_dir() / "measured" / "dram_channels.csv"


@register(KIND, "dram")
@dataclass(frozen=True)
class DramChannel:
    """Saturating and paced streams, by organisation, address mapping and scheduler."""

    against = "dram"
    table: ReferenceTable = field(default_factory=lambda: load_table(SHIPPED))

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:
        """Send every stream of the table through a channel."""
        pairs = [(run, self.table.drams[run.dram]) for run in self.table.runs]
        found = each(_run, pairs, jobs=jobs, progress=progress, label=lambda pair: _case(pair[0]), group=_stream_of)
        return [comparison for of_one in found for comparison in of_one]


def _run(pair: tuple[ReferenceRun, DramSpec]) -> list[Comparison]:
    run, dram = pair
    return _compared(run, *_simulated(run, dram, _stream(*_stream_of(pair))))


def _stream_of(pair: tuple[ReferenceRun, DramSpec]) -> tuple[str, int, int]:
    """Give what a stream of requests is made from: several runs share one."""
    run, dram = pair
    return run.stream, run.requests, REQUEST_BYTES * dram.clock // dram.peak_bytes_per_s


_stream = lru_cache(maxsize=64)(request_stream)


def _compared(run: ReferenceRun, gbps: float, latency_ns: float | None) -> list[Comparison]:
    figures = [("bandwidth_gbps", run.bandwidth_gbps, gbps)]
    if run.read_latency_ns is not None and latency_ns is not None:
        figures.append(("read_latency_ns", run.read_latency_ns, latency_ns))
    return [
        Comparison(
            group=f"{run.dram} {run.mapping} {run.scheduler}",
            band=family(run.stream),
            case=_case(run),
            quantity=quantity,
            reference=reference,
            simulated=ours,
            source=run.source,
        )
        for quantity, reference, ours in figures
    ]


def _simulated(run: ReferenceRun, dram: DramSpec, stream: RequestStream) -> tuple[float, float | None]:
    """Bandwidth (10^9 B/s) and mean latency of read accesses (ns; ``None`` without) of a run in the model."""
    accesses = REQUEST_BYTES // dram.access
    address = (stream.address[:, None] + dram.access * np.arange(accesses)).reshape(-1)
    kind, arrival = (np.repeat(part, accesses) for part in (stream.kind, stream.arrival))
    mapping: Any = get(MAPPING, run.mapping)
    report = run_stream(dram, run.control, mapping(), address, kind, arrival)
    return report.bytes_per_s / 10**9, report.read_latency_ns


def _case(run: ReferenceRun) -> str:
    refresh = "refresh" if run.refresh else "no refresh"
    queues = f"queues {run.read_entries}/{run.write_entries}"
    return f"{run.stream}, {refresh}, {queues}, writes {run.drain_to:g} to {run.drain_from:g}"
