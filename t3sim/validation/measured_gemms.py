"""Measured GEMMs as data: what ran where, what it took, and who says so."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from t3sim.config import Femtoseconds, Loaded, Spec, load
from t3sim.data import configs_dir
from t3sim.workload.operations import Dtype, Gemm

MEASURED_FORMAT = "t3sim-measured-gemms"


class MeasuredSource(Spec):
    """Who measured."""

    citation: str
    launch: Femtoseconds | None = None
    """What the figures hold beside the kernel; none: what the system charges for a launch."""


class MeasuredSet(Spec):
    """Figures of one GPU, dtype and source."""

    system: str
    dtype: Dtype
    source: str
    gemms: Annotated[tuple[tuple[PositiveInt, PositiveInt, PositiveInt, PositiveFloat], ...], Field(min_length=1)]
    """M, N, K and the time in us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredGemm:
    """One figure."""

    system: str
    op: Gemm
    time_us: float
    launch_fs: int | None
    citation: str


class MeasuredGemms(Spec):
    """All measured GEMMs of one file."""

    source: str
    sources: dict[str, MeasuredSource]
    sets: Annotated[tuple[MeasuredSet, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _sets_name_sources(self) -> "MeasuredGemms":
        if unknown := sorted({part.source for part in self.sets} - self.sources.keys()):
            raise ValueError(f"sets name sources that do not exist: {', '.join(unknown)}")
        return self

    def gemms(self) -> Iterator[MeasuredGemm]:
        """List every figure, in the order of the file."""
        for part in self.sets:
            source = self.sources[part.source]
            for rows, columns, depth, time_us in part.gemms:
                op = Gemm(
                    id="gemm", phase="forward", sublayer="gemm", M=rows, N=columns, K_local=depth, dtype=part.dtype
                )
                yield MeasuredGemm(
                    system=part.system, op=op, time_us=time_us, launch_fs=source.launch, citation=source.citation
                )


def load_measured_gemms(name: str = "gemms") -> Loaded[MeasuredGemms]:
    """Load measured GEMMs. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(MeasuredGemms, name, folder=configs_dir() / "measured", format_name=MEASURED_FORMAT)
