"""Bandwidths of collectives as nccl-tests gives them: of the buffer, and of the busiest wire that it has to cross.

    algbw = bytes / time
    busbw = algbw x factor, with n GPUs: 2(n-1)/n for an all-reduce; (n-1)/n for a reduce-scatter, an all-gather and an
            all-to-all; 1 for a broadcast and a send

The factor makes ``busbw`` comparable with the rate of a link, whatever the number of GPUs: it is the share of the
buffer that each GPU has to send at least. Bytes are those of the whole buffer; of an all-to-all, of one GPU's.

Source: nccl-tests, doc/PERFORMANCE.md.
"""

from collections.abc import Iterable
from fractions import Fraction

from t3sim.collectives.plan import Operation
from t3sim.results import Row
from t3sim.units import FS_PER_S
from t3sim.workload.operations import Collective, Gemm

_GIGA = 10**9
_PASSES = {
    Operation.ALL_REDUCE: 2,
    Operation.REDUCE_SCATTER: 1,
    Operation.ALL_GATHER: 1,
    Operation.ALL_TO_ALL: 1,
}
"""Of those that leave each GPU's own share where it is: how often the rest crosses its link."""


def bus_factor(operation: str, gpus: int) -> Fraction:
    """Bus bandwidth of a collective over its algorithm bandwidth."""
    passes = _PASSES.get(Operation(operation))
    return Fraction(1) if passes is None else Fraction(passes * (gpus - 1), gpus)


def bandwidths(operations: Iterable[Gemm | Collective], gpus: int, time_fs: int) -> Row:
    """Give ``algbw_gbps`` and ``busbw_gbps`` of the collectives that take ``time_fs`` in all; ``None`` for no time."""
    collectives = [op for op in operations if isinstance(op, Collective)]
    if not time_fs or not collectives:
        return {"algbw_gbps": None, "busbw_gbps": None}
    per_gigabyte = Fraction(FS_PER_S, _GIGA * time_fs)
    return {
        "algbw_gbps": float(sum(op.bytes for op in collectives) * per_gigabyte),
        "busbw_gbps": float(sum(op.bytes * bus_factor(op.op, gpus) for op in collectives) * per_gigabyte),
    }
