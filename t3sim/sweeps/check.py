"""Mistakes in a sweep that can be seen before anything runs, at their lines."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice

from t3sim.config.layers import OVERRIDE
from t3sim.config.source import KeyPath, SourceLine
from t3sim.errors import InputError, Problem
from t3sim.sweeps.resolve import Resolver
from t3sim.sweeps.spec import (
    SYSTEM_PREFIX,
    Axis,
    CasesAxis,
    GridAxis,
    ListAxis,
    RangeAxis,
    Settings,
    SweepSpec,
    ZipAxis,
)

_MOST_PROBES = 1000
"""Values of an axis that are tried before anything runs; a wrong one among the rest is a failed row."""

_Probe = tuple[KeyPath, Settings]


def check_sweep(spec: SweepSpec, resolver: Resolver, lines: Mapping[KeyPath, SourceLine]) -> None:
    """Raise ``InputError`` with the settings that no system takes, whatever they are combined with.

    ``lines``: where in the file each part of ``spec`` was written. Every value of an axis is tried on the first
    combination; of ranges, the ends. What is wrong with a combination only is for its own point to say.
    """
    first = dict(spec.base)
    for axis in spec.axes:
        first.update(next(iter(axis.options()))[0])
    probes: list[_Probe] = [(("base", key), {key: value}) for key, value in spec.base.items()]
    for number, axis in enumerate(spec.axes):
        probes += [(("axes", number, *path), made) for path, made in islice(_probes(axis), _MOST_PROBES)]
    problems: dict[Problem, None] = {}
    for path, made in probes:
        overridden = path[0] == "base" and any(first[key] != value for key, value in made.items())
        if not overridden:
            problems |= dict.fromkeys(_problems(resolver, {**first, **made}, made, path, lines))
    if problems:
        raise InputError(*problems)


def _probes(axis: Axis) -> Iterator[_Probe]:
    """Yield each value of an axis as settings, with the place where it was written."""
    match axis:
        case ListAxis():
            yield from ((("values", i), {axis.key: value}) for i, value in enumerate(axis.values))
        case RangeAxis():
            yield from (((name,), {axis.key: end}) for name, end in (("from", axis.start), ("to", axis.stop)))
        case GridAxis():
            for key, items in axis.keys.items():
                yield from ((("keys", key, i), {key: value}) for i, value in enumerate(items))
        case ZipAxis():
            first = next(iter(axis.keys))
            yield from ((("keys", first, i), made) for i, (made, _) in enumerate(axis.options()))
        case CasesAxis():
            yield from ((("cases", i, "set"), case.set) for i, case in enumerate(axis.cases))
        case _:
            for key, ends in axis.keys.items():
                yield from ((("keys", key), {key: end}) for end in (ends.start, ends.stop))


def _problems(
    resolver: Resolver, settings: Settings, made: Settings, path: KeyPath, lines: Mapping[KeyPath, SourceLine]
) -> Iterator[Problem]:
    """Yield what is wrong with the settings ``made``, and not with those around them."""
    for problem in resolver.problems(settings):
        key = f"{SYSTEM_PREFIX}{problem.key}" if problem.file == OVERRIDE else str(problem.key)
        if blamed := [name for name in made if _is_about(problem, key, name)]:
            file, line = _place((*path, blamed[0]), lines)
            yield replace(problem, file=file, line=line, key=key)


def _is_about(problem: Problem, key: str, name: str) -> bool:
    """Say whether it is the setting ``name`` that is wrong; a fault of a whole part may be one of its combination."""
    inside = key == name or key.startswith(f"{name}.")
    return inside or (problem.message == "unknown key" and name.startswith(f"{key}."))


def _place(path: KeyPath, lines: Mapping[KeyPath, SourceLine]) -> SourceLine:
    inside = next(length for length in range(len(path), -1, -1) if path[:length] in lines)
    return lines[path[:inside]]
