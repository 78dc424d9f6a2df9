"""Events of a profile: kernels, each with the operator on the CPU that launched it.

A kernel's ``correlation`` is that of the call which launched it, and operators that were open on the call's thread at
its time enclose it. In traces before 2024 ``External id`` of a kernel is its correlation too, so it is looked at only
where the call was not recorded.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from t3sim.errors import InputError, Problem
from t3sim.workload.packed import unpacking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MOST_BYTES: Final = 2**28
"""Of a trace, unpacked: what Python makes of it is several times as large."""

_LATEST_US: Final = 1e18
_LAUNCHES: Final = frozenset({"cuda_runtime", "cuda_driver", "runtime", "driver"})
_COPIES: Final = frozenset({"gpu_memcpy", "gpu_memset", "memcpy", "memset"})

Args = dict[str, Any]


class Operator(NamedTuple):
    """What ran on the CPU."""

    number: int
    """Of its event in the file."""
    name: str
    args: Args


@dataclass(slots=True)
class Kernel:
    """What ran on the GPU."""

    number: int
    name: str
    start_us: float
    end_us: float
    stream: tuple[str, str]
    """Device and stream."""
    args: Args
    is_copy: bool
    operators: tuple[Operator, ...] = ()
    """Those that launched it, the innermost first."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a file holds."""

    kernels: tuple[Kernel, ...]
    """By start."""
    world_size: int
    """Ranks of the job; 0: not said."""


class _Span(NamedTuple):
    start_us: float
    end_us: float
    operator: Operator


class _Launch(NamedTuple):
    thread: tuple[str, str]
    time_us: float


def read_profile(path: Path) -> Profile:
    """Read a profile, packed with gzip or not. Raises ``InputError``: it is no JSON, or no such trace."""
    data = _parsed(path)
    events = data.get("traceEvents") if isinstance(data, dict) else data
    if not isinstance(events, list):
        message = "is no trace of PyTorch's profiler: neither a list of events nor a mapping with traceEvents"
        raise InputError(Problem(message=message, file=str(path)))
    kernels, spans, launches = _sorted_out(path, events)
    _attribute(kernels, spans, launches)
    info = data.get("distributedInfo") if isinstance(data, dict) else None
    size = info.get("world_size", 0) if isinstance(info, dict) else 0
    ordered = sorted(kernels, key=lambda kernel: (kernel.start_us, kernel.number))
    return Profile(tuple(ordered), size if isinstance(size, int) else 0)


def _parsed(path: Path) -> Any:
    with unpacking(path, MOST_BYTES) as file:
        parts = list(iter(lambda: file.read(2**20), b""))
    try:
        return json.loads(b"".join(parts))
    except json.JSONDecodeError as error:
        message = f"not valid JSON: {error.msg}, at character {error.colno}"
        raise InputError(Problem(message=message, file=str(path), line=error.lineno)) from None
    except (ValueError, RecursionError) as error:
        message = f"not valid JSON: {str(error) or type(error).__name__}"
        raise InputError(Problem(message=message, file=str(path))) from None


def _sorted_out(
    path: Path, events: Sequence[Any]
) -> tuple[list[Kernel], dict[tuple[str, str], list[_Span]], dict[str, _Launch]]:
    """Find kernels, operators by thread, and launches by correlation; what else is in the file is passed over."""
    kernels: list[Kernel] = []
    spans: dict[tuple[str, str], list[_Span]] = {}
    launches: dict[str, _Launch] = {}
    for number, event in enumerate(events):
        if not isinstance(event, dict):
            message = f"event {number} is no mapping"
            raise InputError(Problem(message=message, file=str(path), value=event))
        if event.get("ph") != "X":
            continue
        category, name = str(event.get("cat", "")).casefold(), str(event.get("name", ""))
        args = event["args"] if isinstance(event.get("args"), dict) else {}
        thread = str(event.get("pid")), str(event.get("tid"))
        if category == "kernel" or category in _COPIES:
            start, end = _times(path, number, event)
            stream = str(args.get("device", thread[0])), str(args.get("stream", thread[1]))
            kernels.append(Kernel(number, name, start, end, stream, args, category in _COPIES))
        elif category == "cpu_op":
            spans.setdefault(thread, []).append(_Span(*_times(path, number, event), Operator(number, name, args)))
        elif category in _LAUNCHES and "correlation" in args:
            launches[str(args["correlation"])] = _Launch(thread, _times(path, number, event)[0])
    return kernels, spans, launches


def _times(path: Path, number: int, event: Mapping[str, Any]) -> tuple[float, float]:
    """Give start and end of an event, us. Raises ``InputError``."""
    start, duration = event.get("ts"), event.get("dur", 0)
    for key, value in (("ts", start), ("dur", duration)):
        # No clock counts so far, and a float cannot.
        is_time = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LATEST_US
        if not is_time:
            message = f"event {number}: {key} must be a number of microseconds"
            raise InputError(Problem(message=message, file=str(path), value=value))
    assert isinstance(start, (int, float))
    return start, start + duration


def _attribute(
    kernels: Sequence[Kernel],
    spans: Mapping[tuple[str, str], list[_Span]],
    launches: Mapping[str, _Launch],
) -> None:
    """Find for every kernel the operators that launched it."""
    of_thread: dict[tuple[str, str], list[tuple[float, Kernel]]] = {}
    left: list[Kernel] = []
    for kernel in kernels:
        launch = launches.get(str(kernel.args.get("correlation")))
        if launch is None:
            left.append(kernel)
        else:
            of_thread.setdefault(launch.thread, []).append((launch.time_us, kernel))
    for thread, entries in of_thread.items():
        entries.sort(key=lambda entry: entry[0])
        for kernel, operators in _enclosing(entries, spans.get(thread, [])):
            kernel.operators = operators
    if left:
        by_id = {str(span.operator.args.get("External id")): span.operator for ops in spans.values() for span in ops}
        for kernel in left:
            found = by_id.get(str(kernel.args.get("External id", "")))
            kernel.operators = (found,) if found is not None else ()


def _enclosing(
    entries: Sequence[tuple[float, Kernel]], spans: Sequence[_Span]
) -> Iterator[tuple[Kernel, tuple[Operator, ...]]]:
    """Yield every kernel with the operators that are open when it is launched, the innermost first."""
    ordered = sorted(spans, key=lambda span: (span.start_us, -span.end_us))
    open_: list[_Span] = []
    place = 0
    for time_us, kernel in entries:
        while place < len(ordered) and ordered[place].start_us <= time_us:
            while open_ and open_[-1].end_us <= ordered[place].start_us:
                open_.pop()
            open_.append(ordered[place])
            place += 1
        while open_ and open_[-1].end_us < time_us:
            open_.pop()
        yield kernel, tuple(span.operator for span in reversed(open_))
