"""Which parameter of a system would help most: each is relaxed by a factor of two, and the scheme runs again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from t3sim.config import Loaded
from t3sim.errors import InputError
from t3sim.registry import get
from t3sim.results.explanation import WhatIf
from t3sim.schemes.scheme import KIND as SCHEME
from t3sim.schemes.scheme import Scheme
from t3sim.simulation import Point, SystemSpec, load_system
from t3sim.simulation.lab import SystemLab
from t3sim.units import DURATION, FREQUENCY, RATE, SIZE, Dimension


@dataclass(frozen=True, slots=True)
class Knob:
    """A parameter that can be relaxed."""

    key: str
    """Dotted path in the system."""
    dimension: Dimension | None = None
    """``None``: a plain number."""
    less_is_better: bool = False


KNOBS: tuple[Knob, ...] = (
    Knob("compute.clock", FREQUENCY),
    Knob("compute.launch_overhead", DURATION, less_is_better=True),
    Knob("compute.store_buffer", SIZE),
    Knob("compute.collective_outstanding_per_cu", SIZE),
    Knob("gemm.prefetch_slabs"),
    Knob("llc.capacity", SIZE),
    Knob("memory.bandwidth", RATE),
    Knob("memory.read_latency", DURATION, less_is_better=True),
    Knob("memory.turnaround", DURATION, less_is_better=True),
    Knob("memory.queue_entries"),
    Knob("memory.channels"),
    Knob("memory.read_entries"),
    Knob("memory.write_entries"),
    Knob("memory.memory.channels"),
    Knob("tracker.entries"),
    Knob("dma.outstanding"),
    Knob("link.bandwidth", RATE),
    Knob("link.latency", DURATION, less_is_better=True),
    Knob("link.send_buffer", SIZE),
)


def what_if(point: Point, scheme: str, total_fs: int, system: str | Path, overrides: Sequence[str]) -> list[WhatIf]:
    """Run ``scheme`` again with each parameter relaxed; what helps most comes first.

    ``total_fs``: its time without. ``system`` and ``overrides``: what the point's system was loaded from.
    """
    found = []
    for knob in KNOBS:
        for before, after in _relaxed(point.system.spec, knob):
            assignment = f"{knob.key}={after}"
            try:
                changed = load_system(system, (*overrides, assignment))
            except InputError:  # the system's other values forbid it
                continue
            total = _total_fs(point, changed, scheme)
            saved = 1 - total / total_fs
            found.append(WhatIf(assignment=assignment, before=before, total_fs=total, saved=saved))
    return sorted(found, key=lambda each: -each.saved)


def _total_fs(point: Point, system: Loaded[SystemSpec], scheme: str) -> int:
    changed = Point(system=system, sublayer=point.sublayer, gpus=point.gpus)
    how: Scheme = get(SCHEME, scheme)()
    return how.simulate(SystemLab(system.spec, point.sublayer.tp, point.gpus), changed.works).total_fs


def _relaxed(system: SystemSpec, knob: Knob) -> Iterator[tuple[str, str]]:
    """Give the knob's value now and relaxed, as text; nothing if the system has no such value, or cannot relax it."""
    value: Any = system
    for name in knob.key.split("."):
        value = getattr(value, name, None)
    if value:
        yield _text(value, knob.dimension), _text(_twice(value, knob), knob.dimension)


def _twice(value: int, knob: Knob) -> int:
    return value // 2 if knob.less_is_better else 2 * value


def _text(value: int, dimension: Dimension | None) -> str:
    """Write a quantity with the largest unit in which it is whole."""
    if dimension is None:
        return str(value)
    whole = [
        (Fraction(factor), unit)
        for unit, factor in dimension.units.items()
        if (Fraction(value) / factor).denominator == 1
    ]
    factor, unit = max(whole, key=lambda each: each[0])
    return f"{Fraction(value) / factor} {unit}"
