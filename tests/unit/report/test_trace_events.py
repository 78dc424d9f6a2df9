"""Timelines against the rules of the Trace Event Format, and against what the run itself counted."""

import gzip
import json
from collections import defaultdict

import pytest

from t3sim.errors import InputError
from t3sim.hardware.machine import Machine
from t3sim.hardware.network.topologies.ring import RingSpec
from t3sim.hardware.plane.plane import plane_of
from t3sim.observe import Recorder, TimelineObserver
from t3sim.observe.timeline_builder import lanes
from t3sim.registry import get
from t3sim.report.trace_events import timeline_file
from t3sim.results.timeline import Detail, Slice
from t3sim.simulation.lab import SystemLab

SHAPE = (96, 96, 64)
NS_PER_US = 1000
SHORT = {"gemm": "gemm", "reduce_scatter": "rs", "all_gather": "ag"}
FIELDS = {
    "M": {"pid", "name", "args"},
    "X": {"pid", "tid", "name", "ts", "dur"},
    "C": {"pid", "name", "ts", "args"},
    "s": {"pid", "tid", "name", "cat", "id", "ts"},
    "t": {"pid", "tid", "name", "cat", "id", "ts"},
    "f": {"pid", "tid", "name", "cat", "id", "ts", "bp"},
}
OPTIONAL = {"M": {"tid"}, "X": {"args"}}


@pytest.fixture
def written(tmp_path, tiny_system, pair, lowered):
    """Give a function that runs a sublayer and writes its timeline: the events, the recorder, the outcome."""

    def run(scheme="t3", simulated="one", detail=Detail.TILE, gpus=4, overrides=()):
        path = tmp_path / "timeline.json.gz"
        system, sublayer, recorders = tiny_system(*overrides), pair(gpus, SHAPE), []
        with timeline_file(path) as writer:
            observer = TimelineObserver(detail, writer.write)

            def observe(machine):
                observer.observe(scheme, machine)
                recorders.append(observer._running[1])

            outcome = get("scheme", scheme)().simulate(
                SystemLab(system, gpus, simulated, observe), lowered(system, sublayer)
            )
            observer.flush()
        with gzip.open(path, "rt", encoding="utf-8") as file:
            document = json.load(file)
        return document, recorders, outcome

    return run


def ns(time_us):
    """Read a time of the file: us with whole ns, since viewers lose anything finer."""
    time_ns = time_us * NS_PER_US
    assert time_ns == pytest.approx(round(time_ns), abs=1e-6)
    return round(time_ns)


def check_format(document):
    """Hold a document against the rules of the format, as strictly as its viewers read it."""
    assert set(document) == {"displayTimeUnit", "traceEvents"}
    assert document["displayTimeUnit"] in {"ns", "ms"}
    events = document["traceEvents"]
    threads, processes = set(), set()
    for event in events:
        kind = event["ph"]
        assert FIELDS[kind] <= set(event) - {"ph"} <= FIELDS[kind] | OPTIONAL.get(kind, set()), event
        assert isinstance(event["pid"], int)
        assert isinstance(event["name"], str)
        assert event["name"]
        assert ns(event.get("ts", 0)) >= 0
        if kind == "M":
            place = (threads, (event["pid"], event["tid"])) if "tid" in event else (processes, event["pid"])
            if event["name"] in {"thread_name", "process_name"}:
                assert place[1] not in place[0], "a name is given once"
                place[0].add(place[1])
                assert isinstance(event["args"]["name"], str)
        if kind == "C":
            assert event["args"]
            assert all(isinstance(value, int | float) and value >= 0 for value in event["args"].values())
        if kind in "Xstf":
            assert (event["pid"], event["tid"]) in threads
            assert event["pid"] in processes
    check_tracks(events)
    check_flows(events)


def check_tracks(events):
    """On a thread, slices nest or follow one another; what starts first comes first, and the outer before the inner."""
    tracks = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            assert ns(event["dur"]) >= 0
            tracks[event["pid"], event["tid"]].append((ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])))
    for slices in tracks.values():
        open_ends = []
        last_start = 0
        for start, end in slices:
            assert start >= last_start
            last_start = start
            while open_ends and open_ends[-1] <= start:
                open_ends.pop()
            assert not open_ends or end <= open_ends[-1], "slices of one track overlap"
            open_ends.append(end)


