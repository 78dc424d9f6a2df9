"""Measured overlap as data: pairs of GEMM and collective, one after the other and at once, by whose software.

A pair that ``sublayers.yaml`` has as well takes its times one after the other from there.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from t3sim.config import Loaded, PositiveBytes, Spec, load, read_document
from t3sim.data import configs_dir
from t3sim.errors import InputError, Problem
from t3sim.validation.measured_pairs import MeasuredPair
from t3sim.validation.sublayers import MeasuredSublayer, load_measured_sublayers

FORMAT = "t3sim-measured-overlap"
SUBLAYERS = "sublayers"
MIB = 2**20


class Stack(Spec):
    """Software that overlaps."""

    scheme: str
    """What stands for it."""
    what: str
    """How it does it."""
    settings: dict[str, str | int | float] = Field(default_factory=dict)
    """Keys of a system that say how it works and what it costs: stated, or fitted on pairs marked so."""


class MeasuredOverlap(Spec):
    """What one stack makes of a pair: a time, or its share of the time one after the other."""

    stack: str
    time_us: PositiveFloat | None = None
    speedup: PositiveFloat | None = None
    """Over GEMM and collective one after the other, where times were not published."""

    @model_validator(mode="after")
    def _is_one_figure(self) -> Self:
        if (self.time_us is None) == (self.speedup is None):
            raise ValueError("gives either time_us or speedup")
        return self


class OverlappedPair(MeasuredPair):
    """One pair, and what stacks make of it."""

    gathered: PositiveBytes | None = None
    """Whole buffer of a collective that is independent of the GEMM."""
    sequential_us: PositiveFloat | Literal["sublayers"] | None = None
    """One after the other; ``sublayers``: as ``sublayers.yaml`` has it; none: not published."""
    gemm_us: PositiveFloat | None = None
    collective_us: PositiveFloat | None = None
    fit: bool
    """Whether numbers may be chosen by it; else it is held out."""
    overlapped: Annotated[tuple[MeasuredOverlap, ...], Field(min_length=1)]
    source: str

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.order == "independent") != (self.gathered is not None):
            raise ValueError("gathered is the buffer of an independent collective, and of no other")
        if self.sequential_us == SUBLAYERS and not (self.gemm_us is self.collective_us is None):
            raise ValueError("gemm_us and collective_us stand where sequential_us does: in sublayers")
        return self

    @property
    def buffer_bytes(self) -> int:
        """Bytes of the collective."""
        return super().buffer_bytes if self.gathered is None else self.gathered

    @property
    def case(self) -> str:
        """Name it for a reader."""
        return super().case if self.gathered is None else f"{super().case}, {self.gathered / MIB:g} MiB gathered"

    def same_as(self, other: MeasuredSublayer) -> bool:
        """Whether ``other`` is this pair from this source."""
        return (super().case, self.system, self.source) == (other.case, other.system, other.source)


class MeasuredOverlaps(Spec):
    """A table of pairs."""

    source: str
    stacks: dict[str, Stack]
    pairs: Annotated[tuple[OverlappedPair, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if unknown := sorted({item.stack for pair in self.pairs for item in pair.overlapped} - self.stacks.keys()):
            raise ValueError(f"pairs name stacks that do not exist: {', '.join(unknown)}")
        counts = Counter((pair.system, pair.case, pair.source) for pair in self.pairs)
        if twice := [f"{system} {case} ({source})" for (system, case, source), n in counts.items() if n > 1]:
            raise ValueError(f"stands twice: {'; '.join(twice)}")
        return self


def load_measured_overlaps(name: str = "overlap") -> Loaded[MeasuredOverlaps]:
    """Load measured overlap. Raises ``InputError`` as ``t3sim.config.load`` does."""
    return load(MeasuredOverlaps, name, folder=configs_dir() / "measured", format_name=FORMAT)


def completed(loaded: Loaded[MeasuredOverlaps]) -> tuple[OverlappedPair, ...]:
    """Give all pairs with their times one after the other, those of ``sublayers.yaml`` among them.

    Raises ``InputError`` for a pair that is not there, and for one that is and has times of its own here.
    """
    sublayers = load_measured_sublayers().sublayers
    found = [(pair, _of(pair, sublayers)) for pair in loaded.spec.pairs]
    if problems := list(_misplaced(loaded, found)):
        raise InputError(*problems)
    return tuple(
        pair
        if twin is None
        else pair.model_copy(
            update={
                "sequential_us": twin.time_us,
                "gemm_us": twin.gemm_us,
                "collective_us": twin.collective_us,
            }
        )
        for pair, twin in found
    )


def _of(pair: OverlappedPair, sublayers: Sequence[MeasuredSublayer]) -> MeasuredSublayer | None:
    return next((item for item in sublayers if pair.same_as(item)), None)


def _misplaced(
    loaded: Loaded[MeasuredOverlaps], found: Sequence[tuple[OverlappedPair, MeasuredSublayer | None]]
) -> Iterator[Problem]:
    lines = read_document(loaded.path).lines
    for number, (pair, twin) in enumerate(found):
        referred = pair.sequential_us == SUBLAYERS
        if referred == (twin is not None):
            continue
        what = "is not in sublayers.yaml" if referred else f"is in sublayers.yaml already, so say {SUBLAYERS!r} here"
        place = ("pairs", number, "sequential_us")
        file, line = lines.get(place, lines[place[:2]])
        yield Problem(
            message=f"{pair.case} on {pair.system} ({pair.source}) {what}",
            file=file,
            line=line,
            key=".".join(map(str, place)),
            value=pair.sequential_us,
        )
