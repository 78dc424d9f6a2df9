"""Builds timelines from records: which slices lie on which track, and which of them arrows join. All times are fs."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from t3sim.hardware.gpu import Span
from t3sim.hardware.machine import Machine
from t3sim.hardware.memory.access import Stream
from t3sim.observe.counters import counters
from t3sim.observe.recorder import UNKNOWN, Burst, GpuRecord, PacketRecord, Recorder, Stage, Tile, Transfer
from t3sim.results import short_name
from t3sim.results.timeline import Arrow, Detail, GpuTimeline, Slice, Stop, Timeline, Track
from t3sim.units import FS_PER_NS


class TimelineObserver:
    """Records machines, and hands the timeline of each on when the next one comes or at the end."""

    def __init__(self, detail: Detail, take: Callable[[str, Timeline], None]) -> None:
        """``take`` gets the label and the timeline of every machine."""
        self.detail = detail
        self.take = take
        self._running: tuple[str, Recorder] | None = None

    def observe(self, label: str, machine: Machine) -> None:
        """Record ``machine``, which is about to run; ``label`` says what it runs."""
        self.flush()
        self._running = (label, Recorder(machine))

    def flush(self) -> None:
        """Hand the timeline of the last machine on, whose run has ended."""
        if self._running is not None:
            label, recorder = self._running
            self._running = None
            self.take(label, timeline(recorder, self.detail))


def timeline(recorder: Recorder, detail: Detail) -> Timeline:
    """Lay a run out; call it when the run has ended. What had not ended then, in a run that failed, is left out."""
    spans = sorted((span for gpu in recorder.gpus for span in gpu.gpu.spans), key=lambda span: span.start_fs)
    arrows = [] if detail is Detail.STAGE else list(_arrows(recorder))
    return Timeline(
        operations=tuple(dict.fromkeys(span.operation for span in spans)),
        gpus=[
            GpuTimeline(gpu.gpu.name, list(_tracks(gpu, detail)), counters(gpu, recorder.end_fs))
            for gpu in recorder.gpus
        ],
        arrows=arrows,
    )


def lanes(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Spread slices over as few lanes as possible, so that none overlap on a lane; each takes the lowest free lane."""
    spread: list[list[Slice]] = []
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    for slice_ in sorted(slices, key=lambda slice_: (slice_.start_fs, slice_.end_fs)):
        while busy and busy[0][0] <= slice_.start_fs:
            heapq.heappush(free, heapq.heappop(busy)[1])
        lane = heapq.heappop(free) if free else len(spread)
        if lane == len(spread):
            spread.append([])
        spread[lane].append(slice_)
        heapq.heappush(busy, (slice_.end_fs, lane))
    return spread


def _tracks(gpu: GpuRecord, detail: Detail) -> Iterator[Track]:
    yield from _group("GEMM", _gemms(gpu, operands=detail is not Detail.STAGE))
    for operation in dict.fromkeys(span.operation for span in gpu.gpu.spans if span.operation != "gemm"):
        spans = [span for span in gpu.gpu.spans if span.operation == operation]
        yield from _group(operation, map(_operation, spans))
    if detail is Detail.STAGE:
        yield from _group("link out, chunks", _chunks(gpu.packets, "wire_start_fs", "wire_end_fs"))
        yield from _group("link in, chunks", _chunks(gpu.received, "delivered_fs", "consumed_fs"))
        return
    index = gpu.gpu.index
    yield from _group("DMA out", (_command(index, number, each) for number, each in enumerate(gpu.transfers)))
    yield from _group("link out", (_on_wire(index, number, each) for number, each in enumerate(gpu.packets)))
    yield from _group("link in", (_into_memory(index, number, each) for number, each in enumerate(gpu.received)))
    if detail is Detail.PACKET:
        for stream in Stream:
            bursts = [burst for burst in gpu.bursts if burst.stream is stream]
            yield from _group(f"DRAM {stream.name.lower()}", map(_burst, bursts))
    yield from _group("tracker", (_tile(index, number, each) for number, each in enumerate(gpu.tiles)))


def _operation(span: Span) -> Slice:
    launch = [Slice("launch", span.start_fs, span.start_fs + span.launch_fs)] if span.launch_fs else []
    return Slice(span.operation, span.start_fs, span.end_fs, inside=launch)


def _group(name: str, slices: Iterable[Slice]) -> Iterator[Track]:
    """Make tracks of slices, a lane each; slices that did not end are left out."""
    spread = lanes(slice_ for slice_ in slices if UNKNOWN not in (slice_.start_fs, slice_.end_fs))
    for number, lane in enumerate(spread):
        yield Track(name if len(spread) == 1 else f"{name} {number}", lane)