def check_flows(events):
    """Every flow starts once, ends once, never runs back, and each stop lies inside a slice of its thread."""
    slices = defaultdict(set)
    flows = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            slices[event["pid"], event["tid"]].add((ns(event["ts"]), ns(event["ts"]) + ns(event["dur"])))
        elif event["ph"] in "stf":
            flows[event["cat"], event["id"]].append(event)
    for stops in flows.values():
        assert [stop["ph"] for stop in stops] == ["s", *"t" * (len(stops) - 2), "f"]
        times = [ns(stop["ts"]) for stop in stops]
        assert times == sorted(times)
        for stop, time in zip(stops, times, strict=True):
            own = slices[stop["pid"], stop["tid"]]
            assert any(start <= time < max(end, start + 1) for start, end in own)


@pytest.mark.parametrize("detail", Detail)
@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca", "ideal-overlap-nmc"])
@pytest.mark.parametrize("simulated", ["mirror", "all"])
def test_timelines_keep_the_rules_of_the_format(written, scheme, simulated, detail):
    """Whatever is run and however much is shown, a viewer of the format can draw all of it."""
    check_format(written(scheme, simulated, detail)[0])


def test_a_crowded_tracker_keeps_the_rules_too(written):
    """Counts that wait for an entry, one slow DMA command at a time: tracks still hold what they show."""
    check_format(written(overrides=("tracker.entries=2", "tracker.ways=1", "dma.outstanding=1"))[0])


@pytest.mark.parametrize(
    "broken",
    [
        {"ph": "X", "pid": 1, "tid": 1, "name": "late", "ts": 0.5, "dur": 9e9},
        {"ph": "X", "pid": 1, "tid": 999, "name": "nowhere", "ts": 0.5, "dur": 0.1},
        {"ph": "X", "pid": 1, "tid": 1, "name": "too fine", "ts": 0.00005, "dur": 0.1},
        {"ph": "f", "pid": 1, "tid": 1, "name": "x", "cat": "flow", "id": 10**9, "ts": 1.0, "bp": "e"},
        {"ph": "C", "pid": 1, "name": "empty", "ts": 1.0, "args": {}},
    ],
)
def test_the_check_finds_what_is_wrong(written, broken):
    """The validator of these tests refuses what viewers refuse or drop."""
    document = written()[0]
    document["traceEvents"].append(broken)
    with pytest.raises(AssertionError):
        check_format(document)


