"""Loss buckets: where the time of a sublayer goes, what each is bound by, and how it is computed."""

from dataclasses import dataclass

from t3sim.results.activity import Activity
from t3sim.results.columns import Column, Row
from t3sim.units import FS_PER_US


@dataclass(frozen=True, slots=True)
class Bucket:
    """One place where time goes."""

    name: str
    bound: str
    """What it is bound by: ``compute``, ``DRAM``, ``link`` or ``latency``."""
    meaning: str
    formula: str
    """In parts of ``t3sim.observe.time_parts``, of the run or of the kernel alone."""


def _collective(short: str, operation: str, memory: str) -> tuple[Bucket, ...]:
    exposed = f"{operation}, exposed:"
    return (
        Bucket(f"{short}_fill", "latency", f"{exposed} before the first byte arrives", f"{operation}: fill"),
        Bucket(f"{short}_link", "link", f"{exposed} the wire into the GPU is busy", f"{operation}: link"),
        Bucket(f"{short}_latency", "latency", f"{exposed} data on their way behind the wire", f"{operation}: latency"),
        Bucket(f"{short}_memory", "DRAM", f"{exposed} {memory}, and the wire is idle", f"{operation}: memory"),
        Bucket(
            f"{short}_neighbour", "latency", f"{exposed} waits for the neighbour to send", f"{operation}: neighbour"
        ),
    )


BUCKETS: tuple[Bucket, ...] = (
    Bucket("gemm_compute", "compute", "the GEMM's slabs on all CUs, every operand there in time", "alone: compute"),
    Bucket(
        "gemm_waits",
        "DRAM",
        "waits of the GEMM for operands and stores when the same kernel runs alone",
        "alone: operand_wait + store_wait",
    ),
    Bucket(
        "gemm_pieces",
        "compute",
        "more time of a GEMM that is cut, when its pieces run alone, one by one on all CUs (a gain if negative)",
        "pieces alone - alone: compute + operand_wait + store_wait; `alone` below is the pieces, where there are any",
    ),
    Bucket(
        "gemm_dram_contention",
        "DRAM",
        "more waits for operands than alone: the DRAM serves others too (a gain if negative)",
        "run: operand_wait - alone: operand_wait",
    ),
    Bucket(
        "gemm_store_pressure",
        "DRAM",
        "more waits for stores than alone: memory takes them more slowly (a gain if negative)",
        "run: store_wait - alone: store_wait",
    ),
    Bucket(
        "gemm_link_pressure",
        "link",
        "waits for remote stores, which the link takes more slowly than the GEMM makes them",
        "run: link_wait - alone: link_wait",
    ),
    Bucket(
        "gemm_cus_taken",
        "compute",
        "more time for the same slabs than alone: fewer CUs for the GEMM",
        "run: compute - alone: compute",
    ),
    *_collective("rs", "reduce_scatter", "memory reads and reduces"),
    *_collective("ag", "all_gather", "memory reads and writes"),
    *_collective("other", "other collectives", "memory reads, reduces and writes"),
    Bucket(
        "tracker", "latency", "exposed: updates wait for a tracker entry, nothing else goes on", "collectives: tracker"
    ),
    Bucket("launch", "latency", "launches of all kernels, and what the GPU begins late", "all operations: launch"),
    Bucket("hidden", "", "what an ideal takes as overlapped (negative)", "total - sum of the runs of its phases alone"),
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Buckets put together as one column of results."""

    column: str
    words: str
    """What a reader is told of it."""
    short: str
    """The same for a cell of a map."""
    buckets: tuple[str, ...]


def _of_all(*kinds: str) -> tuple[str, ...]:
    return tuple(f"{short}_{kind}" for short in ("rs", "ag", "other") for kind in kinds)


SPENT: tuple[Spent, ...] = (
    Spent("spent_gemm_us", "slower GEMM", "GEMM", ("gemm_compute", "gemm_waits", "gemm_pieces")),
    Spent("spent_cus_taken_us", "CUs taken", "CUs taken", ("gemm_cus_taken",)),
    Spent(
        "spent_dram_contention_us",
        "DRAM contention",
        "contention",
        ("gemm_dram_contention", "gemm_store_pressure"),
    ),
    Spent(
        "spent_communication_us",
        "exposed communication",
        "exposed",
        ("gemm_link_pressure", *_of_all("fill", "link", "latency"), "ag_memory", "other_memory"),
    ),
    Spent("spent_reduction_us", "exposed final reduction", "reduction", ("rs_memory",)),
    Spent("spent_launch_us", "launch and synchronisation", "launch", ("launch", "tracker", *_of_all("neighbour"))),
)
"""Every bucket but ``hidden``, which is no time of a run, is in one of them."""
BOUNDS = tuple(dict.fromkeys(bucket.bound for bucket in BUCKETS if bucket.bound))
"""What time is bound by."""
BUCKET_COLUMNS = tuple(
    Column(f"{bucket.name}_fs", int, f"fs of a run: {bucket.meaning}", bucket.formula) for bucket in BUCKETS
)
"""The buckets as columns of a table, one run a row."""


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Where the time of one scheme went."""

    scheme: str
    total_fs: int
    buckets: dict[str, int]
    """fs by name, in the order of ``BUCKETS``; the sum is ``total_fs``."""
    activity: Activity
    """What the hardware did meanwhile."""

    @property
    def bound(self) -> str:
        """What most of the time is bound by; empty for an ideal, which is no run."""
        if self.buckets["hidden"]:
            return ""
        return max(BOUNDS, key=self.bound_fs)

    def spent(self) -> Row:
        """Give the columns of results that say where the time went. Only of what is one run, not of an ideal."""
        return {each.column: sum(self.buckets[bucket] for bucket in each.buckets) / FS_PER_US for each in SPENT}

    def bound_fs(self, bound: str) -> int:
        """Time bound by ``bound``, fs."""
        return sum(self.buckets[bucket.name] for bucket in BUCKETS if bucket.bound == bound)
