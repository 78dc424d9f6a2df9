"""What other programs' traces become: operations found in them, what was not mapped and why, and a trace of ours.

Such traces name kernels, not sublayers. A GEMM opens a sublayer, and a collective belongs to the last sublayer of
those that it waits for, so that sublayers never wait for each other; one that waits for nothing opens its own, which
the GEMM that takes what it gathers joins.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydantic import ValidationError

from t3sim.errors import InputError, Problem
from t3sim.workload.operations import MOST_EXTENT, Collective, Dtype, Gemm, Trace, TracedOperation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

CollectiveOp = Literal["reduce_scatter", "all_gather", "all_reduce", "all_to_all", "broadcast", "send"]
PHASE: Final = "imported"
"""Of operations whose file does not say to which phase they belong."""

_LONGEST_ID: Final = 80
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_./-]+")


class Shape(NamedTuple):
    """Of a GEMM on one GPU."""

    m: int
    n: int
    k: int

    @property
    def is_possible(self) -> bool:
        """Whether a trace can hold it."""
        return all(0 < extent <= MOST_EXTENT for extent in self)


class Moved(NamedTuple):
    """Of a collective."""

    op: CollectiveOp
    nbytes: int
    """The whole buffer."""


class Place(NamedTuple):
    """Where in a trace an operation belongs."""

    phase: str
    sublayer: str


@dataclass(slots=True)
class Draft:
    """An operation as it was found."""

    name: str
    what: Shape | Moved
    dtype: Dtype
    after: tuple[int, ...] = ()
    """Places in the list of drafts."""
    place: Place | None = None
    origin: str = ""
    """What a message calls it."""


@dataclass(slots=True)
class Unmapped:
    """What of a file became no operation: how often, by name and reason."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, name: str, reason: str) -> None:
        """Count one."""
        self.counts[name, reason] += 1

    def lines(self, most: int = 20) -> Iterator[str]:
        """Say what was not mapped, by reason; of each reason the commonest names."""
        by_reason: dict[str, Counter[str]] = {}
        for (name, reason), count in self.counts.items():
            by_reason.setdefault(reason, Counter())[name] += count
        for reason, names in sorted(by_reason.items()):
            yield f"{names.total()} not mapped: {reason}"
            ordered = sorted(names.items(), key=lambda entry: (-entry[1], entry[0]))
            yield from (f"  {count:6} x {name}" for name, count in ordered[:most])
            if len(ordered) > most:
                yield f"  and {len(ordered) - most} more names"


@dataclass(frozen=True, slots=True)
class Imported:
    """A trace made of another program's, and what a reader of it should know."""

    trace: Trace
    notes: tuple[str, ...]


def trace_of(
    drafts: Sequence[Draft], unmapped: Unmapped, *, path: Path, model: str, tp: int, description: str
) -> Trace:
    """Make a trace of drafts.

    Raises:
        InputError: there are none, and then why nothing was mapped; one cannot be an operation, or they wait for each
            other.

    """
    if not drafts:
        message = "has no operation that could be mapped: no GEMM with a shape, and no collective"
        reasons = (Problem(message=line) for line in unmapped.lines(most=3))
        raise InputError(Problem(message=message, file=str(path)), *reasons)
    ids = _ids(drafts)
    places = _places(drafts, ids, path)
    operations = [
        _operation(draft, ids[i], places[i], tuple(ids[j] for j in draft.after), path) for i, draft in enumerate(drafts)
    ]
    try:
        return Trace(model=model, tp=tp, description=description, operations=tuple(operations))
    except ValidationError as error:
        raise InputError(*_problems(error, path)) from None


def as_name(text: str, otherwise: str) -> str:
    """Make a name that a trace can hold of any text."""
    found = _NO_NAME.sub("-", text)[:_LONGEST_ID].strip("-./")
    return found or otherwise


def _ids(drafts: Sequence[Draft]) -> list[str]:
    """Name every operation, those of one name by their number."""
    taken: set[str] = set()
    numbers: Counter[str] = Counter()
    found = []
    for draft in drafts:
        base = name = as_name(draft.name, "operation")
        while name in taken:
            numbers[base] += 1
            name = f"{base}.{numbers[base] + 1}"
        taken.add(name)
        found.append(name)
    return found


def _places(drafts: Sequence[Draft], ids: Sequence[str], path: Path) -> list[Place]:
    """Give every operation a sublayer, each after those of all that it waits for."""
    groups: dict[int, int] = {}
    opened: list[str] = []
    has_gemm: list[bool] = []
    for i in _in_order(drafts, ids, path):
        draft = drafts[i]
        latest = max((groups[j] for j in draft.after), default=-1)
        is_gemm = isinstance(draft.what, Shape)
        if latest < 0 or (is_gemm and has_gemm[latest]):
            latest = len(opened)
            opened.append(ids[i])
            has_gemm.append(False)
        elif is_gemm:  # after the all-gather that opened the sublayer
            opened[latest] = ids[i]
        groups[i] = latest
        has_gemm[latest] |= is_gemm
    return [draft.place or Place(PHASE, opened[groups[i]]) for i, draft in enumerate(drafts)]


def _in_order(drafts: Sequence[Draft], ids: Sequence[str], path: Path) -> Iterator[int]:
    """Each after all that it waits for, the first in the file first. Raises ``InputError`` for a circle."""
    open_: list[int] = [len(set(draft.after)) for draft in drafts]
    following: Mapping[int, list[int]] = {i: [] for i in range(len(drafts))}
    for i, draft in enumerate(drafts):
        for j in set(draft.after):
            following[j].append(i)
    ready = [i for i, count in enumerate(open_) if not count]
    for i in ready:  # grows while it is gone through
        yield i
        for after in following[i]:
            open_[after] -= 1
            if not open_[after]:
                ready.append(after)
    if len(ready) < len(drafts):
        waiting = [ids[i] for i, count in enumerate(open_) if count]
        message = f"{len(waiting)} operations wait for each other, or for such, among them {', '.join(waiting[:5])}"
        raise InputError(Problem(message=message, file=str(path)))


def _operation(draft: Draft, name: str, place: Place, after: tuple[str, ...], path: Path) -> TracedOperation:
    try:
        common = {"id": name, "phase": place.phase, "sublayer": place.sublayer, "dtype": draft.dtype, "after": after}
        if isinstance(draft.what, Shape):
            m, n, k = draft.what
            return Gemm.model_validate({"M": m, "N": n, "K_local": k, **common})
        op, nbytes = draft.what
        return Collective.model_validate({"op": op, "bytes": nbytes, **common})
    except ValidationError as error:
        raise InputError(*_problems(error, path, draft.origin or name)) from None


def _problems(error: ValidationError, path: Path, origin: str = "") -> Iterable[Problem]:
    """Say in one line each what of a trace cannot be."""
    for detail in error.errors(include_url=False, include_context=False):
        key = ": ".join(filter(None, (origin, ".".join(map(str, detail["loc"])))))
        yield Problem(message=detail["msg"], file=str(path), key=key, value=detail["input"])
