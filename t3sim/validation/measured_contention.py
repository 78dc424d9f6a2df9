"""Measured contention as data: what a GEMM and a collective that are independent do to each other."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from t3sim.config import Loaded, PositiveBytes, Spec, load
from t3sim.data import configs_dir
from t3sim.validation.measured_pairs import MeasuredPair
from t3sim.workload.operations import Degree, Dtype, Extent

FORMAT = "t3sim-measured-contention"

Quantity = Literal["slowdown", "share_of_ideal"]
"""Time of the GEMM beside the collective over its time alone; gain over one after the other, of the ideal one."""


class Way(Spec):
    """How kernels at once share a GPU."""

    what: str
    """For a reader."""
    by_engines: bool = False
    """Whether copy engines gather."""
    settings: dict[str, str | int | float] = Field(default_factory=dict)
    """Keys of a system that make it so."""


class Shape(Spec):
    """A GEMM, and an all-gather beside it."""

    M: Extent
    N: Extent
    K_local: Extent
    dtype: Dtype
    gathered: PositiveBytes
    """Whole buffer of the all-gather."""


class ContentionFigure(Spec):
    """One published figure."""

    system: str
    gpus: Degree
    what: str
    """What ran, as far as the source says."""
    quantity: Quantity
    measured: PositiveFloat
    source: str
    ways: Annotated[tuple[str, ...], Field(min_length=1)]
    """That may stand for it."""
    cus: Annotated[int, Field(gt=0)]
    """Of the collective's kernel."""
    pairs: str
    """Which of the table's it is set beside."""


class ContendingPair(MeasuredPair):
    """A pair whose figure is another's."""

    gathered: PositiveBytes
    """Whole buffer of the all-gather."""

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the collective."""
        return self.gathered


class MeasuredContention(Spec):
    """A table of figures."""

    source: str
    ways: dict[str, Way]
    pairs: dict[str, Annotated[tuple[Shape, ...], Field(min_length=1)]]
    figures: Annotated[tuple[ContentionFigure, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        named = {"ways": {name for figure in self.figures for name in figure.ways}}
        named["pairs"] = {figure.pairs for figure in self.figures}
        for kind, known in (("ways", self.ways), ("pairs", self.pairs)):
            if unknown := sorted(named[kind] - known.keys()):
                raise ValueError(f"figures name {kind} that do not exist: {', '.join(unknown)}")
        return self


def load_measured_contention(name: str = "contention") -> Loaded[MeasuredContention]:
    """Load measured contention. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(MeasuredContention, name, folder=configs_dir() / "measured", format_name=FORMAT)
