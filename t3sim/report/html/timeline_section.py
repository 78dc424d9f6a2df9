"""The overview of a timeline: what of a GPU was busy when, no finer than a screen can show."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from t3sim.report.html.material import Material, TraceEvent
from t3sim.report.html.parts import Part, as_json, chart, section

_TITLE = "Timeline"
_RESOLUTION: Final = 1000
"""Slices nearer to each other than the whole divided by this are shown as one."""
_BINS: Final = 240
_MOST_VIEWS: Final = 40
_MOST_TRACKS: Final = 16
_LANE = re.compile(r" \d+$")
_COUNTERS: Final = ("DRAM GB/s", "link GB/s")
_COLORS: Final = {"GEMM": 0, "reduce_scatter": 1, "all_gather": 2}
_OTHER: Final = 4


def timeline_section(material: Material) -> Part:
    """Show every run of the timeline in the folder on one scale of time."""
    found = material.timeline
    if found is None or not found.traceEvents:
        lead = "What ran when, on a GPU. It is recorded on request."
        command = f"t3sim run TRACE --sublayer NAME --out {material.place} --timeline {material.place}/timeline.json.gz"
        return section("timeline", _TITLE, lead, missing=command)
    end = max((event.ts + event.dur for event in found.traceEvents), default=0.0)
    processes: dict[int, list[TraceEvent]] = {}
    for event in found.traceEvents:
        processes.setdefault(event.pid, []).append(event)
    views = [_view(events, end) for events in processes.values()]
    views = sorted((each for each in views if each["tracks"]), key=lambda each: "t3-mca" not in each["label"])
    left = len(views) - _MOST_VIEWS
    lead = "An overview: slices too near to be told apart are drawn as one. Open the file itself in ui.perfetto.dev."
    lead += f" {left} more processes are in it." if left > 0 else ""
    return section(
        "timeline", _TITLE, lead, [chart("timeline", "What ran when", views[:_MOST_VIEWS], material.command)]
    )


def _view(events: Sequence[TraceEvent], end: float) -> Part:
    names = {event.tid: str(event.args["name"]) for event in events if event.name == "thread_name"}
    label = next((str(event.args["name"]) for event in events if event.name == "process_name"), "")
    slices: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if event.ph == "X":
            # Lanes of one track have its name and a number: in the overview they are one.
            name = _LANE.sub("", names.get(event.tid, str(event.tid)))
            slices.setdefault(name, []).append((event.ts, event.ts + event.dur))
    tracks = [
        {"name": name, "color": _COLORS.get(name, _OTHER), "spans": _merged(spans, end / _RESOLUTION)}
        for name, spans in list(slices.items())[:_MOST_TRACKS]
    ]
    counters = [
        _counter(name, [event for event in events if event.ph == "C" and event.name == name], end) for name in _COUNTERS
    ]
    return {
        "label": label,
        "axis": "time (us)",
        "end": as_json(end),
        "tracks": tracks,
        "counters": [counter for counter in counters if counter["peak"]],
    }


def _merged(spans: Iterable[tuple[float, float]], gap: float) -> list[list[float]]:
    """Join spans that overlap or are nearer than ``gap``; us."""
    joined: list[list[float]] = []
    for start, end in sorted(spans):
        if joined and start - joined[-1][1] <= gap:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return [[as_json(start), as_json(end)] for start, end in joined]


def _counter(name: str, events: Sequence[TraceEvent], end: float) -> Part:
    """Average a counter over equal bins of time; each value holds until the next event."""
    kinds = list(dict.fromkeys(kind for event in events for kind in event.args))
    width = end / _BINS
    bins = [[0.0] * _BINS for _ in kinds]
    stops = [*(event.ts for event in events[1:]), end]
    for event, stop in zip(events, stops, strict=False):
        for place in range(int(event.ts / width), min(int(stop / width) + 1, _BINS)):
            shared = min(stop, (place + 1) * width) - max(event.ts, place * width)
            for number, kind in enumerate(kinds):
                bins[number][place] += float(event.args.get(kind, 0)) * max(shared, 0.0) / width
    peak = max((sum(values) for values in zip(*bins, strict=True)), default=0.0)
    layers = [
        {"name": kind, "values": [round(value, 2) for value in values]}
        for kind, values in zip(kinds, bins, strict=True)
        if any(values)
    ]
    return {"name": name, "peak": round(peak, 1), "layers": layers}