def slices_of(document, name):
    """Slices of tracks whose name starts with ``name``, outer and inner."""
    threads = {
        (event["pid"], event["tid"])
        for event in document["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name" and event["args"]["name"].startswith(name)
    }
    return [e for e in document["traceEvents"] if e["ph"] == "X" and (e["pid"], e["tid"]) in threads]


@pytest.mark.parametrize("simulated", ["mirror", "all"])
def test_everything_that_moved_is_shown(written, simulated):
    """Stages, tiles, commands and messages of the timeline are those that the machine counted."""
    document, (recorder,), outcome = written("t3", simulated)
    gpus = recorder.machine.gpus
    assert sum(s["args"]["bytes"] for s in slices_of(document, "link out")) == sum(g.link_bytes for g in outcome.gpus)
    assert sum(s["args"]["bytes"] for s in slices_of(document, "link in")) == sum(g.link_bytes for g in outcome.gpus)
    assert len(slices_of(document, "tracker")) == sum(gpu.tracker.fired for gpu in gpus)
    # 36 tiles in stages of four; the first chunk of four is stored at the neighbour, the last is kept.
    assert len([s for s in slices_of(document, "GEMM") if s["name"].startswith("stage")]) == 9 * len(gpus)
    assert len([s for s in slices_of(document, "DMA") if s["name"] == "DMA"]) == 18 * len(gpus)
    for gpu, shown in zip(outcome.gpus, sorted({s["pid"] for s in slices_of(document, "GEMM")}), strict=True):
        gemm = next(s for s in slices_of(document, "GEMM") if s["pid"] == shown and s["name"] == "gemm")
        span = next(span for span in gpu.spans if span.operation == "gemm")
        assert (ns(gemm["ts"]), ns(gemm["dur"])) == (span.start_fs // 10**6, (span.end_fs - span.start_fs) // 10**6)


def test_every_trigger_leads_to_a_tile_of_the_next_gpu(written):
    """An arrow goes from the tracker's tile through DMA, link out and link in to the tile at the successor."""
    document, (recorder,), _ = written("t3", "all")
    names = {
        (event["pid"], event["tid"]): event["args"]["name"].rstrip("0123456789 ")
        for event in document["traceEvents"]
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    flows = defaultdict(list)
    for event in document["traceEvents"]:
        if event["ph"] in "stf" and event["name"] == "trigger":
            flows[event["id"]].append(event)
    assert len(flows) == 18 * 4
    for stops in flows.values():
        tracks = [names[stop["pid"], stop["tid"]] for stop in stops]
        assert tracks == ["tracker", "DMA out", "link out", "link in", "tracker"]
        pids = [stop["pid"] for stop in stops]
        assert pids == [pids[0]] * 3 + [pids[0] % 4 + 1] * 2
    assert len(recorder.gpus) == 4


@pytest.mark.parametrize("scheme", ["sequential", "t3"])
def test_rates_add_up_to_the_bytes(written, scheme):
    """GB/s x time, over all bins, is what the DRAM served by cause and what the link carried each way."""
    document, _, outcome = written(scheme)
    totals = defaultdict(float)
    last = {}
    for event in document["traceEvents"]:
        if event["ph"] == "C" and event["name"].endswith("GB/s"):
            start, args = last.get(event["name"], (0, {}))
            for series, value in args.items():
                totals[event["name"], series] += value * 1e9 * (ns(event["ts"]) - start) * 1e-9
            last[event["name"]] = (ns(event["ts"]), event["args"])
    assert all(set(args.values()) == {0} for _, args in last.values()), "rates end at zero"
    for cause, nbytes in outcome.served_bytes.items():
        # Three digits of GB/s in bins of 1 us: half a byte a bin, and there are fewer than 1000 bins.
        assert totals["DRAM GB/s", f"{SHORT[cause.operation]} {cause.direction}"] == pytest.approx(nbytes, abs=500)
    for way in ("out", "in"):
        assert totals["link GB/s", way] == pytest.approx(outcome.gpus[0].link_bytes, abs=500)


def test_lanes_are_as_few_as_can_be():
    """Three transfers of which two overlap at any time take two lanes, each free again at the end of its slice."""
    spread = lanes([Slice("a", 0, 10), Slice("b", 5, 15), Slice("c", 10, 20), Slice("d", 15, 16)])
    assert [[slice_.name for slice_ in lane] for lane in spread] == [["a", "c"], ["b", "d"]]


def test_the_same_run_gives_the_same_bytes(written, tmp_path):
    """Nothing of the day or the file's name is in a timeline."""
    written()
    first = (tmp_path / "timeline.json.gz").read_bytes()
    written()
    assert (tmp_path / "timeline.json.gz").read_bytes() == first


def test_a_run_that_fails_leaves_what_was_there(tmp_path):
    """An error on the way leaves the file before it untouched, and nothing half-written."""
    path = tmp_path / "timeline.json"
    path.write_text("before", encoding="utf-8")
    with pytest.raises(RuntimeError), timeline_file(path):
        raise RuntimeError
    assert [(entry.name, entry.read_text(encoding="utf-8")) for entry in tmp_path.iterdir()] == [(path.name, "before")]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    """A place that cannot be written to is bad input, named with its option."""
    with pytest.raises(InputError, match="--timeline"), timeline_file(tmp_path / "none" / "a.json"):
        pass


@pytest.mark.parametrize("simulated", ["mirror", "all"])
@pytest.mark.parametrize("scheme", ["sequential", "t3", "t3-mca", "ideal-overlap", "ideal-overlap-nmc"])
def test_recording_changes_nothing(tiny_system, pair, lowered, scheme, simulated):
    """A recorded run has the same spans, bytes and counters, to the femtosecond, as one that nobody watches."""
    system, sublayer = tiny_system("tracker.entries=4", "tracker.ways=2"), pair(4, SHAPE)
    outcomes = [
        get("scheme", scheme)().simulate(SystemLab(system, 4, simulated, observe), lowered(system, sublayer))
        for observe in (None, lambda machine: Recorder(machine) and None)
    ]
    assert outcomes[0] == outcomes[1]


def test_observers_that_are_off_cost_nothing(tiny_system):
    """No part of a machine has anybody to report to, and no method is replaced, unless an observer was asked for."""
    system = tiny_system()
    machine = Machine(system.gpu(), RingSpec().wire(system.link, 4), system.policy("t3"), mirrored=True)
    gpu = machine.gpus[0]
    reporting = (gpu.compute, gpu.memory, gpu.tracker, gpu.dma)
    parts = (gpu, gpu.memory.channel, gpu.ports.network, machine.network, *machine.network.links.values(), *reporting)
    clock = plane_of(machine.env).rows("clock")
    assert not any(part.probe for part in reporting)
    assert machine.network._probe is None
    assert not clock["probing"][0]
    recorder = Recorder(machine)
    assert all(part.probe is recorder for part in reporting)
    assert machine.network._probe is recorder
    assert clock["probing"][0]
    assert not [name for part in parts for name in getattr(part, "__dict__", ()) if name in vars(type(part))]
