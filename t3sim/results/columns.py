"""The columns of the results table: name, unit, meaning and formula of each."""

import re
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the results table."""

    name: str
    kind: type
    meaning: str
    """What it says, with its unit."""
    formula: str = ""
    """How it follows from the run or from other columns; empty for what is given or named."""

    @property
    def unit(self) -> str:
        """Unit of its values, as the name says; a pure number has the unit 1, and text none."""
        if self.kind is str:
            return ""
        return next((unit for suffix, unit in _UNITS.items() if self.name.endswith(suffix)), "1")


_SHORT = {"reduce_scatter": "rs", "all_gather": "ag", "all_reduce": "ar", "all_to_all": "a2a"}
USUAL_OPERATIONS = ("gemm", "reduce_scatter", "all_gather")
"""Operations that have columns in every table; others have theirs where they ran."""


def short_name(operation: str) -> str:
    """Name of an operation in the names of columns: ``rs`` for ``reduce_scatter``."""
    return _SHORT.get(operation, operation)


_UNITS = {
    **dict.fromkeys(("_us", "_us_min", "_us_p50", "_us_p99"), "us"),
    "_fs": "fs",
    **dict.fromkeys(("_bytes", "_bytes_max"), "B"),
    "_gbps": "GB/s",
    "_s": "s",
    "pct_of_ideal": "%",
}


def _command(name: str, meaning: str, counted: str) -> Column:
    """Describe the count of one kind of command or access of the DRAM."""
    formula = f"{counted}, of the simulated channels x channels / simulated channels"
    return Column(f"dram_{name}", int, f"{meaning}; empty for memory without rows", formula)


def _spent(name: str, meaning: str, buckets: str) -> Column:
    """Describe one part of a run's time; all of them add up to ``total_us``."""
    told = f"us: {meaning}; only of the fastest of what a sweep's `losses` names"
    return Column(f"spent_{name}_us", float, told, f"sum of the loss buckets {buckets}")


