"""A profile as a trace: its GEMMs and collectives, in the order in which the GPU ran them.

A profile does not say what a kernel waited for. Kernels of one stream run one after the other; of each other stream an
operation is taken to wait for the last one that had ended when it began, which keeps apart what ran apart and lets run
at once what did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from t3sim.errors import InputError, Problem
from t3sim.workload.drafts import Draft, Imported, Shape, Unmapped, as_name, trace_of
from t3sim.workload.kineto.events import read_profile
from t3sim.workload.kineto.operations import (
    collective_of,
    gemm_of,
    gemm_operator,
    group_names,
    group_size,
    noted_collective,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from t3sim.workload.kineto.events import Args, Kernel, Profile

_LEAST_RANKS: Final = 2


@dataclass(slots=True)
class _Run:
    """An operation when it ran."""

    draft: Draft
    start_us: float
    end_us: float
    stream: tuple[str, str]


@dataclass(slots=True)
class _Counts:
    """What is said of all."""

    unmapped: Unmapped
    parts: int = 0
    """Kernels beside the first of an operation."""
    batched: int = 0


def import_kineto(path: Path, *, tp: int | None = None, group: str | None = None, model: str | None = None) -> Imported:
    """Make a trace of a profile of one rank.

    ``tp``: GPUs of the group, where collectives of several sizes were run; ``group``: name or description of the only
    process group whose collectives are taken.

    Raises:
        InputError: the file cannot be read, is no profile, has no operation, or does not say how many GPUs there are.

    """
    profile = read_profile(path)
    ranks = tp or _ranks(path, profile, group)
    counts = _Counts(unmapped=Unmapped())
    runs = _runs(profile.kernels, ranks, group, counts)
    for run, after in zip(runs, _waits(runs), strict=True):
        run.draft.after = after
    drafts = [run.draft for run in runs]
    trace = trace_of(
        drafts,
        counts.unmapped,
        path=path,
        model=as_name(model or path.name.partition(".")[0], "imported"),
        tp=ranks,
        description=f"imported from {path.name}",
    )
    return Imported(trace, (*_notes(profile, drafts, counts), *counts.unmapped.lines()))


def _ranks(path: Path, profile: Profile, group: str | None) -> int:
    """Find out how many GPUs the group has."""
    noted = [found for kernel in profile.kernels if (found := noted_collective(kernel)) and _is_of(found, group)]
    sizes = sorted({group_size(found) for found in noted} - {0, 1})
    if not sizes and profile.world_size >= _LEAST_RANKS:
        return profile.world_size
    if len(sizes) != 1:
        names = sorted({name for found in noted for name in group_names(found)})
        of_groups = f" or --group (there are {', '.join(names)})" if len(names) > 1 else ""
        message = f"does not say how many GPUs the group has; give --tp{of_groups}"
        raise InputError(Problem(message=message, file=str(path), key="--tp", known=tuple(map(str, sizes))))
    return sizes[0]


def _is_of(noted: Args, group: str | None) -> bool:
    return group is None or group in group_names(noted)


def _runs(kernels: Sequence[Kernel], ranks: int, group: str | None, counts: _Counts) -> list[_Run]:
    """Find the operations, in the order of their starts; an operator's kernels are one."""
    found: dict[int, _Run | str] = {}
    for kernel in kernels:
        operator = gemm_operator(kernel) if not kernel.is_copy else None
        number = kernel.number if operator is None else operator.number
        known = found.get(number)
        if isinstance(known, _Run):
            known.end_us = max(known.end_us, kernel.end_us)
            counts.parts += 1
            continue
        draft = _draft(kernel, ranks, group, counts) if known is None else known
        if isinstance(draft, str):
            counts.unmapped.add(kernel.name, draft)
            found[number] = draft
        else:
            found[number] = _Run(draft, kernel.start_us, kernel.end_us, kernel.stream)
    return [run for run in found.values() if isinstance(run, _Run)]


def _draft(kernel: Kernel, ranks: int, group: str | None, counts: _Counts) -> Draft | str:
    """Say what a kernel is; text: why it is no operation."""
    origin = f"event {kernel.number} ({kernel.name!r})"
    if kernel.is_copy:
        return "a copy, or memory that is set"
    if (operator := gemm_operator(kernel)) is not None:
        gemm = gemm_of(operator)
        if isinstance(gemm, str):
            return gemm
        shape, dtype, is_batched = gemm
        counts.batched += is_batched
        return Draft(operator.name.removeprefix("aten::").strip("_"), shape, dtype, origin=origin)
    noted = noted_collective(kernel)
    if noted is None:
        return "neither a GEMM of PyTorch's operators nor a collective"
    return _moved(noted, ranks, group, origin)


def _moved(noted: Args, ranks: int, group: str | None, origin: str) -> Draft | str:
    """Say what a collective is; text: why it is not of the group."""
    if not _is_of(noted, group):
        return f"a collective of another group than {group}"
    if (size := group_size(noted) or ranks) != ranks:
        return f"a collective of {size} ranks, where the group has {ranks}"
    moved = collective_of(noted, ranks)
    return moved if isinstance(moved, str) else Draft(moved[0].op, *moved, origin=origin)


def _waits(runs: Sequence[_Run]) -> Iterator[tuple[int, ...]]:
    """Yield what each operation waits for, as far as what it waits for does not wait for it already."""
    ended: dict[tuple[str, str], list[float]] = {}
    numbers: dict[tuple[str, str], list[int]] = {}
    for i, run in enumerate(runs):
        before: list[int] = []
        for stream, times in ended.items():
            # What is before it in its own stream has to end first, whatever the clock says.
            place = len(times) if stream == run.stream else bisect_right(times, run.start_us)
            before.extend(numbers[stream][place - 1 : place] if place else [])
        starts = max((runs[j].start_us for j in before), default=0.0)
        yield tuple(sorted(j for j in before if runs[j].end_us > starts or runs[j].start_us == starts))
        # Ends of a stream in order, also where its kernels overlap a little.
        times = ended.setdefault(run.stream, [])
        times.append(max(run.end_us, times[-1] if times else run.end_us))
        numbers.setdefault(run.stream, []).append(i)


def _notes(profile: Profile, drafts: Sequence[Draft], counts: _Counts) -> Iterator[str]:
    gemms = sum(isinstance(draft.what, Shape) for draft in drafts)
    yield f"{len(profile.kernels)} kernels; mapped: {gemms} GEMMs and {len(drafts) - gemms} collectives"
    by_dtype = Counter(draft.dtype for draft in drafts)
    yield "dtypes: " + ", ".join(f"{count} {dtype}" for dtype, count in sorted(by_dtype.items()))
    if counts.parts:
        yield f"{counts.parts} kernels are further ones of the same operator, such as the sum after a split of K"
    if counts.batched:
        yield f"{counts.batched} GEMMs are batched: each is taken as one with the rows of all, and one weight"
