"""Timelines: a recorded run as tracks of slices, counters and arrows, free of any file format. All times are fs.

On a track slices follow one another or nest; what overlaps is spread over lanes, one track each. Three levels of
detail: ``stage`` shows operations, stages, waits for stores, and chunks on the link; ``tile`` shows operand waits,
tiles, DMA commands and messages instead of chunks, with arrows from trigger to completion; ``packet`` adds every
burst at the memory controller. Counters are the same in all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple


class Detail(StrEnum):
    """How much a timeline shows."""

    STAGE = "stage"
    TILE = "tile"
    PACKET = "packet"


@dataclass(slots=True)
class Slice:
    """Something that lasts, with what happens inside it."""

    name: str
    start_fs: int
    end_fs: int
    args: dict[str, Any] = field(default_factory=dict)
    inside: list["Slice"] = field(default_factory=list)
    key: tuple[str, int, int] | None = None
    """By which arrows find it: its kind, its GPU and its number there."""


class Track(NamedTuple):
    """Slices that never overlap, in the order of their starts."""

    name: str
    slices: list[Slice]


Stop = tuple[tuple[str, int, int], int]
"""A slice's key, and the moment."""


class Arrow(NamedTuple):
    """One thing that leads to the next: slices, each with the moment at which the arrow touches it."""

    name: str
    stops: tuple[Stop, ...]


@dataclass(frozen=True, slots=True)
class Counter:
    """Values of one or more series, each holding from its bin's start to the next."""

    name: str
    """With its unit."""
    series: tuple[str, ...]
    starts_fs: Sequence[int]
    values: Sequence[tuple[float, ...]]
    """One tuple a bin, one value a series."""


@dataclass(frozen=True, slots=True)
class GpuTimeline:
    """What one GPU shows."""

    name: str
    tracks: list[Track]
    counters: list[Counter]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What one run of a machine shows."""

    operations: tuple[str, ...]
    """Names of what ran, in order of their starts."""
    gpus: list[GpuTimeline]
    arrows: list[Arrow]