COLUMNS: tuple[Column, ...] = (
    Column(
        "point_id",
        str,
        "hash of the resolved system, the operations and the GPUs simulated; equal for all schemes",
    ),
    Column("status", str, "ok or failed"),
    Column("system", str, "name of the system"),
    Column("model", str, "name of the model the trace was made from"),
    Column("phase", str, "forward or backward; with sequence parallelism each sublayer has both"),
    Column("sublayer", str, "op, fc2, fc1, ip, or as the trace labels it"),
    Column("tp", int, "tensor-parallel degree: GPUs in the group"),
    Column("num_gpus", int, "GPUs that the result stands for"),
    Column("topology", str, "how the GPUs are wired: kind of the system's topology"),
    Column("M", int, "rows of the GEMM's output (tokens)"),
    Column("N", int, "columns of the GEMM's output"),
    Column("K_local", int, "reduction length on one GPU"),
    Column("dtype", str, "element type"),
    Column("scheme", str, "how GEMM and collective are executed"),
    Column(
        "gemm_us",
        float,
        "us from the GEMM's launch to its last store; in sequential, until that is written back",
        "largest over the GPUs of: sum over its GEMMs of (end - start)",
    ),
    Column(
        "rs_us",
        float,
        "us of the reduce-scatter: alone, or from its first to its last byte where overlapped",
        "largest over the GPUs of: sum over its reduce-scatters of (end - start)",
    ),
    Column(
        "ag_us", float, "us of the all-gather", "largest over the GPUs of: sum over its all-gathers of (end - start)"
    ),
    Column(
        "total_us",
        float,
        "us from start to the end of the last operation",
        "end of the last operation of the last GPU; ideals: max(gemm_us, rs_us) + ag_us, each alone",
    ),
    Column("exposed_comm_us", float, "us in which no GEMM runs", "total_us - gemm_us"),
    Column("speedup", float, "how many times faster than sequential", "total_us of sequential / total_us"),
    Column(
        "pct_of_ideal",
        float,
        "share of what an ideal overlap would gain; near-memory compute can take it above 100",
        "100 x (speedup - 1) / (speedup of ideal-overlap - 1)",
    ),
    Column(
        "dram_gemm_read_bytes",
        int,
        "operand bytes read from DRAM per GPU",
        "sum over stages and slabs of the LLC's misses",
    ),
    Column(
        "dram_gemm_write_bytes",
        int,
        "output bytes the GEMM writes to its own DRAM, per GPU",
        "t3: output x (N - 1) / N in chunks; else all of it",
    ),
    Column(
        "dram_rs_read_bytes",
        int,
        "bytes the reduce-scatter reads per GPU",
        "chunks: 2N - 1 as a kernel, N - 2 fused; 3N - 4 fused without near-memory compute",
    ),
    Column(
        "dram_rs_write_bytes",
        int,
        "bytes the reduce-scatter writes or updates per GPU",
        "chunks: N as a kernel, N - 1 fused; 2N - 2 fused without near-memory compute",
    ),
    Column("dram_ag_read_bytes", int, "bytes the all-gather reads per GPU", "chunks: N - 1"),
    Column("dram_ag_write_bytes", int, "bytes the all-gather writes per GPU", "chunks: N - 1"),
    Column("dram_total_bytes", int, "bytes the DRAM serves per GPU", "sum of the six dram_*_bytes"),
    Column(
        "dram_reduction",
        float,
        "share of sequential's DRAM traffic that is saved",
        "1 - dram_total_bytes / that of sequential",
    ),
    Column("link_bytes", int, "bytes a GPU sends", "sum over its messages; mean of the GPUs"),
    Column(
        "dram_util",
        float,
        "share of the time in which the DRAM serves accesses or turns its bus",
        "busy time / total_us",
    ),
    Column("link_util", float, "share of the time in which the link is sending", "busy time / total_us"),
    Column("tracker_peak_entries", int, "most tracker entries in use at once", "largest over time and GPUs"),
    Column("wall_s", float, "seconds of real time the simulation of this row took"),
    Column("version", str, "version of t3sim"),
    Column("config_hash", str, "hash of the system's values"),
    Column("seed", int, "seed of the run, or the first of several; without conditions nothing is random"),
    Column("error_type", str, "of a failed row"),
    Column("error_message", str, "of a failed row"),
    Column(
        "algbw_gbps",
        float,
        "GB/s of its collectives' buffers (GB = 1e9 B)",
        "sum over its collectives of bytes / (rs_us + ag_us + the time of any other)",
    ),
    Column(
        "busbw_gbps",
        float,
        "GB/s that each GPU's link needs at least for that, as nccl-tests defines it",
        "as algbw_gbps, bytes times 2(N - 1)/N for all_reduce, 1 for broadcast and send, else (N - 1)/N",
    ),
    Column("wire_bytes_max", int, "bytes that the link with the most of them carried", "largest over the links"),
    Column("gpus_simulated", int, "GPUs that were simulated", "1 where one stands for all, else num_gpus"),
    Column("total_us_min", float, "smallest total_us of all seeds that were run", "smallest over the seeds"),
    Column(
        "total_us_p50", float, "total_us of the median seed, which the row is of", "rank ceil(seeds / 2) of the seeds"
    ),
    Column("total_us_p99", float, "total_us that 99% of the seeds stay within", "rank ceil(0.99 x seeds) of the seeds"),
    Column("seeds", int, "seeds that were run; more than one only where something is random"),
    Column(
        "data_errors",
        int,
        "elements that are missing, doubled or misplaced in memory; only with --data",
        "over all GPUs and operations: elements that differ from numpy's answer when an operation ends, or at the end",
    ),
    Column(
        "data_spread",
        float,
        "largest relative error of a sum by rounding, in the order in which it was added up; only with --data-dtype",
        "largest over all sums of: |sum rounded at every addition - sum in fp64| / sum in fp64",
    ),
    _command("activates", "rows opened in the banks of a GPU's DRAM", "ACT commands"),
    _command("precharges", "rows closed for another one of their bank, per GPU", "PRE commands of one bank"),
    _command("refreshes", "refreshes of a channel per GPU", "REF commands; each closes all banks of its channel"),
    _command("row_hits", "DRAM accesses per GPU whose row was open", "accesses without a command before theirs"),
    _command("row_misses", "DRAM accesses per GPU whose bank was closed", "accesses for which ACT came first"),
    _command("row_conflicts", "DRAM accesses per GPU for which a row was closed", "accesses for which PRE came first"),
    Column(
        "llc_hit_bytes",
        int,
        "operand bytes that GEMM workgroups read from the LLC, per GPU",
        "sum over workgroups of (tile rows + tile columns) x K x element bytes, less llc_missed_bytes",
    ),
    Column(
        "llc_missed_bytes",
        int,
        "operand bytes of GEMM workgroups that the LLC reads from DRAM, per GPU; stores and collectives pass it by",
        "sum over stages and slabs of the LLC's misses",
    ),
    Column(
        "cu_busy_gemm_us",
        float,
        "us in which GEMM workgroups hold a CU, added up over the CUs of a GPU",
        "sum over stages of (first load to stores gone) x min(CUs, workgroups); split-K's sum on all CUs",
    ),
    Column(
        "cu_busy_collective_us",
        float,
        "us in which workgroups of collectives hold a CU, added up over the CUs of a GPU",
        "kernels: collective_cus x (end - start, without the launch); sums of CUs under T3: one CU a tile; DMA: none",
    ),
    Column(
        "wire_bytes",
        int,
        "bytes that all links carry, per GPU; without flags and what is sent again",
        "sum over the links of the bytes of all messages on them / GPUs; on every link of its way a message counts",
    ),
    Column("tuned", str, "keys of software and the values that made the scheme fastest; only with --tune"),
    Column("untuned_us", float, "time of the same with nothing tuned; only with --tune", "total_us of its own run"),
    _spent("gemm", "the GEMM's kernel alone, in the pieces that it is cut into", "gemm_compute gemm_waits gemm_pieces"),
    _spent("cus_taken", "more time of the GEMM on the CUs that others leave it", "gemm_cus_taken"),
    _spent(
        "dram_contention",
        "more waits of the GEMM for operands and stores, since the DRAM serves others too",
        "gemm_dram_contention gemm_store_pressure",
    ),
    _spent(
        "communication",
        "exposed communication: wires, what is on its way, memory of all but reduce-scatters; waits to store remotely",
        "gemm_link_pressure, fill, link and latency of all collectives, ag_memory other_memory",
    ),
    _spent("reduction", "exposed final reduction: memory reads and reduces, and the wire is idle", "rs_memory"),
    _spent(
        "launch",
        "exposed launches and synchronisation: kernels, the host's part, waits for a neighbour or a tracker entry",
        "launch tracker, neighbour of all collectives",
    ),
)

_OF_OPERATION = re.compile(r"dram_\w+_(read|write)_bytes|\w+_us")
GLOSSARY: dict[str, Column] = {column.name: column for column in COLUMNS}
COLUMN_NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)


def complete(values: Row) -> Row:
    """Put ``values`` into the order of the columns; what is missing is ``None``.

    Raises ``KeyError`` for a value that no column declares.
    """
    more = sorted(values.keys() - set(COLUMN_NAMES))
    if unknown := [name for name in more if not _OF_OPERATION.fullmatch(name)]:
        raise KeyError(f"no column for {unknown}")
    return {name: values.get(name) for name in (*COLUMN_NAMES, *more)}
