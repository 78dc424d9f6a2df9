"""Timelines as Trace Event Format files, which ui.perfetto.dev and chrome://tracing open.

The format: Duffy and others, "Trace Event Format" (the document behind chrome://tracing). One process a GPU and run,
one thread a track; slices are complete events (``X``), counters ``C``, arrows flow events (``s``, ``t``, ``f``),
names metadata (``M``). Its times are us; t3sim writes them in whole ns, every moment rounded down, so slices that
follow or hold one another in fs still do in ns. Counters carry their unit in the name: the format has no other place.
"""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from t3sim.files import replacing
from t3sim.results.timeline import Arrow, GpuTimeline, Slice, Timeline
from t3sim.units import FS_PER_NS

_NS_PER_US = 1000
_HEAD = '{"displayTimeUnit":"ns","traceEvents":['
Event = dict[str, Any]


class TimelineWriter:
    """Writes timelines, one after the other, into one document."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._processes = 0
        self._arrows = 0
        self._first = True
        file.write(_HEAD.encode())

    def write(self, label: str, shown: Timeline) -> None:
        """Write a timeline; ``label`` says what ran."""
        places: dict[tuple[str, int, int], tuple[int, int, Slice]] = {}
        for gpu in shown.gpus:
            self._processes += 1
            name = f"{label}, {gpu.name}: {', '.join(shown.operations)}"
            self._lines(_process(self._processes, name, gpu, places))
        for arrow in shown.arrows:
            self._arrows += 1
            self._lines(_flow(self._arrows, arrow, places))

    def close(self) -> None:
        """Write the end of the document."""
        self.file.write(b"\n]}\n")

    def _lines(self, events: Iterator[Event]) -> None:
        for event in events:
            self.file.write(b"\n" if self._first else b",\n")
            self.file.write(json.dumps(event, separators=(",", ":")).encode())
            self._first = False


@contextmanager
def timeline_file(path: Path) -> Iterator[TimelineWriter]:
    """Write timelines to ``path``, compressed where it ends in ``.gz``; an error leaves what was there before.

    Raises ``InputError`` when the disk refuses.
    """
    with replacing(path, binary=True, key="--timeline") as file:
        if path.suffix == ".gz":
            # Neither name nor time in the header: the same run gives the same bytes.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed:
                yield from _written(cast("BinaryIO", packed))
        else:
            yield from _written(cast("BinaryIO", file))


def _written(file: BinaryIO) -> Iterator[TimelineWriter]:
    writer = TimelineWriter(file)
    yield writer
    writer.close()


def _process(
    pid: int, name: str, gpu: GpuTimeline, places: dict[tuple[str, int, int], tuple[int, int, Slice]]
) -> Iterator[Event]:
    """Events of one GPU; notes in ``places`` where slices that arrows look for are."""
    yield {"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}}
    yield {"ph": "M", "pid": pid, "name": "process_sort_index", "args": {"sort_index": pid}}
    for tid, track in enumerate(gpu.tracks, 1):
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_name", "args": {"name": track.name}}
        yield {"ph": "M", "pid": pid, "tid": tid, "name": "thread_sort_index", "args": {"sort_index": tid}}
        for slice_ in track.slices:
            if slice_.key is not None:
                places[slice_.key] = (pid, tid, slice_)
            yield from _slices(pid, tid, slice_)
    for counter in gpu.counters:
        for start, values in zip(counter.starts_fs, counter.values, strict=True):
            args = {name: round(value, 3) for name, value in zip(counter.series, values, strict=True)}
            yield {"ph": "C", "pid": pid, "name": counter.name, "ts": _us(start // FS_PER_NS), "args": args}


def _slices(pid: int, tid: int, slice_: Slice) -> Iterator[Event]:
    """Give a slice, then what is inside it: of two that start together, viewers take the first as the outer one."""
    start, end = slice_.start_fs // FS_PER_NS, slice_.end_fs // FS_PER_NS
    event: Event = {"ph": "X", "pid": pid, "tid": tid, "name": slice_.name, "ts": _us(start), "dur": _us(end - start)}
    if slice_.args:
        event["args"] = slice_.args
    yield event
    for inner in slice_.inside:
        yield from _slices(pid, tid, inner)


def _flow(number: int, arrow: Arrow, places: dict[tuple[str, int, int], tuple[int, int, Slice]]) -> Iterator[Event]:
    """Give the stops of an arrow that are shown, each at a moment inside its slice."""
    stops = [(places[key], time) for key, time in arrow.stops if key in places]
    for index, ((pid, tid, slice_), time) in enumerate(stops):
        start, end = slice_.start_fs // FS_PER_NS, slice_.end_fs // FS_PER_NS
        # A flow binds to the slice that is open at its time, and a slice is closed at its end.
        at = max(start, min(time // FS_PER_NS, end - 1))
        event: Event = {"ph": "t", "pid": pid, "tid": tid, "name": arrow.name, "cat": "flow", "id": number}
        if index == 0:
            event["ph"] = "s"
        elif index == len(stops) - 1:
            event |= {"ph": "f", "bp": "e"}
        yield {**event, "ts": _us(at)}


def _us(ns: int) -> float:
    """Whole ns as us, with three digits after the point at most."""
    return ns / _NS_PER_US
