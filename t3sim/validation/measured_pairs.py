"""A GEMM and its collective that somebody measured, as a sublayer."""

from typing import Literal

from t3sim.config import Spec
from t3sim.workload.operations import DTYPE_BYTES, Collective, Degree, Dtype, Extent, Gemm, Sublayer

Order = Literal["gemm-reduce_scatter", "all_gather-gemm", "gemm-all_reduce", "independent"]
"""What waits for what; ``independent``: a GEMM, and an all-gather of something else."""

_COLLECTIVES: dict[Order, Literal["reduce_scatter", "all_gather", "all_reduce"]] = {
    "gemm-reduce_scatter": "reduce_scatter",
    "all_gather-gemm": "all_gather",
    "gemm-all_reduce": "all_reduce",
    "independent": "all_gather",
}


class MeasuredPair(Spec):
    """What ran, and where."""

    system: str
    gpus: Degree
    order: Order
    M: Extent
    N: Extent
    K_local: Extent
    dtype: Dtype

    @property
    def case(self) -> str:
        """Name it for a reader."""
        return f"{self.order} {self.M} x {self.N} x {self.K_local} {self.dtype}, n={self.gpus}"

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the collective: what is gathered is the GEMM's input, what is scattered or reduced its output."""
        return self.M * (self.K_local if self.order == "all_gather-gemm" else self.N) * DTYPE_BYTES[self.dtype]

    def sublayer(self) -> Sublayer:
        """Write it as operations, each after what it waits for."""
        gathers = self.order == "all_gather-gemm"
        scatters = self.order in {"gemm-reduce_scatter", "gemm-all_reduce"}
        gemm = Gemm(
            id="gemm",
            phase="forward",
            sublayer=self.order,
            M=self.M,
            N=self.N,
            K_local=self.K_local,
            dtype=self.dtype,
            after=("collective",) if gathers else (),
        )
        collective = Collective(
            id="collective",
            phase="forward",
            sublayer=self.order,
            op=_COLLECTIVES[self.order],
            bytes=self.buffer_bytes,
            dtype=self.dtype,
            after=("gemm",) if scatters else (),
        )
        operations = (collective, gemm) if gathers else (gemm, collective)
        return Sublayer(model="measured", phase="forward", sublayer=self.order, tp=self.gpus, operations=operations)
