"""Fused attention alone on one GPU, against times that others measured on it.

A prompt's operation prepares queries, keys and values (their bias, positions and place in the cache) before its kernel.
A generated token's keys and values are in the LLC where they fit, since the same are read again and again.
"""

import csv
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, ValidationError

from t3sim.config import Spec
from t3sim.data import configs_dir
from t3sim.errors import InputError, Problem
from t3sim.lowering.other_kernels import OtherKernelsSpec, Rates, attention_fs, kernel_fs
from t3sim.processes import Progress
from t3sim.registry import register
from t3sim.results.comparison import Comparison
from t3sim.simulation import SystemSpec, load_system
from t3sim.units import FS_PER_S, FS_PER_US
from t3sim.validation.comparison import KIND
from t3sim.workload.layers import Attention, Kernel
from t3sim.workload.operations import DTYPE_BYTES, Dtype

COUNTS = ("batch", "new_tokens", "cached_tokens", "heads", "kv_heads", "head_dim")
"""Columns of a row that are whole numbers, which rows are sorted by."""


class MeasuredAttention(Spec):
    """One measured time: a row of ``configs/measured/attention.csv``."""

    system: str
    phase: Literal["prompt", "generation"]
    dtype: Dtype
    batch: PositiveInt
    new_tokens: PositiveInt
    cached_tokens: int
    heads: PositiveInt
    kv_heads: PositiveInt
    head_dim: PositiveInt
    time_us: PositiveFloat
    use: Literal["fit", "holdout"]
    """Whether numbers of the system are fitted to it."""
    source: str

    @property
    def case(self) -> str:
        """Name it for a reader."""
        tokens = f"{self.new_tokens} of {self.new_tokens + self.cached_tokens} tokens"
        return f"{self.system}, {self.phase}, batch {self.batch}, {tokens}, {self.heads}/{self.kv_heads} heads"

    @property
    def work(self) -> Attention:
        """What is computed."""
        return Attention(
            "attention",
            sequences=self.batch,
            new=self.new_tokens,
            cached=self.cached_tokens,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            value_dim=self.head_dim,
            dtype=self.dtype,
        )


@dataclass(frozen=True)
class Gpu:
    """What a system says about attention alone."""

    rates: Rates
    llc_bytes: int

    @classmethod
    def of(cls, system: SystemSpec) -> "Gpu":
        """Take it from a system."""
        rates = Rates(
            cus=system.compute.cus,
            dram_bytes_per_s=system.memory.peak_bytes_per_s,
            llc_bytes_per_s=float(system.llc.bandwidth or FS_PER_S),
            flops_per_s=system.gemm_rates().flops_per_s,
        )
        return cls(rates, system.llc.capacity)

    def beyond_dram(self, item: MeasuredAttention) -> bool:
        """Whether a time is less than the DRAM takes for what the LLC cannot hold: no time of what the row says."""
        nbytes = item.work.operand_bytes
        return nbytes > self.llc_bytes and nbytes / self.rates.dram_bytes_per_s * 1e6 > item.time_us

    def time_us(self, item: MeasuredAttention, spec: OtherKernelsSpec) -> float:
        """Time the operation."""
        work = item.work
        if item.phase == "generation":
            found = attention_fs(work, spec, self.rates, in_llc=work.operand_bytes <= self.llc_bytes)
            return found / FS_PER_US
        moved = 2 * work.sequences * work.new * (work.heads + 2 * work.kv_heads) * work.head_dim
        # Its start is in that of attention, which is one of the whole operation.
        prepared = Kernel("preparation", "rotary", moved * DTYPE_BYTES[work.dtype])
        return (kernel_fs(prepared, spec, self.rates) - spec.start + attention_fs(work, spec, self.rates)) / FS_PER_US


@cache
def load_measured_attention() -> tuple[MeasuredAttention, ...]:
    """Load the shipped table. Raises ``InputError`` with the line of the first row that cannot be read."""
    path = configs_dir() / "measured" / "attention.csv"
    found = []
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            try:
                values = {**row, **{name: int(row[name]) for name in COUNTS}, "time_us": float(row["time_us"])}
                found.append(MeasuredAttention.model_validate(values))
            except (ValidationError, ValueError) as error:
                message = str(error.errors()[0]["msg"] if isinstance(error, ValidationError) else error)
                raise InputError(Problem(message=message, file=str(path), line=number)) from None
    return tuple(found)


@register(KIND, "attention")
class MeasuredAttentionTimes:
    """Times of fused attention, by GPU and phase."""

    against = "models"

    def compare(self, progress: Progress | None = None, jobs: int = 1) -> list[Comparison]:  # noqa: ARG002 - a protocol
        """Compare every measured time."""
        table = load_measured_attention()
        systems = {name: load_system(name).spec for name in dict.fromkeys(item.system for item in table)}
        gpus = {name: Gpu.of(system) for name, system in systems.items()}
        return [
            Comparison(
                group=f"{item.system}, {item.phase}",
                band="fit" if item.use == "fit" else "held out",
                case=item.case,
                quantity="time_us",
                reference=item.time_us,
                simulated=gpus[item.system].time_us(item, systems[item.system].other_kernels),
                source=item.source,
            )
            for item in table
        ]
