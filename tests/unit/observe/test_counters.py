"""Counters in bins, against records written by hand."""

from types import SimpleNamespace

import pytest

from t3sim.hardware.memory.access import Cause, Direction
from t3sim.observe.counters import bin_width_fs, counters
from t3sim.observe.recorder import DramSample, GpuRecord, PacketRecord, TrackerSample

US = 10**9
GEMM_READ, AG_WRITE, SEND_READ = (
    Cause("gemm", Direction.READ),
    Cause("all_gather", Direction.WRITE),
    Cause("send", Direction.READ),
)


def record(**parts):
    return GpuRecord(SimpleNamespace(spans=[], index=0), **parts)


def values(gpu, name, end_fs):
    counter = next(each for each in counters(gpu, end_fs) if each.name == name)
    return {series: dict(zip(counter.starts_fs, column, strict=True)) for series, column in per_series(counter)}


def per_series(counter):
    return zip(counter.series, zip(*counter.values, strict=True), strict=True)


def test_bins_are_whole_us_and_few():
    """A short run has bins of 1 us, a long one wider ones."""
    assert bin_width_fs(1) == bin_width_fs(4000 * US) == US
    assert bin_width_fs(4000 * US + 1) == 2 * US
    assert bin_width_fs(10 * US, most_bins=3) == 4 * US


def packet(nbytes, wire_start, wire_end, delivered, last_start=None, last_end=None, sender=0):
    """Give a message on its first wire, which is its last one too if that is not named."""
    return PacketRecord(
        0,
        0,
        nbytes,
        -1,
        0,
        sender,
        wire_start_fs=wire_start,
        wire_end_fs=wire_end,
        last_start_fs=wire_start if last_start is None else last_start,
        last_end_fs=wire_end if last_end is None else last_end,
        delivered_fs=delivered,
    )


def test_dram_bytes_are_spread_over_the_time_between_samples():
    """3000 B of reads served evenly over 1.5 us are 2 GB/s in the first us and 1 GB/s in the second."""
    gpu = record(dram=[DramSample(0, {AG_WRITE: 0}, 0), DramSample(3 * US // 2, {AG_WRITE: 0, GEMM_READ: 3000}, 0)])
    found = values(gpu, "DRAM GB/s", 3 * US)
    assert found["gemm read"] == {0: pytest.approx(2), US: pytest.approx(1), 2 * US: 0}
    assert set(found["ag write"].values()) == {0}


def test_causes_have_the_order_of_tables():
    """The GEMM comes first, then the halves of an all-reduce, then all other operations by name."""
    causes = [SEND_READ, AG_WRITE, Cause("broadcast", Direction.WRITE), GEMM_READ]
    (dram,) = (
        each
        for each in counters(record(dram=[DramSample(5, dict.fromkeys(causes, 10), 0)]), US)
        if each.name == "DRAM GB/s"
    )
    assert dram.series == ("gemm read", "ag write", "broadcast write", "send read")


def test_a_memory_that_serves_nothing_has_no_rate():
    """Where nothing was read or written there is nothing to draw."""
    assert "DRAM GB/s" not in [each.name for each in counters(record(dram=[DramSample(0, {}, 0)]), US)]
    assert "DRAM GB/s" not in [each.name for each in counters(record(), US)]


def test_link_bytes_count_while_on_the_wire_and_when_they_arrive():
    """A packet that is on the wire from 0.5 to 1.5 us and arrives 1 us later is half in each of two bins."""
    sent = packet(2000, US // 2, 3 * US // 2, 5 * US // 2)
    found = values(record(packets=[sent], received=[sent]), "link GB/s", 4 * US)
    assert found["out"] == {0: pytest.approx(1), US: pytest.approx(1), 2 * US: 0, 3 * US: 0}
    assert found["in"] == {0: 0, US: pytest.approx(1), 2 * US: pytest.approx(1), 3 * US: 0}


def test_links_of_a_gpu_add_up():
    """Two packets on two links at once, one for 1 us and one for 3 us from 0.5 us on, with a pause before a third."""
    sent = [
        packet(1000, 0, US, 2 * US),
        packet(6000, US // 2, 7 * US // 2, 4 * US),
        packet(500, 9 * US // 2, 5 * US, 6 * US),
    ]
    found = values(record(packets=sent), "link GB/s", 6 * US)["out"]
    expected = {0: 2, 3 * US: 1, 4 * US: 0.5, 5 * US: 0}
    assert found == {time: pytest.approx(rate) for time, rate in expected.items()}


def test_what_arrives_took_as_long_as_its_last_wire():
    """A packet that left in 1 us and came in over a slower link for 2 us counts in with the latter."""
    sent = packet(2000, 0, US, 4 * US, last_start=US, last_end=3 * US)
    found = values(record(packets=[sent], received=[sent]), "link GB/s", 5 * US)
    assert found["out"] == {0: pytest.approx(2), US: 0, 2 * US: 0, 4 * US: 0}
    assert found["in"] == {0: 0, US: 0, 2 * US: pytest.approx(1), 4 * US: 0}


def test_entries_show_the_most_of_each_bin():
    """A bin shows the most entries that were in use in it, also those that a bin before left there."""
    samples = [(0, 1), (US // 2, 7), (US - 1, 2), (3 * US + 1, 5), (3 * US + 2, 0)]
    tracker = [TrackerSample(time, entries, 3 * entries) for time, entries in samples]
    dram = [DramSample(time, {}, entries) for time, entries in samples]
    gpu = record(tracker=tracker, dram=dram)
    expected = {0: 7, US: 2, 3 * US: 5, 4 * US: 0}
    assert values(gpu, "tracker entries", 5 * US)["entries"] == expected
    assert values(gpu, "DRAM queue entries", 5 * US)["entries"] == expected
    waiting = {time: 3 * entries for time, entries in expected.items()}
    assert values(gpu, "updates waiting for a tracker entry", 5 * US)["updates"] == waiting
