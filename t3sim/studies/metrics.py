"""Figures that papers report, computed from result rows: one function a metric, one value a sublayer.

Each takes the rows of one sublayer by scheme and the scheme in question. A figure of kernels that share the CUs also
finds, under ``CUS_SHARED``, their times with the collective on some CUs and the GEMM on the others.
"""

from collections.abc import Callable, Mapping

from t3sim.results import Row

CUS_SHARED = "CUs shared"

Rows = Mapping[str, Row]
Metric = Callable[[Rows, str], float]


def speedup(rows: Rows, scheme: str) -> float:
    """Time of sequential / time of the scheme."""
    return float(rows[scheme]["speedup"])


def rs_speedup_from_nmc(rows: Rows, scheme: str) -> float:
    """Time of the reduce-scatter alone as a kernel / by DMA and near-memory updates."""
    del scheme
    return float(rows["ideal-overlap"]["rs_us"] / rows["ideal-overlap-nmc"]["rs_us"])


def ratio_to_ideal_overlap(rows: Rows, scheme: str) -> float:
    """Speedup of the scheme / speedup of ideal overlap."""
    return float(rows[scheme]["speedup"] / rows["ideal-overlap"]["speedup"])


def dram_reduction(rows: Rows, scheme: str) -> float:
    """1 - DRAM bytes of the scheme / of sequential."""
    return float(rows[scheme]["dram_reduction"])


def rs_reads_ratio(rows: Rows, scheme: str) -> float:
    """Reduce-scatter DRAM reads of sequential / of the scheme."""
    return float(rows["sequential"]["dram_rs_read_bytes"] / rows[scheme]["dram_rs_read_bytes"])


def writes_reduction(rows: Rows, scheme: str) -> float:
    """1 - (GEMM and reduce-scatter DRAM writes of the scheme / of sequential)."""
    writes = {
        name: rows[name]["dram_gemm_write_bytes"] + rows[name]["dram_rs_write_bytes"] for name in ("sequential", scheme)
    }
    return float(1 - writes[scheme] / writes["sequential"])


def gemm_reads_ratio(rows: Rows, scheme: str) -> float:
    """GEMM DRAM reads of sequential / of the scheme."""
    return float(rows["sequential"]["dram_gemm_read_bytes"] / rows[scheme]["dram_gemm_read_bytes"])


def all_reduce_overlap(rows: Rows, scheme: str) -> float:
    """Sequential on all CUs / both kernels at once, each on its share of the CUs (T3, Figure 6).

    Neither waits for the other; they share DRAM and links. With nothing shared, each has all CUs and the machine to
    itself: the longer of the two.
    """
    del scheme
    alone = rows["sequential"]
    longer = max(alone["gemm_us"], _all_reduce_us(alone))
    together = rows[CUS_SHARED]["at_once_us"] if CUS_SHARED in rows else longer
    return float((alone["gemm_us"] + _all_reduce_us(alone)) / together)


def all_reduce_slowdown(rows: Rows, scheme: str) -> float:
    """Time of the all-reduce alone on its share of the CUs / on all."""
    del scheme
    return _all_reduce_us(rows[CUS_SHARED]) / _all_reduce_us(rows["sequential"])


def gemm_slowdown(rows: Rows, scheme: str) -> float:
    """Time of the GEMM alone on the CUs that a collective leaves it / on all."""
    del scheme
    return float(rows[CUS_SHARED]["gemm_us"] / rows["sequential"]["gemm_us"])


def communication_share(rows: Rows, scheme: str) -> float:
    """Share of an iteration's time that collectives take."""
    return float(rows[scheme]["communication_share"])


def _all_reduce_us(row: Row) -> float:
    """Time of an all-reduce: a reduce-scatter, then an all-gather."""
    return float(row["rs_us"] + row["ag_us"])


METRICS: Mapping[str, Metric] = {
    metric.__name__: metric
    for metric in (
        speedup,
        rs_speedup_from_nmc,
        ratio_to_ideal_overlap,
        dram_reduction,
        rs_reads_ratio,
        writes_reduction,
        gemm_reads_ratio,
        all_reduce_overlap,
        all_reduce_slowdown,
        gemm_slowdown,
        communication_share,
    )
}
