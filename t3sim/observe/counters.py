"""Counters over time, in bins of equal width: DRAM and link rates, entries of the DRAM queue and of the tracker."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from t3sim.hardware.memory.access import Cause
from t3sim.observe.recorder import UNKNOWN, GpuRecord, PacketRecord
from t3sim.results import USUAL_OPERATIONS, short_name
from t3sim.results.timeline import Counter
from t3sim.units import FS_PER_US, ceil_div

Floats = NDArray[np.float64]

_LEAST_BIN_FS = FS_PER_US  # about one slab's loads; narrower bins show single bursts, which have slices of their own
MOST_BINS = 4000
"""As many as a viewer draws with ease."""
_GB_PER_S = 10**6  # GB/s in a byte per fs


def bin_width_fs(end_fs: int, most_bins: int = MOST_BINS) -> int:
    """Width of the bins of a run that ends at ``end_fs``: whole us, so wide that there are at most ``most_bins``."""
    return max(1, ceil_div(end_fs, most_bins * _LEAST_BIN_FS)) * _LEAST_BIN_FS


def counters(gpu: GpuRecord, end_fs: int, most_bins: int = MOST_BINS) -> list[Counter]:
    """Compute the counters of one GPU.

    A rate is the bytes of a bin by its width: DRAM bytes count while they are served, link bytes while they are on
    the wire, or arrive from it. Queue and tracker show the most entries of a bin.
    """
    width = bin_width_fs(end_fs, most_bins)
    edges = np.arange(0, end_fs + width, width, dtype=np.int64)

    def rates(name: str, columns: dict[str, Floats]) -> Counter:
        values = np.stack(list(columns.values()), axis=1) * (_GB_PER_S / width)
        return _counter(name, tuple(columns), edges, values)

    served = _served(gpu, edges)
    return [
        *([rates("DRAM GB/s", served)] if served else []),
        rates("link GB/s", {"out": _carried(gpu.packets, edges, 0), "in": _carried(gpu.received, edges, 1)}),
        _most("DRAM queue entries", "entries", [(s.time_fs, s.queue_entries) for s in gpu.dram], edges),
        _most("tracker entries", "entries", [(s.time_fs, s.entries) for s in gpu.tracker], edges),
        _most(
            "updates waiting for a tracker entry",
            "updates",
            [(s.time_fs, s.waiting_updates) for s in gpu.tracker],
            edges,
        ),
    ]


def _counter(name: str, series: tuple[str, ...], edges: NDArray[np.int64], values: Floats) -> Counter:
    """Keep the bins in which something changes, and close with zeros."""
    closed = np.concatenate([values, np.zeros((1, values.shape[1]))])
    changed = np.concatenate([[True], np.any(np.diff(closed, axis=0) != 0, axis=1)])
    rows = [tuple(row) for row in closed[changed].tolist()]
    return Counter(name, series, edges[changed].tolist(), rows)


def _served(gpu: GpuRecord, edges: NDArray[np.int64]) -> dict[str, Floats]:
    """DRAM bytes in each bin by cause, in the order in which causes appeared."""
    latest = {sample.time_fs: sample.served_bytes for sample in gpu.dram}
    latest.setdefault(0, {})
    times = sorted(latest)
    causes = dict.fromkeys(cause for time in times for cause in latest[time])
    moments = np.array(times, np.float64)
    return {
        f"{short_name(cause.operation)} {cause.direction}": np.diff(
            np.interp(edges, moments, np.array([latest[time].get(cause, 0) for time in times], np.float64))
        )
        for cause in sorted(causes, key=_order)
    }


def _order(cause: Cause) -> tuple[int, str, str]:
    usual = cause.operation in USUAL_OPERATIONS
    return (USUAL_OPERATIONS.index(cause.operation) if usual else len(USUAL_OPERATIONS), *cause)


def _carried(packets: Iterable[PacketRecord], edges: NDArray[np.int64], arriving: int) -> Floats:
    """Link bytes in each bin, when they leave or (``arriving`` = 1) a latency later; a GPU's links add up."""
    total = np.zeros(len(edges) - 1)
    spans = []
    for packet in packets:
        if packet.delivered_fs != UNKNOWN:
            start, end = packet.wire_start_fs, packet.wire_end_fs
            if arriving:
                start, end = packet.delivered_fs - (packet.last_end_fs - packet.last_start_fs), packet.delivered_fs
            spans.append((start, end, packet.nbytes))
    for lane in _apart(spans):
        times = np.array([time for start, end, _ in lane for time in (start, end)], np.float64)
        steps = np.array([step for _, _, nbytes in lane for step in (0, nbytes)], np.float64)
        total += np.diff(np.interp(edges, times, np.cumsum(steps)))
    return total


def _apart(spans: Iterable[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Divide spans into lists in which none overlap, each in order."""
    lanes: list[list[tuple[int, int, int]]] = []
    for span in sorted(spans):
        lane = next((lane for lane in lanes if lane[-1][1] <= span[0]), None)
        if lane is None:
            lanes.append([span])
        else:
            lane.append(span)
    return lanes


def _most(name: str, series: str, samples: Sequence[tuple[int, int]], edges: NDArray[np.int64]) -> Counter:
    """Largest value in each bin; a bin without samples keeps the value before it."""
    values = np.zeros((len(edges) - 1, 1))
    width = int(edges[1] - edges[0])
    before, last = 0, 0
    for time, value in samples:
        at = min(time // width, len(values) - 1)
        if at > before:
            values[before + 1 : at + 1] = last
            before = at
        values[at] = max(values[at, 0], value)
        last = value
    values[before + 1 :] = last
    return _counter(name, (series,), edges, values)
