"""The split of a run's time, against a GPU whose records are written by hand."""

from types import SimpleNamespace

import pytest

from t3sim.hardware.gpu import Span
from t3sim.hardware.memory.access import Access, Cause, Direction, Stream
from t3sim.observe.intervals import Interval
from t3sim.observe.recorder import Burst, GpuRecord, PacketRecord, Stage, TrackerSample
from t3sim.observe.time_parts import TimePart, last_gpu, split

RS_READ, RS_WRITE = (Cause("reduce_scatter", direction) for direction in Direction)


def record(*spans, **parts):
    return GpuRecord(SimpleNamespace(spans=list(spans), index=parts.pop("index", 0)), **parts)


def packet(wire_start, wire_end, delivered, first_start=None, first_end=None):
    """Give a message on its last wire, which is its first one too if that is not named."""
    return PacketRecord(
        operation=0,
        part=0,
        nbytes=1,
        transfer=-1,
        queued_fs=0,
        sender=0,
        wire_start_fs=wire_start if first_start is None else first_start,
        wire_end_fs=wire_end if first_end is None else first_end,
        last_start_fs=wire_start,
        last_end_fs=wire_end,
        delivered_fs=delivered,
    )


def burst(start, end, access=Access.READ, cause=RS_READ):
    return Burst(Stream.COMMUNICATION, access, cause, 1, start, end)


def found(gpu, operation):
    return {part.kind: length for part, length in split(gpu).items() if part.operation == operation and length}


def test_a_gemm_launches_computes_and_waits():
    """Launch until the first stage, waits inside stages, waits for stores between them and after the last."""
    stages = [Stage(0, 4, 10, 40, [Interval(10, 13), Interval(20, 21)]), Stage(1, 4, 45, 60, [Interval(45, 50)])]
    gpu = record(Span("gemm", 0, 70, launch_fs=10), stages=stages)
    assert found(gpu, "gemm") == {"launch": 10, "operand_wait": 9, "compute": 36, "store_wait": 15}


def test_stores_that_the_link_refuses_are_the_links():
    """Between stages, the time in which a remote store waits for the send buffer is told from that of other stores."""
    refused = PacketRecord(operation=0, part=0, nbytes=1, transfer=-1, queued_fs=40, sender=0, accepted_fs=48)
    by_dma = PacketRecord(operation=0, part=1, nbytes=1, transfer=0, queued_fs=48, sender=0, accepted_fs=50)
    gpu = record(Span("gemm", 0, 70), stages=[Stage(0, 4, 0, 40), Stage(1, 4, 50, 70)], packets=[refused, by_dma])
    assert found(gpu, "gemm") == {"compute": 60, "link_wait": 8, "store_wait": 2}


def test_a_collective_alone_is_split_by_what_goes_on():
    """Each moment goes to the first that claims it: launch, wire, flight, fill, memory; the neighbour has the rest."""
    gpu = record(
        Span("reduce_scatter", 0, 100, launch_fs=5),
        received=[packet(20, 30, 36), packet(60, 70, 76)],
        bursts=[burst(5, 12), burst(32, 45), burst(76, 90, Access.UPDATE, RS_WRITE)],
    )
    # 0-5 launch, 5-20 fill, 20-30 wire, 30-36 flight, 36-45 memory, 45-60 nothing here, 60-70 wire, 70-76 flight,
    # 76-90 memory, 90-100 nothing here.
    expected = {"launch": 5, "fill": 15, "link": 20, "latency": 12, "memory": 23, "neighbour": 25}
    assert found(gpu, "reduce_scatter") == expected


def test_only_the_wire_into_the_gpu_counts():
    """Of a message that comes over several links, the last one is the link; those before are the neighbour's."""
    gpu = record(Span("all_gather", 0, 40), received=[packet(20, 30, 34, first_start=5, first_end=15)])
    assert found(gpu, "all_gather") == {"fill": 20, "link": 10, "latency": 4, "neighbour": 6}


def test_only_what_is_exposed_counts():
    """A collective that began under the GEMM counts from the GEMM's end, without launch or fill."""
    gpu = record(
        Span("gemm", 0, 50),
        Span("reduce_scatter", 10, 80),
        stages=[Stage(0, 4, 0, 50)],
        received=[packet(40, 60, 64)],
        bursts=[burst(10, 30), burst(64, 75)],
    )
    assert found(gpu, "gemm") == {"compute": 50}
    assert found(gpu, "reduce_scatter") == {"link": 10, "latency": 4, "memory": 11, "neighbour": 5}


def test_a_collective_that_ends_under_the_gemm_costs_nothing():
    """What is hidden in full has no exposed time, and the operation after it starts where the GEMM ended."""
    gpu = record(
        Span("gemm", 0, 50),
        Span("reduce_scatter", 10, 40),
        Span("all_gather", 50, 60),
        stages=[Stage(0, 4, 0, 50)],
    )
    assert found(gpu, "reduce_scatter") == {}
    assert sum(found(gpu, "all_gather").values()) == 10


def test_updates_that_wait_for_a_tracker_entry_are_the_trackers():
    """Where nothing is on the link, an update that is not counted claims the moment before memory does."""
    gpu = record(
        Span("reduce_scatter", 0, 50),
        bursts=[burst(0, 30)],
        tracker=[TrackerSample(10, 1, 0), TrackerSample(20, 2, 8), TrackerSample(35, 2, 0)],
    )
    assert found(gpu, "reduce_scatter") == {"tracker": 15, "memory": 20, "neighbour": 15}


def test_the_last_gpu_is_the_one_that_ends_last():
    """Of several that end together, the first stands for them."""
    gpus = [record(Span("gemm", 0, end), index=index) for index, end in enumerate((5, 9, 9))]
    assert last_gpu(SimpleNamespace(gpus=gpus)).gpu.index == 1


@pytest.mark.parametrize("operation", ["gemm", "reduce_scatter", "all_gather"])
def test_parts_have_the_names_of_their_operation(operation):
    """Parts are named by operation and kind."""
    assert {part.operation for part in split(record(Span(operation, 0, 5)))} == {operation}
    assert all(isinstance(part, TimePart) for part in split(record(Span(operation, 0, 5))))
