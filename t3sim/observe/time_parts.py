"""Where a run's time went: the time of the GPU that ends last, split into parts that never overlap. All times are fs.

The parts are sets of moments, taken from records, so their lengths add up to the run's time exactly. Let ``[0, T)`` be
the run. Time in which a GEMM runs is the GEMM's; what a collective takes beside it, or beside one before it in the
program, is hidden, and what is left is its *exposed* time. Time in which no operation runs, at the beginning or where
a stream waits for another one's event, counts as launch of the operation that comes next. A GEMM ends with the issue
of its last store where its collective is fused with it, and else when its last store is in memory.

GEMM, ``[start, end)``:

    launch        the launch of its kernel
    operand_wait  moments of a stage in which its next operands have not arrived
    compute       all other moments of a stage
    link_wait     moments between stages in which remote stores wait for the link's send buffer
    store_wait    all other moments between stages and after the last one: stores have to leave first

Collective, ``E`` its exposed time, each part without those above it:

    launch     the launch of its kernel, if it is one
    link       the wire into this GPU carries something
    latency    something is on its way behind the wire
    fill       before the first byte that arrives in ``E``, if nothing arrived before: the pipeline fills
    tracker    an update is in memory but not counted: its tracker set is full
    memory     a burst is queued or served by this GPU's memory: reads, reductions and copies that nothing hides
    neighbour  everything else: this GPU has all it was sent, and waits for its predecessor to send more
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from t3sim.hardware.gpu import Span
from t3sim.observe.intervals import Moments, difference, intersection, length_fs, union
from t3sim.observe.recorder import UNKNOWN, GpuRecord, Recorder


class TimePart(NamedTuple):
    """A part of one operation."""

    operation: str
    """``gemm``, or the name of a collective."""
    kind: str
    """Name of the part, as listed above."""


def last_gpu(recorder: Recorder) -> GpuRecord:
    """Return the GPU whose last operation ends last; of several, the first."""
    return max(recorder.gpus, key=lambda gpu: (gpu.gpu.spans[-1].end_fs, -gpu.gpu.index))


def split(gpu: GpuRecord) -> dict[TimePart, int]:
    """Split the time of one GPU's program, fs by part."""
    parts: dict[TimePart, int] = {}
    taken = []
    for gap in _gaps(gpu.gpu.spans):
        later = (span for span in gpu.gpu.spans if span.start_fs >= gap.end_fs)
        part = TimePart(min(later, key=attrgetter("start_fs")).operation, "launch")
        parts[part] = parts.get(part, 0) + gap.end_fs - gap.start_fs
        taken.append(gap)
    for span in sorted(gpu.gpu.spans, key=lambda span: span.operation != "gemm"):
        own = union([(span.start_fs, span.end_fs)])
        exposed = difference(own, taken)
        found = _gemm(gpu, span) if span.operation == "gemm" else _collective(gpu, span, exposed)
        for kind, moments in found.items():
            part = TimePart(span.operation, kind)
            parts[part] = parts.get(part, 0) + length_fs(moments)
        taken = union([*taken, *own])
    return parts


def _gaps(spans: Sequence[Span]) -> Moments:
    """Find when no operation runs, up to the end of the last one."""
    end = max(span.end_fs for span in spans)
    return difference(union([(0, end)]), union((span.start_fs, span.end_fs) for span in spans))


def _gemm(gpu: GpuRecord, span: Span) -> dict[str, Moments]:
    own = [stage for stage in gpu.stages if span.start_fs <= stage.start_fs and stage.end_fs <= span.end_fs]
    stages = union((stage.start_fs, stage.end_fs) for stage in own)
    waits = union(wait for stage in own for wait in stage.operand_waits)
    launched = span.start_fs + span.launch_fs
    between = difference(union([(launched, span.end_fs)]), stages)
    refused = union((packet.queued_fs, packet.accepted_fs) for packet in gpu.packets if packet.transfer == UNKNOWN)
    return {
        "launch": union([(span.start_fs, launched)]),
        "compute": difference(stages, waits),
        "operand_wait": waits,
        "link_wait": intersection(between, refused),
        "store_wait": difference(between, refused),
    }


def _collective(gpu: GpuRecord, span: Span, exposed: Moments) -> dict[str, Moments]:
    """Give each part what it claims of ``exposed`` and those before it left."""
    came = [packet for packet in gpu.received if packet.delivered_fs != UNKNOWN]
    own = [packet for packet in came if packet.last_start_fs >= span.start_fs]
    start = exposed[0].start_fs if exposed else span.end_fs
    first_byte = min((packet.last_start_fs for packet in own), default=start)
    claims: dict[str, Moments] = {
        "launch": union([(span.start_fs, span.start_fs + span.launch_fs)]),
        "link": union((packet.last_start_fs, packet.last_end_fs) for packet in came),
        "latency": union((packet.last_end_fs, packet.delivered_fs) for packet in came),
        "fill": union([(start, first_byte)]),
        "tracker": _uncounted(gpu),
        "memory": union((burst.start_fs, burst.end_fs) for burst in gpu.bursts),
    }
    left = exposed
    parts: dict[str, Moments] = {}
    for kind, claim in claims.items():
        parts[kind] = intersection(left, claim)
        left = difference(left, claim)
    return {**parts, "neighbour": left}


def _uncounted(gpu: GpuRecord) -> Moments:
    """Moments in which an update waits to be counted."""
    samples: Sequence[tuple[int, int]] = [(sample.time_fs, sample.waiting_updates) for sample in gpu.tracker]
    after = [time for time, _ in samples[1:]]
    return union((time, end) for (time, waiting), end in zip(samples[:-1], after, strict=True) if waiting)