def _gemms(gpu: GpuRecord, *, operands: bool) -> Iterator[Slice]:
    """GEMMs with their stages, and what the CUs did between them."""
    stages = [stage for stage in gpu.stages if stage.end_fs != UNKNOWN]
    for span in gpu.gpu.spans:
        if span.operation == "gemm":
            own = [stage for stage in stages if span.start_fs <= stage.start_fs and stage.end_fs <= span.end_fs]
            yield Slice("gemm", span.start_fs, span.end_fs, inside=list(_stages(span, own, operands=operands)))


def _stages(span: Span, stages: Sequence[Stage], *, operands: bool) -> Iterator[Slice]:
    cursor = span.start_fs + span.launch_fs
    if span.launch_fs:
        yield Slice("launch", span.start_fs, cursor)
    for stage in stages:
        if stage.start_fs > cursor:
            yield Slice("store wait", cursor, stage.start_fs)
        waits = [Slice("operand wait", wait.start_fs, wait.end_fs) for wait in stage.operand_waits]
        waited = sum(wait.end_fs - wait.start_fs for wait in stage.operand_waits)
        args = {"workgroups": stage.workgroups, "operand wait ns": waited / FS_PER_NS}
        yield Slice(f"stage {stage.number}", stage.start_fs, stage.end_fs, args, waits if operands else [])
        cursor = stage.end_fs
    if span.end_fs > cursor:
        yield Slice("store wait", cursor, span.end_fs)


def _chunks(packets: Iterable[PacketRecord], start: str, end: str) -> Iterator[Slice]:
    """One slice a chunk, from the start of its first message to the end of its last."""
    chunks: dict[tuple[int, int], list[PacketRecord]] = {}
    for packet in packets:
        if packet.consumed_fs != UNKNOWN:
            chunks.setdefault((packet.operation, packet.part), []).append(packet)
    for (operation, part), messages in chunks.items():
        first, last = min(getattr(each, start) for each in messages), max(getattr(each, end) for each in messages)
        args = {"operation": operation, "bytes": sum(each.nbytes for each in messages)}
        yield Slice(f"chunk {part}", first, last, args)


def _command(gpu: int, number: int, transfer: Transfer) -> Slice:
    steps = ("waits for the engine", "reads DRAM", "waits for the link")
    times = (transfer.trigger_fs, transfer.read_fs, transfer.read_end_fs, transfer.accepted_fs)
    inside = [Slice(step, *times_) for step, times_ in zip(steps, pairwise(times), strict=True) if len(set(times_)) > 1]
    args = {"bytes": transfer.nbytes}
    return Slice("DMA", transfer.trigger_fs, transfer.accepted_fs, args, inside, ("dma", gpu, number))


def _on_wire(gpu: int, number: int, packet: PacketRecord) -> Slice:
    args = {"bytes": packet.nbytes}
    name = f"chunk {packet.part}"
    return Slice(name, packet.wire_start_fs, packet.wire_end_fs, args, key=("out", gpu, number))


def _into_memory(gpu: int, number: int, packet: PacketRecord) -> Slice:
    args = {"bytes": packet.nbytes, "from": packet.sender}
    name = f"chunk {packet.part}"
    return Slice(name, packet.delivered_fs, packet.consumed_fs, args, key=("in", gpu, number))


def _burst(burst: Burst) -> Slice:
    name = f"{short_name(burst.cause.operation)} {burst.access.name.lower()}"
    return Slice(name, burst.start_fs, burst.end_fs, {"bytes": burst.nbytes})


def _tile(gpu: int, number: int, tile: Tile) -> Slice:
    return Slice("tile", tile.first_fs, tile.fired_fs, {"workgroup": tile.workgroup}, key=("tile", gpu, number))


def _arrows(recorder: Recorder) -> Iterator[Arrow]:
    """Follow every message: from the trigger of its tile, if it has one, to the tile it updates, if that is tracked."""
    received = {
        id(packet): (gpu.gpu.index, number) for gpu in recorder.gpus for number, packet in enumerate(gpu.received)
    }
    for gpu in recorder.gpus:
        index = gpu.gpu.index
        for number, packet in enumerate(gpu.packets):
            if packet.consumed_fs == UNKNOWN:
                continue
            stops: list[Stop] = []
            if packet.transfer != UNKNOWN:
                transfer = gpu.transfers[packet.transfer]
                if transfer.tile != UNKNOWN:
                    stops.append((("tile", index, transfer.tile), transfer.trigger_fs))
                stops.append((("dma", index, packet.transfer), transfer.trigger_fs))
            stops.append((("out", index, number), packet.wire_start_fs))
            receiver, place = received[id(packet)]
            stops.append((("in", receiver, place), packet.delivered_fs))
            if packet.tile != UNKNOWN:
                stops.append((("tile", receiver, packet.tile), packet.consumed_fs))
            yield Arrow("trigger" if packet.transfer != UNKNOWN else "message", tuple(stops))
